"""The reports of a site, and which of them belongs to a study.

Rule: a doubt is a no. A report is found by its Study Instance UID, else by its accession number,
else by the filler's order number; one that names another patient, or another study, is refused and
counted, for accession numbers of two issuers can be the same. What is handed on has no identifiers.

Two different texts for one study: in a table, where nothing says which one counts, that is an
error; of HL7 messages a final one stands over a preliminary one, then the later one. What the
files say stands over the SRs in the archive.
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
from triage.domain.errors import ConfigurationError

TABLES = (".csv", ".tsv")  #: files of a folder that are read as tables


@dataclass(frozen=True)
class LinkedReading:
    """What is known of a past study, without identifiers."""

    impression: str = ""
    confirmed: tuple[str, ...] = ()  #: ids of findings that a radiologist confirmed
    labelled: bool = False  #: whether somebody said which are, if only that none is
    from_archive: bool = False  #: the text is of an SR; files stand over it


@dataclass
class ReportTally:
    """What became of the reports, to be told at the end."""

    read: int = 0
    without_impression: int = 0  #: no heading tells where the impression is
    joined: int = 0
    other_patient: int = 0  #: refused: the report names another Patient ID
    other_study: int = 0  #: refused: same accession number, another Study Instance UID


@dataclass
class ReportIndex:
    """The reports of all sources. A report is here once, under each of its keys."""

    tally: ReportTally = field(default_factory=ReportTally)
    _by_study: dict[str, ReadingReport] = field(default_factory=dict)
    _by_accession: dict[str, ReadingReport] = field(default_factory=dict)
    _by_filler: dict[str, ReadingReport] = field(default_factory=dict)

    def find_reading(
        self, header: Dataset, documents: Iterable[Dataset] = ()
    ) -> LinkedReading | None:
        """Return what is known of the study of `header`, None if there is nothing.

        `header` is that of any of its images, `documents` are SRs that lie beside them.
        """
        report, also = self._found(header), NO_IDENTIFIERS
        text, confirmed = (report.impression, report.confirmed) if report else (None, ())
        labelled, archived = report is not None and report.labelled, False
        if not text and (document := self._document(header, documents)) is not None:
            text, also, archived = impression_from_sr(document), header_identifiers(document), True
        if not text and not labelled:
            return None
        self.tally.joined += 1
        known = header_identifiers(header) | also | (report.known if report else NO_IDENTIFIERS)
        said = deidentify(text, known) if text else ""
        return LinkedReading(said, confirmed, labelled, archived)

    def add(self, report: ReadingReport, place: str = "") -> None:
        """Take a report; raise ConfigurationError where two rows contradict each other."""
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

    def _found(self, header: Dataset) -> ReadingReport | None:
        uid, accession = (
            str(header.get("StudyInstanceUID", "")),
            _key(header.get("AccessionNumber")),
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
        return report if self._same_patient(report.patient_ids, header) else None

    def _document(self, header: Dataset, documents: Iterable[Dataset]) -> Dataset | None:
        """Return the best SR of this study and patient that has an impression."""
        told = [
            each
            for each in documents
            if each.get("StudyInstanceUID") == header.get("StudyInstanceUID")
            and impression_from_sr(each)
            and self._same_patient((str(each.get("PatientID") or ""),), header)
        ]
        return max(told, key=sr_rank, default=None)

    def _same_patient(self, patient_ids: Sequence[str], header: Dataset) -> bool:
        theirs = {_number(each) for each in patient_ids} - {""}
        ours = {_number(each) for each in _patient_ids(header)} - {""}
        if not theirs or not ours or theirs & ours:
            return True
        self.tally.other_patient += 1
        return False


def read_reports(paths: Sequence[Path]) -> ReportIndex:
    """Read CSV files, HL7 files and folders of both; raise ConfigurationError, naming the line."""
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
    """Yield a file that was named, or those of a folder that are HL7 or tables."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            hidden = file.name.startswith(".") or not file.is_file()
            if not hidden and (file.suffix.lower() in TABLES or is_hl7(file)):
                yield file
    else:
        raise ConfigurationError(f"there is no file or folder {path}")


def _replaces(report: ReadingReport, before: ReadingReport, place: str) -> bool:
    """Tell whether a report takes the place of one under the same key."""
    if report.study_uid != before.study_uid and report.study_uid and before.study_uid:
        return False  # of an accession number with several studies; each is found by its UID
    if not report.moment and not before.moment and _differ(report, before):
        raise ConfigurationError(
            f"{place}: a second, different report for the same study or accession number: keep one,"
            " or tell them apart by study_uid"
        )
    return (report.final, report.moment) >= (before.final, before.moment)


def _differ(one: ReadingReport, other: ReadingReport) -> bool:
    return (one.impression, one.confirmed) != (other.impression, other.confirmed)


def _key(value: object) -> str:
    return str(value or "").strip().upper()


def _patient_ids(header: Dataset) -> Iterator[str]:
    yield str(header.get("PatientID") or "")
    for item in header.get("OtherPatientIDsSequence") or ():
        yield str(item.get("PatientID") or "")


def _number(value: str) -> str:
    """What two spellings of one number have in common: case, and zeros and blanks before it."""
    return value.strip().upper().lstrip("0")
