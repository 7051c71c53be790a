"""Extracts the impression from a radiologist's DICOM SR (PS3.3 A.35, PS3.16 TID 2000).

A document written by a machine is never read as a radiologist's report, whether verified or not. A
document counts as written by a machine if it uses the worker's own codes, if its observer is a
device and no person (TID 1002), or if it is a measurement report (TID 1500). A missing verification
does not exclude a document, because many systems never set the flag; it only ranks lower.

The impression is the text under a coded heading for impressions or conclusions (CID 7001, or a
heading with such a meaning in a private code). Without a coded heading, the whole document is laid
out as plain text with its headings and searched like a text report. This also covers sites that put
the report into one TEXT item.
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
SUMMARIES = {"121111", "55112-7"}  #: DCM and LOINC: a summary, used without an impression
MEASUREMENT_REPORT = "126000"  #: DCM
OBSERVER_TYPE, DEVICE, PERSON = "121005", "121007", "121006"  #: DCM
DEEPEST = 30  #: levels of a content tree that are read

Concept = tuple[str, str, str]  #: value, scheme, meaning


def impression_from_sr(dataset: Dataset) -> str | None:
    """Return the impression of a radiologist's SR, not de-identified; None for other documents."""
    if dataset.get("SOPClassUID") not in CLASSES or is_machine_written(dataset):
        return None
    for wanted in (IMPRESSIONS, SUMMARIES):
        if text := stated_impression("\n".join(_texts_under(dataset, wanted))):
            return text
    return impression_of("\n".join(_plain_text_lines(dataset, 0)))


def is_machine_written(dataset: Dataset) -> bool:
    """Return whether a device, not a person, wrote a document."""
    observers = {
        _concept(item, "ConceptCodeSequence")[0]
        for item in dataset.get("ContentSequence") or ()
        if _concept(item)[0] == OBSERVER_TYPE
    }
    by_device = DEVICE in observers and PERSON not in observers
    return by_device or _concept(dataset)[0] == MEASUREMENT_REPORT or _uses_our_codes(dataset, 0)


def sr_rank(dataset: Dataset) -> tuple[bool, bool, str]:
    """Return the sort key of a report: verified, complete, then its content date and time."""
    moment = f"{dataset.get('ContentDate') or ''}{dataset.get('ContentTime') or ''}"
    return (
        dataset.get("VerificationFlag") == "VERIFIED",
        dataset.get("CompletionFlag") != "PARTIAL"
        and dataset.get("PreliminaryFlag") != "PRELIMINARY",
        moment,
    )


def _texts_under(item: Dataset, wanted: set[str]) -> Iterator[str]:
    """Yield the texts of items with a wanted concept name, and of all items below them."""
    for child in item.get("ContentSequence") or ():
        code, _scheme, meaning = _concept(child)
        if code in wanted or (wanted is IMPRESSIONS and normalised(meaning) in STRONG_HEADINGS):
            yield from _texts(child, 0)
        else:
            yield from _texts_under(child, wanted)


def _texts(item: Dataset, depth: int) -> Iterator[str]:
    """Yield the text of an item and of all items below it; a code gives its meaning."""
    kind = item.get("ValueType")
    if kind == "TEXT":
        yield str(item.get("TextValue") or "")
    elif kind == "CODE" and item.get("RelationshipType") == "CONTAINS":
        yield _concept(item, "ConceptCodeSequence")[2]
    if depth < DEEPEST:
        for child in item.get("ContentSequence") or ():
            yield from _texts(child, depth + 1)


def _plain_text_lines(item: Dataset, depth: int) -> Iterator[str]:
    """Yield a document as lines of text, with concept names as headings."""
    for child in item.get("ContentSequence") or ():
        kind, meaning = child.get("ValueType"), _concept(child)[2]
        if kind == "CONTAINER" and meaning:
            yield f"{meaning}:"
        elif kind == "TEXT":
            yield f"{meaning}:" if meaning else ""
            yield str(child.get("TextValue") or "")
        if depth < DEEPEST:
            yield from _plain_text_lines(child, depth + 1)


def _uses_our_codes(item: Dataset, depth: int) -> bool:
    schemes = {_concept(item)[1], _concept(item, "ConceptCodeSequence")[1]}
    declared = item.get("CodingSchemeIdentificationSequence") or ()
    schemes |= {str(scheme.get("CodingSchemeDesignator") or "") for scheme in declared}
    return OURS in schemes or (
        depth < DEEPEST
        and any(_uses_our_codes(child, depth + 1) for child in item.get("ContentSequence") or ())
    )


def _concept(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Concept:
    """Return the code of an item; blanks if it has none."""
    code = next(iter(item.get(keyword) or ()), Dataset())
    value, scheme, meaning = (
        str(code.get(name) or "").strip()
        for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    return value, scheme, meaning
