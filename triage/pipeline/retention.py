"""Use case: what the site wants kept no longer goes.

Rule: nothing goes but what `domain.retention` says, and what it said is looked at once more in the
transaction that removes. Stopped anywhere and begun again, it goes on where it was. What is logged
are Study UIDs and counts.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from triage.domain.errors import LedgerUnavailable
from triage.domain.retention import (
    SETTLED_S,
    EndedStudy,
    RetentionLimits,
    StoredFile,
    select_expired,
    select_for_space,
)
from triage.pipeline.audit_events import StudyTrail
from triage.ports.clock import Clock
from triage.ports.library import Library
from triage.ports.retention import RetentionLedger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

AGE, ROOM = "by age", "for want of room"
SAYING = {"reports", "history and incidents"}  #: what may say something of a patient
AT_ONCE = 20  #: studies whose images go together


@dataclass(frozen=True)
class Removal:
    """Something that is kept no longer."""

    what: str
    items: int
    size: int  #: bytes
    since: float  #: seconds since the epoch; 0.0 where it is many things
    why: str
    study_uid: str = ""  #: "" where it is of no one study


@dataclass(frozen=True)
class RetentionRunner:
    """Everything that removing needs."""

    spool: Spool
    ledger: RetentionLedger
    cases: Library | None  #: None: past cases stay
    clock: Clock
    limits: RetentionLimits
    trail: StudyTrail | None = None  #: told of studies whose images go; None: a site keeps none

    def plan(self) -> list[Removal]:
        """Return what would go now."""
        now = self.clock.now()
        return [
            *(self._images(study, why) for study, why in self._studies(now)),
            *(self._reports(study) for study in self._reported(now)),
            *_together("refused files", self._refused(now)),
            *self._records(now),
            *self._cases(now),
        ]

    def prune(self, is_ended: Callable[[], bool] = lambda: False) -> list[Removal]:
        """Remove it, or some of it if `is_ended` comes true meanwhile; return what went."""
        self.finish()
        if not self.limits.has_any:
            return []
        now = self.clock.now()
        gone = [
            *self._remove_images(list(self._studies(now)), is_ended),
            *self._remove_reports(list(self._reported(now)), is_ended),
            *self._remove_refused(now),
            *self._remove_records(now),
            *self._remove_cases(now),
        ]
        if any(each.what in SAYING for each in gone):
            self._shred()
        return gone

    def _shred(self) -> None:
        try:
            self.ledger.shred()
        except LedgerUnavailable as error:  # a reader holds it up; later writing goes over it
            log.warning("what was removed is not written over yet", error=str(error))

    def finish(self) -> None:
        """Go on with what a crash has left half removed."""
        for study_uid in self.ledger.list_marked():
            self._remove(study_uid)

    # -- images

    def _studies(self, now: float) -> Iterator[tuple[EndedStudy, str]]:
        """Yield the studies whose images go, and why."""
        here = self.ledger.list_with_images()
        by_age = [
            each for each in select_expired(here, now, self.limits) if self._is_settled(each, now)
        ]
        yield from ((study, AGE) for study in by_age)
        if (
            self.limits.free_bytes is None
            or (free := self.spool.measure_free_bytes_where_kept()) is None
        ):
            return
        freed = sum(self._size(study) for study in by_age)
        missing = self.limits.free_bytes - free - freed
        taken = {study.study_uid for study in by_age}
        for study in select_for_space(here, now):
            if missing <= 0:
                return
            if study.study_uid not in taken and self._is_settled(study, now):
                missing -= self._size(study)
                yield study, ROOM

    def _is_settled(self, study: EndedStudy, now: float) -> bool:
        """Tell whether no copy that contradicts an instance is so new that it has to stay.

        Its study waits for it: once it has no row left nobody looks at it again.
        """
        return all(
            each.at < now - SETTLED_S for each in _apart(self.spool.list_files(study.study_uid))
        )

    def _size(self, study: EndedStudy) -> int:
        return sum(each.size for each in self.spool.list_files(study.study_uid))

    def _images(self, study: EndedStudy, why: str) -> Removal:
        lying = self.spool.list_files(study.study_uid)
        size = sum(each.size for each in lying)
        return Removal("images", len(lying), size, study.since, why, study.study_uid)

    def _remove_images(
        self, chosen: Sequence[tuple[EndedStudy, str]], is_ended: Callable[[], bool]
    ) -> Iterator[Removal]:
        for start in range(0, len(chosen), AT_ONCE):  # while marked they take nothing in
            if is_ended():
                return
            some = chosen[start : start + AT_ONCE]
            going = {study.study_uid: self._images(study, why) for study, why in some}
            for study_uid in self.ledger.mark_for_removal([study for study, _ in some]):
                self._remove(study_uid)
                yield going[study_uid]

    def _remove(self, study_uid: str) -> None:
        if self.trail is not None:
            self.trail.record_removal(study_uid)
        # Copies that contradict an instance stand in no row; they are of the study, and go first.
        settled = self.clock.now() - SETTLED_S
        apart = [each for each in _apart(self.spool.list_files(study_uid)) if each.at < settled]
        self.spool.remove([each.path for each in apart])
        removed = self.ledger.remove_images(study_uid, self.spool.remove)
        log.info("images removed", study_uid=study_uid, instances=removed, apart=len(apart))

    # -- reports

    def _reported(self, now: float) -> Iterator[EndedStudy]:
        if self.limits.products_s is not None:
            yield from select_expired(
                self.ledger.list_with_products(), now, self.limits, reports=True
            )

    def _reports(self, study: EndedStudy) -> Removal:
        size = self.ledger.count_product_bytes(study.study_uid)
        return Removal("reports", 1, size, study.since, AGE, study.study_uid)

    def _remove_reports(
        self, chosen: Sequence[EndedStudy], is_ended: Callable[[], bool]
    ) -> Iterator[Removal]:
        for study in chosen:
            if is_ended():
                return
            going = self._reports(study)
            if self.ledger.remove_products(study):
                log.info("reports removed", study_uid=study.study_uid, bytes=going.size)
                yield going

    # -- what is of no one study

    def _refused(self, now: float) -> list[StoredFile]:
        limit_s = self.limits.quarantine_s
        if limit_s is None:
            return []
        return [each for each in self.spool.list_quarantined() if now - each.at >= limit_s]

    def _remove_refused(self, now: float) -> Iterator[Removal]:
        refused = self._refused(now)
        if refused:
            self.spool.remove_quarantined([each.path for each in refused])
            log.info("refused files removed", files=len(refused))
        yield from _together("refused files", refused)

    def _records(self, now: float) -> Iterator[Removal]:
        limit_s = self.limits.records_s
        if limit_s is not None and (lines := self.ledger.count_records(now - limit_s)):
            yield Removal("history and incidents", lines, 0, 0.0, AGE)

    def _remove_records(self, now: float) -> Iterator[Removal]:
        limit_s = self.limits.records_s
        if limit_s is not None and (lines := self.ledger.remove_records(now - limit_s)):
            log.info("history and incidents removed", lines=lines)
            yield Removal("history and incidents", lines, 0, 0.0, AGE)

    def _cases(self, now: float) -> Iterator[Removal]:
        if self.cases is None or (until := self._cases_until(now)) is None:
            return
        if count := self.cases.count_older(until):
            yield Removal("past cases", count, 0, 0.0, AGE)

    def _remove_cases(self, now: float) -> Iterator[Removal]:
        if self.cases is None or (until := self._cases_until(now)) is None:
            return
        if count := self.cases.remove_older(until):
            log.info("past cases removed", cases=count)
            yield Removal("past cases", count, 0, 0.0, AGE)

    def _cases_until(self, now: float) -> str | None:
        """Return the study date of the oldest cases that stay, as DICOM writes it (VR DA)."""
        if self.limits.cases_s is None:
            return None
        return datetime.fromtimestamp(now - self.limits.cases_s, UTC).strftime("%Y%m%d")


def _apart(lying: Sequence[StoredFile]) -> Sequence[StoredFile]:
    """Return the copies that contradict an instance."""
    return [each for each in lying if not each.path.endswith(".dcm")]


def _together(what: str, files: Sequence[StoredFile]) -> Iterator[Removal]:
    """Yield files as one thing, if there are any."""
    if files:
        oldest = min(each.at for each in files)
        yield Removal(what, len(files), sum(each.size for each in files), oldest, AGE)
