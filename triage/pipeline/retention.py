"""Use case: remove what the site's `retention` settings do not keep any longer.

`triage.domain.retention` selects what is removed, and the transaction that removes checks it again.
Removal can be stopped anywhere and continues where it was. Only Study Instance UIDs and counts are
logged.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
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

AGE, SPACE = "age", "disk space"  #: why something is removed
#: Kinds of removals whose rows may name a patient, so the database's files are overwritten.
SENSITIVE = {"reports", "history and incidents"}
AT_ONCE = 20  #: studies whose images are removed together


@dataclass(frozen=True)
class Removal:
    """Something that is removed."""

    what: str
    items: int
    size: int  #: bytes
    since: float  #: seconds since the epoch; 0.0 if it has no single time
    why: str
    study_uid: str = ""  #: empty if it belongs to no single study


@dataclass(frozen=True)
class RetentionRunner:
    """Plans and carries out removals."""

    spool: Spool
    ledger: RetentionLedger
    cases: Library | None  #: None: past cases are kept
    clock: Clock
    limits: RetentionLimits
    trail: StudyTrail | None = None  #: records audit events; None: no audit trail

    def plan(self) -> list[Removal]:
        """Return what would be removed now."""
        now = self.clock.now()
        return [
            *(self._describe_images(study, why) for study, why in self._select_studies(now)),
            *(self._describe_reports(study) for study in self._select_reported(now)),
            *_describe_files("refused files", self._select_refused(now)),
            *self._plan_records(now),
            *self._plan_cases(now),
        ]

    def prune(self, is_ended: Callable[[], bool] = lambda: False) -> list[Removal]:
        """Remove until done or until `is_ended` returns True; return what was removed."""
        self.finish_removals()
        if not self.limits.has_any:
            return []
        now = self.clock.now()
        removed = [
            *self._remove_images(list(self._select_studies(now)), is_ended),
            *self._remove_reports(list(self._select_reported(now)), is_ended),
            *self._remove_refused(now),
            *self._remove_records(now),
            *self._remove_cases(now),
        ]
        if any(removal.what in SENSITIVE for removal in removed):
            self._overwrite_removed_rows()
        return removed

    def _overwrite_removed_rows(self) -> None:
        try:
            self.ledger.shred()
        except LedgerUnavailable as error:  # a reader holds it up; a later call overwrites
            log.warning("what was removed is not overwritten yet", error=str(error))

    def finish_removals(self) -> None:
        """Finish removals that a crash interrupted."""
        for study_uid in self.ledger.list_marked():
            self._remove_study_images(study_uid)

    # -- images

    def _select_studies(self, now: float) -> Iterator[tuple[EndedStudy, str]]:
        """Yield the studies whose images are removed, and why."""
        ended = self.ledger.list_with_images()
        expired = select_expired(ended, now, self.limits)
        aged = [study for study in expired if self._is_settled(study, now)]
        yield from ((study, AGE) for study in aged)
        if self.limits.free_bytes is None:
            return
        free = self.spool.measure_free_bytes_where_kept()
        if free is None:
            return
        missing = self.limits.free_bytes - free - sum(self._measure_size(study) for study in aged)
        chosen = {study.study_uid for study in aged}
        for study in select_for_space(ended, now):
            if missing <= 0:
                return
            if study.study_uid not in chosen and self._is_settled(study, now):
                missing -= self._measure_size(study)
                yield study, SPACE

    def _is_settled(self, study: EndedStudy, now: float) -> bool:
        """Return whether all conflicting copies are old enough to be removed with the study.

        A new one delays the study: without a row of the study nothing would remove it later.
        """
        copies = _select_conflicting(self.spool.list_files(study.study_uid))
        return all(copy.at < now - SETTLED_S for copy in copies)

    def _measure_size(self, study: EndedStudy) -> int:
        return sum(file.size for file in self.spool.list_files(study.study_uid))

    def _describe_images(self, study: EndedStudy, why: str) -> Removal:
        files = self.spool.list_files(study.study_uid)
        size = sum(file.size for file in files)
        return Removal("images", len(files), size, study.since, why, study.study_uid)

    def _remove_images(
        self, chosen: Sequence[tuple[EndedStudy, str]], is_ended: Callable[[], bool]
    ) -> Iterator[Removal]:
        for start in range(0, len(chosen), AT_ONCE):  # marked studies accept no instances
            if is_ended():
                return
            batch = chosen[start : start + AT_ONCE]
            removals = {study.study_uid: self._describe_images(study, why) for study, why in batch}
            for study_uid in self.ledger.mark_for_removal([study for study, _ in batch]):
                self._remove_study_images(study_uid)
                yield removals[study_uid]

    def _remove_study_images(self, study_uid: str) -> None:
        if self.trail is not None:
            self.trail.record_removal(study_uid)
        # Conflicting copies have no row in the ledger, so they are removed first.
        settled = self.clock.now() - SETTLED_S
        copies = _select_conflicting(self.spool.list_files(study_uid))
        old = [copy.path for copy in copies if copy.at < settled]
        self.spool.remove(old)
        removed = self.ledger.remove_images(study_uid, self._remove_copies)
        log.info("images removed", study_uid=study_uid, instances=removed, conflicting=len(old))

    def _remove_copies(self, paths: Collection[str]) -> None:
        """Remove stored files, and the first copies of those that replaced them."""
        self.spool.remove({*paths, *map(self.spool.name_first_copy, paths)})

    # -- reports

    def _select_reported(self, now: float) -> Iterator[EndedStudy]:
        if self.limits.products_s is not None:
            studies = self.ledger.list_with_products()
            yield from select_expired(studies, now, self.limits, reports=True)

    def _describe_reports(self, study: EndedStudy) -> Removal:
        size = self.ledger.count_product_bytes(study.study_uid)
        return Removal("reports", 1, size, study.since, AGE, study.study_uid)

    def _remove_reports(
        self, chosen: Sequence[EndedStudy], is_ended: Callable[[], bool]
    ) -> Iterator[Removal]:
        for study in chosen:
            if is_ended():
                return
            removal = self._describe_reports(study)
            if self.ledger.remove_products(study):
                log.info("reports removed", study_uid=study.study_uid, bytes=removal.size)
                yield removal

    # -- what belongs to no single study

    def _select_refused(self, now: float) -> list[StoredFile]:
        limit_s = self.limits.quarantine_s
        if limit_s is None:
            return []
        return [file for file in self.spool.list_quarantined() if now - file.at >= limit_s]

    def _remove_refused(self, now: float) -> Iterator[Removal]:
        refused = self._select_refused(now)
        if refused:
            self.spool.remove_quarantined([file.path for file in refused])
            log.info("refused files removed", files=len(refused))
        yield from _describe_files("refused files", refused)

    def _plan_records(self, now: float) -> Iterator[Removal]:
        limit_s = self.limits.records_s
        if limit_s is not None and (rows := self.ledger.count_records(now - limit_s)):
            yield Removal("history and incidents", rows, 0, 0.0, AGE)

    def _remove_records(self, now: float) -> Iterator[Removal]:
        limit_s = self.limits.records_s
        if limit_s is not None and (rows := self.ledger.remove_records(now - limit_s)):
            log.info("history and incidents removed", lines=rows)
            yield Removal("history and incidents", rows, 0, 0.0, AGE)

    def _plan_cases(self, now: float) -> Iterator[Removal]:
        if self.cases is None or (before := self._oldest_kept_date(now)) is None:
            return
        if count := self.cases.count_older(before):
            yield Removal("past cases", count, 0, 0.0, AGE)

    def _remove_cases(self, now: float) -> Iterator[Removal]:
        if self.cases is None or (before := self._oldest_kept_date(now)) is None:
            return
        if count := self.cases.remove_older(before):
            log.info("past cases removed", cases=count)
            yield Removal("past cases", count, 0, 0.0, AGE)

    def _oldest_kept_date(self, now: float) -> str | None:
        """Return the study date of the oldest cases that are kept (VR DA); None: all are kept."""
        if self.limits.cases_s is None:
            return None
        return datetime.fromtimestamp(now - self.limits.cases_s, UTC).strftime("%Y%m%d")


def _select_conflicting(files: Sequence[StoredFile]) -> Sequence[StoredFile]:
    """Return the copies that contradict an instance with the same UID."""
    return [file for file in files if not file.path.endswith(".dcm")]


def _describe_files(what: str, files: Sequence[StoredFile]) -> Iterator[Removal]:
    """Yield one removal for all files, if there are any."""
    if files:
        oldest = min(file.at for file in files)
        yield Removal(what, len(files), sum(file.size for file in files), oldest, AGE)
