"""Use case: bring the world in step with the ledger, again and again.

Rule: the broker is the truth about nothing. Whatever is due and may have been forgotten is sent
again; a task that comes twice finds its work taken. A task is sent a second time only when its
queue has run empty, so a long backlog is never doubled.
"""

from dataclasses import dataclass, replace

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.completeness import evidence, is_past_limit
from triage.domain.delivery import backoff_s
from triage.domain.errors import BrokerUnavailable, LedgerUnavailable
from triage.domain.study import Event, State, StudyRevision
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.completeness import EvidenceCollector
from triage.pipeline.leases import LeaseWatch
from triage.ports.clock import Clock
from triage.ports.ledger import Ledger
from triage.ports.queue import Queue

log = structlog.get_logger(__name__)

#: A task that was sent this long ago and is in no queue was forgotten; seconds.
FORGOTTEN_AFTER_S = 5.0
#: A study whose workers fell silent so often has killed them, as far as anybody can tell.
ORPHANED_AT_MOST = 2


@dataclass(frozen=True)
class Reconciler:
    """One `tick` a second keeps everything moving; several of them do not disturb each other."""

    ledger: Ledger
    queue: Queue
    clock: Clock
    evidence: EvidenceCollector
    max_attempts: int
    watch: LeaseWatch  #: over the leases of workers
    #: Nobody was heard before, so no study has been quiet for longer; seconds since the epoch.
    listening_since: float = 0.0
    trail: StudyTrail | None = None  #: told of what came; None: a site that keeps none

    def tick(self) -> None:
        """Judge completeness, free what dead workers held, send what is due."""
        try:
            self._bring_in_step()
        except LedgerUnavailable:
            self.watch.note_outage()
            raise

    def _bring_in_step(self) -> None:
        self._judge()
        self._free_expired()
        try:
            self._send_studies()
            self._send_deliveries()
        except BrokerUnavailable as error:
            log.warning("broker unavailable, tasks wait in the ledger", error=str(error))

    def _judge(self) -> None:
        arriving = self.ledger.list_studies(State.RECEIVING)
        self.evidence.forget_except(arriving)
        for study in arriving:
            now, patience = self.clock.now(), self.evidence.select_policy(study)
            heard = replace(study, last_instance_at=self._last_heard(study))
            why = evidence(heard, now, patience, self.evidence.collect(heard, patience, now))
            if why and self._completed(study, why, cut_off=is_past_limit(study, now, patience)):
                log.info("study complete", study_uid=study.study_uid, why=why)

    def _last_heard(self, study: StudyRevision) -> float:
        """Return since when a study is quiet: its sender had nobody to send to before we listened.

        A clock that was set back meanwhile must not make it wait.
        """
        if self.listening_since > self.clock.now():
            return study.last_instance_at
        return max(study.last_instance_at, self.listening_since)

    def _completed(self, study: StudyRevision, why: str, *, cut_off: bool) -> bool:
        if self.trail is not None:
            self.trail.record_received(study)
        if cut_off:
            return self.ledger.complete_at_limit(study, why)
        return self.ledger.move(study, Event.JUDGED_COMPLETE, why)

    def _free_expired(self) -> None:
        if not self.watch.check_steady(self.clock.now()):
            return
        for study in self.ledger.list_expired():
            self._orphaned(study)

    def _orphaned(self, study: StudyRevision) -> None:
        """Have another worker try, once: a study that ends workers must not end them all."""
        again = study.orphaned + 1 < ORPHANED_AT_MOST and study.attempts < self.max_attempts
        event = Event.ORPHANED if again else Event.SET_ASIDE
        which = f"attempt {study.attempts} of {self.max_attempts}"
        why = f"its worker {study.holder} fell silent, {which}"
        if not again:
            why = f"{why}; it may be the cause, and is kept for a look: `triage replay` tries again"
        if self.ledger.move(study, event, why, study.holder, backoff_s(max(1, study.attempts))):
            log.warning("a worker fell silent", study_uid=study.study_uid, outcome=str(event))

    def _send_studies(self) -> None:
        for study in self.ledger.list_unsent_studies(self._forgotten("assess")):
            self.queue.enqueue_assessment(study.study_uid, study.revision)
            mark_reached(CrashPoint.STUDY_SENT)
            self.ledger.mark_study_queued(study.study_uid, study.revision)

    def _send_deliveries(self) -> None:
        for delivery_id in self.ledger.list_unsent_deliveries(self._forgotten("deliver")):
            self.queue.enqueue_delivery(delivery_id)
            mark_reached(CrashPoint.DELIVERY_SENT)
            self.ledger.mark_delivery_queued(delivery_id)

    def _forgotten(self, queue: str) -> float | None:
        return None if self.queue.count_waiting(queue) else FORGOTTEN_AFTER_S


def give_up(
    ledger: Ledger, study: StudyRevision, why: str, max_attempts: int, holder: str | None = None
) -> None:
    """Release an unfinished study for another try, or set it aside after the last one."""
    last = study.attempts >= max_attempts
    event = Event.SET_ASIDE if last else Event.RELEASED
    reason = f"{why}, attempt {study.attempts} of {max_attempts}"
    if ledger.move(study, event, reason, holder, backoff_s(max(1, study.attempts))):
        log.warning("assessment ended unfinished", study_uid=study.study_uid, outcome=str(event))
