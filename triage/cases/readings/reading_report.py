"""One radiologist's report, from whichever source, before it is joined to a study.

Rule: it holds the impression alone. The rest of a report, which tells most of who the patient is,
is dropped while the source is read. What it holds is still identified: only `joined` hands it on.
"""

from dataclasses import dataclass

from triage.cases.readings.identifiers import NO_IDENTIFIERS, Identifiers


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What a source says of one study, and what it says to find the study by."""

    study_uid: str = ""
    accession: str = ""
    filler: str = ""  #: the filler's order number, which many sites use as accession number
    impression: str | None = None  #: None: the report has no impression that can be told apart
    confirmed: tuple[str, ...] = ()  #: ids of findings that a radiologist confirmed
    labelled: bool = False  #: whether it says which are confirmed, if only that none is
    patient_ids: tuple[str, ...] = ()  #: of whom the report is, where it says so
    final: bool = True  #: False: preliminary; never takes the place of a final one
    moment: str = ""  #: when it was reported, digits from the year on; later ones win
    known: Identifiers = (
        NO_IDENTIFIERS  #: persons and numbers that the source names beside the text
    )
