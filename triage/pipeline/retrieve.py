"""Use case: retrieve studies from an archive.

A study is retrieved whole or not at all. It is collected in a `StudyDownload` and handed on only if
as many instances arrived as the archive has and as it reports to have sent, and none was refused or
failed. Otherwise the result states the figures, and the study is retrieved again next time. A
warning alone fails no study, because the instance has arrived.

Studies are retrieved one at a time. Under back-pressure the next one waits. If the archive does not
answer, it is waited for; if it breaks off within a study, the study is tried again a few times
before the next one.
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

BACKPRESSURE_PAUSE_S = 30.0  #: between two attempts while back-pressure is active
STUDY_TRIES = 3  #: attempts at a study within which the archive broke off
REASONS_SHOWN = 3  #: most reasons for refused instances in the result of one study


class RetrieveOutcome(StrEnum):
    """The outcome for one study."""

    FETCHED = "fetched"
    ALREADY_PRESENT = "there already"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


SUCCESSFUL = {RetrieveOutcome.FETCHED, RetrieveOutcome.ALREADY_PRESENT}


@dataclass(frozen=True)
class RetrieveLimits:
    """How fast, when, and how often an archive is asked."""

    instances: RateLimit
    studies: RateLimit
    hours: str | None = None  #: e.g. 22:00-06:00; None: at any time
    attempts: int = 12  #: to reach the archive, before the rest is left


@dataclass
class StudyRetriever:
    """Retrieves studies from one archive."""

    archive: Archive
    limits: RetrieveLimits
    clock: Clock
    sleep: Sleep = time.sleep
    outcomes: Counter[RetrieveOutcome] = field(default_factory=Counter)
    _has_answered: bool = field(default=False, init=False)  #: the archive, at least once

    def retrieve(
        self, target: DownloadTarget, study_uid: str, known: ArchivedStudy | None = None
    ) -> tuple[RetrieveOutcome, str]:
        """Retrieve a study unless the target has it; return the outcome, and details or "".

        `known` is what the archive reported of the study; None: it is asked. Raises
        ArchiveUnreachable if the archive did not answer in time, and OutOfResources.
        """
        outcome, detail = self._retrieve(target, study_uid, known)
        self.outcomes[outcome] += 1
        return outcome, detail

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies of the archive that match; an archive may ignore a key."""
        found = self._retry(lambda: list(self.archive.find(search)))
        return (study for study in found if study.matches(search))

    def look_up(self, study_uid: str) -> ArchivedStudy:
        """Return what the archive reports of a study; if it finds none, it may send it yet."""
        return next(self.find(ArchiveQuery(study_uid=study_uid)), ArchivedStudy(study_uid))

    def _retrieve(
        self, target: DownloadTarget, study_uid: str, known: ArchivedStudy | None
    ) -> tuple[RetrieveOutcome, str]:
        if not is_uid(study_uid):
            return RetrieveOutcome.FAILED, "the archive names it by an invalid UID"
        for attempt in range(1, STUDY_TRIES + 1):
            try:
                return self._retrieve_missing(target, known or self.look_up(study_uid))
            except ArchiveUnreachable:
                raise
            except (ArchiveFailed, LedgerUnavailable) as error:
                why = str(error)
                log.warning("study not fetched", study_uid=study_uid, attempt=attempt)
                if attempt < STUDY_TRIES:
                    self.sleep(backoff_s(attempt))
        return RetrieveOutcome.FAILED, f"{why} ({STUDY_TRIES} attempts)"

    def _retrieve_missing(
        self, target: DownloadTarget, study: ArchivedStudy
    ) -> tuple[RetrieveOutcome, str]:
        if is_complete(study, target.count_instances(study.study_uid)):
            return RetrieveOutcome.ALREADY_PRESENT, ""
        self._wait_for_turn()
        while True:
            try:
                return self._retry(lambda: self._download(target, study))
            except BackpressureActive as error:
                log.warning("waiting for room", why=str(error))
                self.sleep(BACKPRESSURE_PAUSE_S)

    def _download(
        self, target: DownloadTarget, study: ArchivedStudy
    ) -> tuple[RetrieveOutcome, str]:
        with target.open(study.study_uid, self.limits.instances.wait) as download:
            response = self.archive.fetch(study, download)
            if download.storage_error is not None:
                raise download.storage_error
            if missing := _describe_missing(study, response, download):
                outcome = RetrieveOutcome.INCOMPLETE
                return (outcome if download.instances else RetrieveOutcome.FAILED), missing
            download.finish()
        warnings = f"with {response.warned} warning(s)" if response.warned else ""
        return RetrieveOutcome.FETCHED, warnings

    def _wait_for_turn(self) -> None:
        self.limits.studies.wait()
        while (closed_s := seconds_until_open(self.limits.hours, self.clock.now())) > 0:
            log.info("waiting for the hours of this archive", seconds=closed_s)
            self.sleep(closed_s)

    def _retry(self, request: Callable[[], Answer]) -> Answer:
        """Send a request again, after growing pauses, while the archive does not answer.

        An archive that has never answered is not waited for: its settings or the hours are wrong.
        """
        for attempt in range(1, self.limits.attempts):
            try:
                answer = request()
            except ArchiveUnreachable as error:
                if not self._has_answered:
                    raise
                pause_s = max(backoff_s(attempt), error.after_s)
                log.warning("archive not reached", why=str(error), attempt=attempt, pause_s=pause_s)
                self.sleep(pause_s)
            else:
                self._has_answered = True
                return answer
        return request()


def is_complete(study: ArchivedStudy, instances: int) -> bool:
    """Return whether this many received instances are all that the archive has of a study."""
    return instances > 0 and instances >= (study.instances or 0)


def _describe_missing(
    study: ArchivedStudy, response: RetrieveResponse, download: StudyDownload
) -> str:
    """Return why a study is incomplete; empty if it is complete."""
    expected = max(study.instances or 0, response.sent or 0)
    reasons = []
    if download.instances < expected:
        reasons.append(f"{download.instances} of {expected} instances came")
    elif not download.instances:
        reasons.append("no instance came: the archive does not have it, or does not send it")
    if response.failed:
        reasons.append(f"the archive could not send {response.failed}")
    refusals = download.refusals.most_common(REASONS_SHOWN)
    reasons += [f"{times} refused: {why}" for why, times in refusals]
    if not response.whole and not reasons:
        reasons.append("the archive reports that it did not send everything")
    if reasons and response.words:
        reasons.append(f"its answer: {response.words}")
    return "; ".join(reasons)
