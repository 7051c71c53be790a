"""Use case: fetch studies from an archive.

Rule: a study is whole or it is not there. It is gathered aside, and handed on only when as many
instances came as the archive has and as it says that it sent, none was refused and none failed.
Anything less is named with its figures and fetched anew the next time: nothing is lost in silence.
Warnings alone fail no study: the instance that was warned of is here, and counted.

One study at a time; where the worker takes no more, the next one waits until it does. An archive
that is not there is waited for; one that breaks off within a study is asked for it again, and after
some tries the next study has its turn.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import structlog

from triage.concurrency.rate_limit import RateLimit, Sleep
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.delivery import backoff_s
from triage.domain.errors import (
    ArchiveFailed,
    ArchiveUnreachable,
    BackpressureActive,
    LedgerUnavailable,
)
from triage.domain.hours import seconds_until_open
from triage.domain.uid import is_uid
from triage.ports.archive import Archive, DownloadTarget, StudyDownload
from triage.ports.clock import Clock

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

ROOM_S = 30.0  #: between two looks whether there is room again
STUDY_TRIES = 3  #: of a study in whose middle the archive broke off
SHOWN = 3  #: reasons of one study, at most


class RetrieveOutcome(StrEnum):
    """What became of a study."""

    FETCHED = "fetched"
    ALREADY_PRESENT = "there already"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


SUCCESSFUL = {RetrieveOutcome.FETCHED, RetrieveOutcome.ALREADY_PRESENT}


@dataclass(frozen=True)
class RetrieveLimits:
    """How much an archive is asked."""

    instances: RateLimit
    studies: RateLimit
    hours: str | None = None  #: e.g. 22:00-06:00; None: at any time
    attempts: int = 12  #: to reach it, before the rest is left


@dataclass
class StudyRetriever:
    """Everything that fetches studies."""

    archive: Archive
    limits: RetrieveLimits
    clock: Clock
    sleep: Sleep = time.sleep
    outcomes: Counter[RetrieveOutcome] = field(default_factory=Counter)
    _met: bool = field(default=False, init=False)  #: the archive has answered once

    def retrieve(
        self, shelf: DownloadTarget, study_uid: str, known: ArchivedStudy | None = None
    ) -> tuple[RetrieveOutcome, str]:
        """Fetch one study unless it is on the shelf; return what became of it, and why.

        `known` is what the archive has told of it; else it is asked. Raises ArchiveUnreachable
        when it was waited for in vain, and OutOfResources.
        """
        outcome, why = self._pulled(shelf, study_uid, known)
        self.outcomes[outcome] += 1
        return outcome, why

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies that the archive has, without those that were not looked for."""
        found = self._reached(lambda: list(self.archive.find(search)))
        return (study for study in found if study.matches(search))

    def _pulled(
        self, shelf: DownloadTarget, study_uid: str, known: ArchivedStudy | None
    ) -> tuple[RetrieveOutcome, str]:
        if not is_uid(study_uid):
            return RetrieveOutcome.FAILED, "the archive names it by what is no UID"
        for attempt in range(1, STUDY_TRIES + 1):
            try:
                study = known or self.look_up(study_uid)
                return self._unless_there(shelf, study)
            except ArchiveUnreachable:
                raise
            except (ArchiveFailed, LedgerUnavailable) as error:
                why = str(error)
                log.warning("study not fetched", study_uid=study_uid, attempt=attempt)
                if attempt < STUDY_TRIES:
                    self.sleep(backoff_s(attempt))
        return RetrieveOutcome.FAILED, f"{why} ({STUDY_TRIES} tries)"

    def look_up(self, study_uid: str) -> ArchivedStudy:
        """Return what the archive says of a study; one that it does not find it may yet send."""
        return next(self.find(ArchiveQuery(study_uid=study_uid)), ArchivedStudy(study_uid))

    def _unless_there(
        self, shelf: DownloadTarget, study: ArchivedStudy
    ) -> tuple[RetrieveOutcome, str]:
        if is_complete(study, shelf.count_instances(study.study_uid)):
            return RetrieveOutcome.ALREADY_PRESENT, ""
        self._wait_for_turn()
        while True:
            try:
                return self._reached(lambda: self._fetched(shelf, study))
            except BackpressureActive as error:
                log.warning("waiting for room", why=str(error))
                self.sleep(ROOM_S)

    def _fetched(self, shelf: DownloadTarget, study: ArchivedStudy) -> tuple[RetrieveOutcome, str]:
        with shelf.open(study.study_uid, self.limits.instances.wait) as desk:
            told = self.archive.fetch(study, desk)
            if desk.storage_error is not None:
                raise desk.storage_error
            if why := _missing(study, told, desk):
                return (
                    RetrieveOutcome.INCOMPLETE if desk.instances else RetrieveOutcome.FAILED
                ), why
            desk.finish()
        return RetrieveOutcome.FETCHED, f"with {told.warned} warning(s)" if told.warned else ""

    def _wait_for_turn(self) -> None:
        self.limits.studies.wait()
        while (closed_s := seconds_until_open(self.limits.hours, self.clock.now())) > 0:
            log.info("waiting for the hours of this archive", seconds=closed_s)
            self.sleep(closed_s)

    def _reached(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again with growing pauses while the archive is not there.

        One that was never there is not waited for: then the settings are wrong, or the time is.
        """
        for attempt in range(1, self.limits.attempts):
            try:
                answer = ask()
            except ArchiveUnreachable as error:
                if not self._met:
                    raise
                pause_s = max(backoff_s(attempt), error.after_s)
                log.warning("archive not reached", why=str(error), attempt=attempt, pause_s=pause_s)
                self.sleep(pause_s)
            else:
                self._met = True
                return answer
        return ask()


def is_complete(study: ArchivedStudy, instances: int) -> bool:
    """Tell whether of a study that is here in so many instances the archive has no more."""
    return instances > 0 and instances >= (study.instances or 0)


def _missing(study: ArchivedStudy, told: RetrieveResponse, desk: StudyDownload) -> str:
    """Return what keeps a study from being whole, in words; empty where it is."""
    expected = max(study.instances or 0, told.sent or 0)
    reasons = []
    if desk.instances < expected:
        reasons.append(f"{desk.instances} of {expected} instances came")
    elif not desk.instances:
        reasons.append("no instance came: the archive does not have it, or does not give it")
    if told.failed:
        reasons.append(f"the archive could not send {told.failed}")
    reasons += [f"{times} refused: {why}" for why, times in desk.refusals.most_common(SHOWN)]
    if not told.whole and not reasons:
        reasons.append("the archive says that it did not send everything")
    if reasons and told.words:
        reasons.append(f"its answer: {told.words}")
    return "; ".join(reasons)
