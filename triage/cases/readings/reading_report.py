"""One radiologist's report from any source, before it is linked to a study.

It has only the impression: the other sections, which contain most identifiers of the patient, are
dropped while the source is read. The impression is not de-identified yet; `report_index` does that.
"""

from dataclasses import dataclass

from triage.cases.readings.identifiers import NO_IDENTIFIERS, Identifiers


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """The reading of one study, and the numbers that link it to the study."""

    study_uid: str = ""
    accession: str = ""
    filler: str = ""  #: the filler's order number, which many sites use as accession number
    impression: str | None = None  #: None: no impression was found in the report
    confirmed: tuple[str, ...] = ()  #: ids of findings that a radiologist confirmed
    labelled: bool = False  #: whether `confirmed` is stated, even as "none"
    patient_ids: tuple[str, ...] = ()  #: Patient IDs in the report, if any
    final: bool = True  #: False: preliminary; never replaces a final report
    moment: str = ""  #: time of the report, digits from the year on; a later report replaces it
    known: Identifiers = (
        NO_IDENTIFIERS  #: persons and numbers that the source names beside the text
    )
