"""Links radiologists' reports to studies, and returns their impressions de-identified.

A report is found by Study Instance UID, else by accession number, else by the filler's order
number. A report that names another patient or another study is rejected and counted, because two
issuers can assign the same accession number. In doubt there is no link.

Two different reports on one study: two rows of a table are an error, because nothing states which
one applies. A final HL7 message replaces a preliminary one, then the later message applies.
Reports in files take precedence over SRs in the archive.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from triage.cases.readings.deidentify import deidentify
from triage.cases.readings.identifiers import NO_IDENTIFIERS, header_identifiers
from triage.cases.readings.oru import read_oru
from triage.cases.readings.reading_report import ReadingReport
from triage.cases.readings.segments import is_hl7
from triage.cases.readings.sr_document import impression_from_sr, sr_rank
from triage.cases.readings.table import read_table
from triage.dicom.patient import text_value
from triage.domain.errors import ConfigurationError

TABLES = (".csv", ".tsv")  #: suffixes of the files in a folder that are read as tables


@dataclass(frozen=True)
class LinkedReading:
    """The reading of a past study, de-identified."""

    impression: str = ""
    confirmed: tuple[str, ...] = ()  #: ids of findings that a radiologist confirmed
    labelled: bool = False  #: whether `confirmed` is stated, even as "none"
    from_archive: bool = False  #: the text is from an SR; reports in files replace it


@dataclass
class ReportTally:
    """Counts of reports by outcome."""

    read: int = 0
    without_impression: int = 0  #: no heading begins an impression
    joined: int = 0  #: linked to a study
    other_patient: int = 0  #: rejected: the report names another Patient ID
    other_study: int = 0  #: rejected: same accession number, another Study Instance UID


@dataclass
class ReportIndex:
    """The reports of all sources, each under all of its keys."""

    tally: ReportTally = field(default_factory=ReportTally)
    _by_study: dict[str, ReadingReport] = field(default_factory=dict)
    _by_accession: dict[str, ReadingReport] = field(default_factory=dict)
    _by_filler: dict[str, ReadingReport] = field(default_factory=dict)

    def find_reading(
        self, header: Dataset, documents: Iterable[Dataset] = ()
    ) -> LinkedReading | None:
        """Return the reading of the study of `header`, None if there is none.

        `header` is of any of its images, `documents` are the SRs among its files.
        """
        report, also = self._find_report(header), NO_IDENTIFIERS
        text, confirmed = (report.impression, report.confirmed) if report else (None, ())
        labelled, archived = report is not None and report.labelled, False
        if not text and (document := self._best_document(header, documents)) is not None:
            text, also, archived = impression_from_sr(document), header_identifiers(document), True
        if not text and not labelled:
            return None
        self.tally.joined += 1
        known = header_identifiers(header) | also | (report.known if report else NO_IDENTIFIERS)
        impression = deidentify(text, known) if text else ""
        return LinkedReading(impression, confirmed, labelled, archived)

    def add(self, report: ReadingReport, place: str = "") -> None:
        """Add a report; raise ConfigurationError if two rows contradict each other."""
        self.tally.read += 1
        self.tally.without_impression += not (report.impression or report.labelled)
        keys = (
            (self._by_study, report.study_uid),
            # One accession number may have several studies.
            (self._by_accession, _key(report.accession)),
            (self._by_filler, _key(report.filler)),
        )
        for index, key in keys:
            before = index.get(key)
            if key and (before is None or _replaces(report, before, place)):
                index[key] = report

    def _find_report(self, header: Dataset) -> ReadingReport | None:
        uid, accession = (
            str(header.get("StudyInstanceUID", "")),
            _key(text_value(header, "AccessionNumber")),
        )
        report = (
            self._by_study.get(uid)
            or self._by_accession.get(accession)
            or self._by_filler.get(accession)
        )
        if report is None:
            return None
        if report.study_uid and report.study_uid != uid:
            self.tally.other_study += 1
            return None
        return report if self._is_same_patient(report.patient_ids, header) else None

    def _best_document(self, header: Dataset, documents: Iterable[Dataset]) -> Dataset | None:
        """Return the best SR of this study and patient that has an impression."""
        usable = [
            document
            for document in documents
            if document.get("StudyInstanceUID") == header.get("StudyInstanceUID")
            and impression_from_sr(document)
            and self._is_same_patient((text_value(document, "PatientID"),), header)
        ]
        return max(usable, key=sr_rank, default=None)

    def _is_same_patient(self, patient_ids: Sequence[str], header: Dataset) -> bool:
        theirs = {_normalised_id(patient_id) for patient_id in patient_ids} - {""}
        ours = {_normalised_id(patient_id) for patient_id in _patient_ids(header)} - {""}
        if not theirs or not ours or theirs & ours:
            return True
        self.tally.other_patient += 1
        return False


def read_reports(paths: Sequence[Path]) -> ReportIndex:
    """Read CSV files, HL7 files and folders of both; raise ConfigurationError with the line."""
    reports = ReportIndex()
    for path in paths:
        try:
            for file in _files(path):
                for line, report in read_oru(file) if is_hl7(file) else read_table(file):
                    reports.add(report, f"{file}, line {line}")
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    return reports


def _files(path: Path) -> Iterator[Path]:
    """Yield a file as it is, or the HL7 files and tables of a folder."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            is_hidden = file.name.startswith(".") or not file.is_file()
            if not is_hidden and (file.suffix.lower() in TABLES or is_hl7(file)):
                yield file
    else:
        raise ConfigurationError(f"{path}: no such file or folder")


def _replaces(report: ReadingReport, before: ReadingReport, place: str) -> bool:
    """Return whether a report replaces an earlier one with the same key."""
    if report.study_uid != before.study_uid and report.study_uid and before.study_uid:
        return False  # several studies share the accession number; each is found by its UID
    if not report.moment and not before.moment and _differ(report, before):
        raise ConfigurationError(
            f"{place}: a second, different report for the same study or accession number: keep one,"
            " or distinguish them by study_uid"
        )
    return (report.final, report.moment) >= (before.final, before.moment)


def _differ(one: ReadingReport, other: ReadingReport) -> bool:
    return (one.impression, one.confirmed) != (other.impression, other.confirmed)


def _key(value: object) -> str:
    return str(value or "").strip().upper()


def _patient_ids(header: Dataset) -> Iterator[str]:
    yield text_value(header, "PatientID")
    for item in header.get("OtherPatientIDsSequence") or ():
        yield text_value(item, "PatientID")


def _normalised_id(value: str) -> str:
    """Return a Patient ID in upper case, without leading zeros and surrounding spaces."""
    return value.strip().upper().lstrip("0")
