"""Use case: add past studies, with their radiologists' reports, to the case library.

Indexing can be stopped and started again at any time: a study that is a case already is left as it
is, unless a report on it has arrived since. A study that fails stops no other; it is returned with
the reason.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import structlog
from pydicom import Dataset

from triage.cases.past_cases import PastCases
from triage.cases.readings.report_index import ReportIndex
from triage.dicom.header import is_image_class, read_header
from triage.domain.errors import DamagedInstance, LedgerUnavailable, SpoolUnavailable, StudyDeclined
from triage.domain.study import State
from triage.imaging.rules import SeriesRules
from triage.pipeline.answers import answer_findings
from triage.pipeline.folder_studies import StudyFiles
from triage.pipeline.model_input import LoadedModel, Read, build_model_input
from triage.ports.instances import InstanceLedger
from triage.ports.library import Library
from triage.ports.studies import StudyLedger

log = structlog.get_logger(__name__)

#: Studies in these states have been assessed; any other may still grow, or was declined.
ASSESSED = (State.ASSESSED, State.DELIVERED)


class BackfillLedger(InstanceLedger, StudyLedger, Protocol):
    """The ports of the ledger that finding assessed studies needs."""


class IndexOutcome(StrEnum):
    """The outcome for one study."""

    INDEXED = "indexed"
    REPORT_ADDED = "known, report added"
    KNOWN = "known already"
    DECLINED = "declined"
    BROKEN = "broken"


@dataclass(frozen=True)
class Indexer:
    """Makes cases of past studies."""

    model: LoadedModel
    past: PastCases
    rules: SeriesRules
    read: Read
    reports: ReportIndex = field(default_factory=ReportIndex)
    reindex: bool = False  #: whether studies that are cases already are embedded again

    def index(self, study_uid: str, paths: Sequence[str]) -> tuple[IndexOutcome, str]:
        """Make one study a case; return the outcome, and the reason if it is none."""
        try:
            case = None if self.reindex else self.past.library.get_case(study_uid)
            if case is not None and case.impression and not self.reports.tally.read:
                return IndexOutcome.KNOWN, ""
            if case is not None:
                return self._add_report(study_uid, paths), ""
            return self._add_case(study_uid, paths), ""
        except StudyDeclined as error:
            return IndexOutcome.DECLINED, str(error.reason)
        except (LedgerUnavailable, SpoolUnavailable):
            raise  # nothing is wrong with the study
        except OSError as error:
            return IndexOutcome.BROKEN, error.strerror or type(error).__name__
        except Exception as error:  # a defect: one study must not end the night's work
            log.exception("a study was not indexed", study_uid=study_uid)
            return IndexOutcome.BROKEN, f"{type(error).__name__}: see the log"

    def _add_case(self, study_uid: str, paths: Sequence[str]) -> IndexOutcome:
        seen = build_model_input(study_uid, paths, self.read, self.model, self.rules)
        reading = self.reports.find_reading(seen.evidence[0], seen.documents)
        answers = answer_findings(seen, self.model).answers
        self.past.add_study(seen.evidence[0], seen.used_views, answers, seen.embedding, reading)
        return IndexOutcome.INDEXED

    def _add_report(self, study_uid: str, paths: Sequence[str]) -> IndexOutcome:
        """Add the report on a known case, if there is a new one."""
        headers = list(self._read_headers(paths))
        images = (header for header in headers if is_image_class(header.SOPClassUID))
        image = next(images, None)
        documents = [header for header in headers if not is_image_class(header.SOPClassUID)]
        reading = None if image is None else self.reports.find_reading(image, documents)
        is_new = reading is not None and self.past.record_reading(study_uid, reading)
        return IndexOutcome.REPORT_ADDED if is_new else IndexOutcome.KNOWN

    def _read_headers(self, paths: Sequence[str]) -> Iterator[Dataset]:
        for path in paths:
            try:
                yield read_header(self.read(path))
            except DamagedInstance:
                continue  # reported when the study became a case


def find_assessed_studies(ledger: BackfillLedger) -> StudyFiles:
    """Return the assessed studies whose images are in the spool, in their last revision."""
    studies = (study for study in ledger.list_studies(*ASSESSED) if not study.pruned_at)
    last = {study.study_uid: study.revision for study in studies}
    return {uid: ledger.list_paths(uid, revision) for uid, revision in last.items()}


def exclude_known_cases(library: Library, studies: StudyFiles) -> StudyFiles:
    """Return the studies that are no cases of a library."""
    return {uid: paths for uid, paths in studies.items() if library.get_case(uid) is None}


def select_studies(studies: StudyFiles, study_uids: Collection[str]) -> StudyFiles:
    """Return the studies that a worklist names."""
    wanted = set(study_uids)
    return {uid: paths for uid, paths in studies.items() if uid in wanted}


def read_worklist(lines: Iterable[str]) -> list[str]:
    """Return the Study Instance UIDs of a list, one a line, or of a table's first column."""
    cells = (line.replace(";", ",").split(",")[0].strip().strip('"') for line in lines)
    return [*dict.fromkeys(cell for cell in cells if cell and cell[0].isdigit())]
