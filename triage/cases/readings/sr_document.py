"""A radiologist's report as a DICOM SR in the archive (PS3.3 A.35, PS3.16 TID 2000).

Rule: what a machine wrote is never taken for a radiologist's word, verified or not. A document is a
machine's if it speaks in the worker's own codes, if its observer is a device and no person (TID
1002), or if it is a report of measurements (TID 1500). That it is not yet verified tells nothing:
many systems never set the flag. It only ranks lower than one that is.

The impression is the text under a heading of impressions or conclusions (CID 7001, or a heading of
that name in a site's own code). Where none is coded, all text is laid out as plain text under its
headings and read as such; a site that keeps a report in one TEXT item is read so.
"""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExtensibleSRStorage,
)

from triage.cases.readings.headings import STRONG_HEADINGS, normalised
from triage.cases.readings.impression import impression_of, stated_impression
from triage.cases.readings.oru import OURS

CLASSES = frozenset(
    {
        BasicTextSRStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        ExtensibleSRStorage,
    }
)
#: DCM and LOINC: impression(s), conclusion(s).
IMPRESSIONS = {"121072", "121073", "121076", "121077", "19005-8", "55110-1"}
SUMMARIES = {"121111", "55112-7"}  #: a summary, where there is no impression
MEASUREMENT_REPORT = "126000"  #: DCM
OBSERVER_TYPE, DEVICE, PERSON = "121005", "121007", "121006"  #: DCM
DEEPEST = 30  #: levels of a content tree

Concept = tuple[str, str, str]  #: value, scheme, meaning


def impression_from_sr(dataset: Dataset) -> str | None:
    """Return the impression of a radiologist's SR, still identified; None of any other document."""
    if dataset.get("SOPClassUID") not in CLASSES or is_machine(dataset):
        return None
    for wanted in (IMPRESSIONS, SUMMARIES):
        if text := stated_impression("\n".join(_under(dataset, wanted))):
            return text
    return impression_of("\n".join(_lines(dataset, 0)))


def is_machine(dataset: Dataset) -> bool:
    """Tell whether no person wrote a document."""
    observers = {
        _concept(item, "ConceptCodeSequence")[0]
        for item in dataset.get("ContentSequence") or ()
        if _concept(item)[0] == OBSERVER_TYPE
    }
    by_device = DEVICE in observers and PERSON not in observers
    return by_device or _concept(dataset)[0] == MEASUREMENT_REPORT or _speaks_ours(dataset, 0)


def sr_rank(dataset: Dataset) -> tuple[bool, bool, str]:
    """Return what the best of several reports on a study has most of: word, completeness, youth."""
    moment = f"{dataset.get('ContentDate') or ''}{dataset.get('ContentTime') or ''}"
    return (
        dataset.get("VerificationFlag") == "VERIFIED",
        dataset.get("CompletionFlag") != "PARTIAL"
        and dataset.get("PreliminaryFlag") != "PRELIMINARY",
        moment,
    )


def _under(item: Dataset, wanted: set[str]) -> Iterator[str]:
    """Yield the text of items of a concept, and of all that a container of it holds."""
    for child in item.get("ContentSequence") or ():
        code, _scheme, meaning = _concept(child)
        if code in wanted or (wanted is IMPRESSIONS and normalised(meaning) in STRONG_HEADINGS):
            yield from _texts(child, 0)
        else:
            yield from _under(child, wanted)


def _texts(item: Dataset, depth: int) -> Iterator[str]:
    """Yield what an item says and all below it; a coded answer by its meaning."""
    kind = item.get("ValueType")
    if kind == "TEXT":
        yield str(item.get("TextValue") or "")
    elif kind == "CODE" and item.get("RelationshipType") == "CONTAINS":
        yield _concept(item, "ConceptCodeSequence")[2]
    if depth < DEEPEST:
        for child in item.get("ContentSequence") or ():
            yield from _texts(child, depth + 1)


def _lines(item: Dataset, depth: int) -> Iterator[str]:
    """Yield a document as plain text: names of containers and items as headings over their text."""
    for child in item.get("ContentSequence") or ():
        kind, meaning = child.get("ValueType"), _concept(child)[2]
        if kind == "CONTAINER" and meaning:
            yield f"{meaning}:"
        elif kind == "TEXT":
            yield f"{meaning}:" if meaning else ""
            yield str(child.get("TextValue") or "")
        if depth < DEEPEST:
            yield from _lines(child, depth + 1)


def _speaks_ours(item: Dataset, depth: int) -> bool:
    schemes = {_concept(item)[1], _concept(item, "ConceptCodeSequence")[1]}
    declared = item.get("CodingSchemeIdentificationSequence") or ()
    schemes |= {str(each.get("CodingSchemeDesignator") or "") for each in declared}
    return OURS in schemes or (
        depth < DEEPEST
        and any(_speaks_ours(child, depth + 1) for child in item.get("ContentSequence") or ())
    )


def _concept(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Concept:
    """Return the code of an item, blank where it has none."""
    code = next(iter(item.get(keyword) or ()), Dataset())
    value, scheme, meaning = (
        str(code.get(name) or "").strip()
        for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    return value, scheme, meaning
