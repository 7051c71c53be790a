"""Use case: past studies become cases, with what their radiologists wrote.

Rule: it can be stopped and begun again at any time: what is a case already is left as it is, but
for a report that has come since. A study that fails stops no other, and is named with the reason.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog
from pydicom import Dataset

from triage.cases.past_cases import PastCases
from triage.cases.readings.report_index import ReportIndex
from triage.dicom.header import is_image_class, read_header, read_identity
from triage.domain.errors import DamagedInstance, LedgerUnavailable, SpoolUnavailable, StudyDeclined
from triage.domain.study import State
from triage.imaging.rules import SeriesRules
from triage.pipeline.model_input import LoadedModel, Read, answer_findings, build_model_input
from triage.ports.ledger import Ledger
from triage.ports.library import Library

log = structlog.get_logger(__name__)

StudyFiles = Mapping[str, Sequence[str]]  #: the paths of every study's files, by Study UID
#: Studies in these states have been looked at; any other may still be growing, or is not for us.
ASSESSED = (State.ASSESSED, State.DELIVERED)


class IndexOutcome(StrEnum):
    """What became of a study."""

    INDEXED = "indexed"
    REPORT_ADDED = "known, and now with its report"
    KNOWN = "known already"
    DECLINED = "declined"
    BROKEN = "broken"


@dataclass(frozen=True)
class Indexer:
    """Everything that makes cases of past studies."""

    model: LoadedModel
    past: PastCases
    rules: SeriesRules
    read: Read
    reports: ReportIndex = field(default_factory=ReportIndex)
    reindex: bool = False  #: embed what is a case already, too

    def index(self, study_uid: str, paths: Sequence[str]) -> tuple[IndexOutcome, str]:
        """Make one study a case; return what became of it, and why where it is none."""
        try:
            case = None if self.reindex else self.past.library.get_case(study_uid)
            if case is not None and case.impression and not self.reports.tally.read:
                return IndexOutcome.KNOWN, ""
            if case is not None:
                return self._tell(study_uid, paths), ""
            return self._add(study_uid, paths), ""
        except StudyDeclined as why:
            return IndexOutcome.DECLINED, str(why)
        except (LedgerUnavailable, SpoolUnavailable):
            raise  # nothing is wrong with the study
        except OSError as error:
            return IndexOutcome.BROKEN, error.strerror or type(error).__name__
        except Exception as error:
            # One study in ten thousand must not end the night's work; it is named, and told of.
            log.exception("a study was not indexed", study_uid=study_uid)
            return IndexOutcome.BROKEN, f"{type(error).__name__}: see the log"

    def _add(self, study_uid: str, paths: Sequence[str]) -> IndexOutcome:
        seen = build_model_input(study_uid, paths, self.read, self.model, self.rules)
        known = self.reports.find_reading(seen.evidence[0], seen.documents)
        found = answer_findings(seen, self.model)
        self.past.add_study(seen.evidence[0], seen.used_views, found, seen.embedding, known)
        return IndexOutcome.INDEXED

    def _tell(self, study_uid: str, paths: Sequence[str]) -> IndexOutcome:
        """Join the report of a known case, if there is one that it has not."""
        headers = list(self._headers(paths))
        header = next((each for each in headers if is_image_class(each.SOPClassUID)), None)
        documents = [each for each in headers if not is_image_class(each.SOPClassUID)]
        known = None if header is None else self.reports.find_reading(header, documents)
        told = known is not None and self.past.record_reading(study_uid, known)
        return IndexOutcome.REPORT_ADDED if told else IndexOutcome.KNOWN

    def _headers(self, paths: Sequence[str]) -> Iterator[Dataset]:
        for path in paths:
            try:
                yield read_header(self.read(path))
            except DamagedInstance:
                continue  # `build_model_input` has told of it when the study became a case


def find_studies_in_folder(
    folder: Path, done: Callable[[], None] = lambda: None
) -> tuple[StudyFiles, int]:
    """Return the studies below a folder, and how many files are no DICOM; `done` is told of each.

    Every file is read once, for nothing but its data set says which study it is of.
    """
    found: dict[str, list[str]] = defaultdict(list)
    others = 0
    for path in list_files(folder):
        try:
            found[read_identity(path.read_bytes()).study_uid].append(str(path))
        except (DamagedInstance, OSError):
            others += 1
        done()
    return found, others


def list_files(folder: Path) -> list[Path]:
    """Return every file below a folder, in order; not what is hidden: it may still be arriving."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder)
    )


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def find_assessed_studies(ledger: Ledger) -> StudyFiles:
    """Return the studies that have been assessed, in their last revision, if they are here."""
    here = (study for study in ledger.list_studies(*ASSESSED) if not study.pruned_at)
    last = {study.study_uid: study.revision for study in here}
    return {uid: ledger.list_paths(uid, revision) for uid, revision in last.items()}


def exclude_known_cases(library: Library, archive: StudyFiles) -> StudyFiles:
    """Return the studies of an archive that are no cases of a library."""
    return {uid: paths for uid, paths in archive.items() if library.get_case(uid) is None}


def select_studies(archive: StudyFiles, study_uids: Collection[str]) -> StudyFiles:
    """Return the studies of an archive that a worklist names."""
    named = set(study_uids)
    return {uid: paths for uid, paths in archive.items() if uid in named}


def read_worklist(lines: Iterable[str]) -> list[str]:
    """Return the Study UIDs of a list in its order, one a line; of a table its first column."""
    cells = (line.replace(";", ",").split(",")[0].strip().strip('"') for line in lines)
    return [*dict.fromkeys(cell for cell in cells if cell and cell[0].isdigit())]
