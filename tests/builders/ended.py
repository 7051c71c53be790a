"""A small worker without processes; a test chooses how its studies end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.builders.images import image, part10, uid
from tests.contract.ledgers import HOLDER, SOURCE
from tests.fakes import FakeClock
from triage.domain.delivery import Product
from triage.domain.retention import EndedStudy, RetentionLimits
from triage.domain.study import Event, State, StudyRevision
from triage.pipeline.intake import Intake
from triage.pipeline.retention import RetentionRunner
from triage.ports.clock import Clock
from triage.ports.library import Library
from triage.store.ledger import SqlLedger
from triage.store.retention import SqlRetention
from triage.store.spool import FileSpool

IMAGES = 3


@dataclass
class WorkerWithStudies:
    """Spool, ledger and intake in one folder."""

    folder: Path
    clock: Clock

    def __post_init__(self) -> None:
        self.spool = FileSpool(self.folder)
        self.ledger = SqlLedger.in_folder(self.folder, self.clock)
        self.retention = SqlRetention(self.ledger._database, self.clock)
        self.intake = Intake(self.spool, self.ledger)

    def close(self) -> None:
        self.ledger.close()

    def receive(self, study: str, *numbers: int) -> StudyRevision:
        """Take images in."""
        for number in numbers or range(IMAGES):
            self.intake.accept(part10(image(study, number=number)), SOURCE)
        return self.latest(study)

    def latest(self, study: str) -> StudyRevision:
        return [s for s in self.ledger.list_studies() if s.study_uid == uid(study)][-1]

    def assess(self, study: str, *numbers: int) -> list[int]:
        """Bring a study to its reports; return the ids of its deliveries."""
        assert self.ledger.move(self.receive(study, *numbers), Event.JUDGED_COMPLETE, "quiet")
        revision = self.latest(study).revision
        claimed = self.ledger.claim(uid(study), revision, HOLDER, 30)
        assert claimed is not None
        product = report(study, revision)
        due = self.ledger.finish(claimed, HOLDER, "{}", [product], [(product, "pacs")])
        assert due is not None
        return list(due)

    def end(self, study: str, state: State, *numbers: int) -> None:
        """Bring a study to its end."""
        if state is State.DECLINED:
            assert self.ledger.move(self.receive(study, *numbers), Event.JUDGED_COMPLETE, "quiet")
            claimed = self.ledger.claim(uid(study), self.latest(study).revision, HOLDER, 30)
            assert claimed is not None
            assert self.ledger.move(claimed, Event.DECLINED, "not for us", HOLDER)
            return
        for delivery in self.assess(study, *numbers):
            if state is State.FAILED:
                self.ledger.record_failure(delivery, "no", None)
            else:
                self.ledger.record_delivered(delivery, "0x0000 Success")

    def mark(self, study: str) -> Sequence[str]:
        """Mark the images of a study for removal, whenever it has ended."""
        return self.retention.mark_for_removal([ended_long_ago(uid(study))])

    def pruner(self, limits: RetentionLimits, cases: Library | None = None) -> RetentionRunner:
        return RetentionRunner(self.spool, self.retention, cases, self.clock, limits)

    def files(self, study: str) -> int:
        return len(self.spool.list_files(uid(study)))


def ended_long_ago(study_uid: str) -> EndedStudy:
    """Return a study that is chosen to go, whatever was its last hour."""
    return EndedStudy(study_uid, frozenset(), math.inf)


def report(study: str, revision: int = 1) -> Product:
    """Return a report of a study."""
    sop_class = "1.2.840.10008.5.1.4.1.1.88.34"
    return Product("structured_report", sop_class, uid(study, "report", revision), b"report")


def worker(folder: Path) -> WorkerWithStudies:
    """Return a worker whose clock does not move."""
    return WorkerWithStudies(folder, FakeClock())
