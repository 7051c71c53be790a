"""Use case: bring the world in step with the ledger, once a second.

The broker may forget every task, so tasks that are due in the ledger are sent again. A task is sent
a second time only if its queue has run empty; a long backlog is never doubled. A task that arrives
twice does nothing, because its study or delivery is claimed already.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.completeness import find_completion, is_past_limit
from triage.domain.errors import BrokerUnavailable, LedgerUnavailable
from triage.domain.reasons import Reason
from triage.domain.study import Event, State, StudyRevision
from triage.pipeline.attempts import release_orphan
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.completeness import EvidenceCollector
from triage.pipeline.leases import LeaseWatch
from triage.ports.clock import Clock
from triage.ports.deliveries import DeliveryLedger
from triage.ports.queue import Queue
from triage.ports.studies import StudyLedger

log = structlog.get_logger(__name__)

#: A task that was sent this long ago and is in no queue was forgotten; seconds.
FORGOTTEN_AFTER_S = 5.0


class ReconcilerLedger(StudyLedger, DeliveryLedger, Protocol):
    """The ports of the ledger that the reconciler needs."""


@dataclass(frozen=True)
class Reconciler:
    """Moves studies and sends due tasks; several reconcilers do not disturb each other."""

    ledger: ReconcilerLedger
    queue: Queue
    clock: Clock
    evidence: EvidenceCollector
    max_attempts: int
    watch: LeaseWatch
    #: Start of listening, seconds since the epoch; no study counts as quiet before that.
    listening_since: float = 0.0
    trail: StudyTrail | None = None  #: records audit events; None: no audit trail

    def tick(self) -> None:
        """Judge completeness, free studies of lost workers, and send due tasks."""
        try:
            self._bring_in_step()
        except LedgerUnavailable:
            self.watch.note_outage()
            raise

    def _bring_in_step(self) -> None:
        self._judge_completeness()
        self._free_expired()
        try:
            self._send_studies()
            self._send_deliveries()
        except BrokerUnavailable as error:
            log.warning("broker unavailable, tasks wait in the ledger", error=str(error))

    def _judge_completeness(self) -> None:
        arriving = self.ledger.list_studies(State.RECEIVING)
        self.evidence.forget_except(arriving)
        for study in arriving:
            now, policy = self.clock.now(), self.evidence.select_policy(study)
            heard = replace(study, last_instance_at=self._quiet_since(study))
            evidence = self.evidence.collect(heard, policy, now)
            reason = find_completion(heard, now, policy, evidence)
            is_limit = is_past_limit(study, now, policy)
            if reason is not None and self._complete(study, reason, is_limit=is_limit):
                log.info("study complete", study_uid=study.study_uid, why=str(reason))

    def _quiet_since(self, study: StudyRevision) -> float:
        """Return since when a study is quiet; its sender could not send before we listened.

        A clock that was set back meanwhile must not make the study wait.
        """
        if self.listening_since > self.clock.now():
            return study.last_instance_at
        return max(study.last_instance_at, self.listening_since)

    def _complete(self, study: StudyRevision, reason: Reason, *, is_limit: bool) -> bool:
        if self.trail is not None:
            self.trail.record_received(study)
        if is_limit:
            return self.ledger.complete_at_limit(study, str(reason))
        return self.ledger.move(study, Event.JUDGED_COMPLETE, str(reason))

    def _free_expired(self) -> None:
        if not self.watch.check_steady(self.clock.now()):
            return
        for study in self.ledger.list_expired():
            release_orphan(self.ledger, study, self.max_attempts)

    def _send_studies(self) -> None:
        for study in self.ledger.list_unsent_studies(self._resend_after_s("assess")):
            self.queue.enqueue_assessment(study.study_uid, study.revision)
            mark_reached(CrashPoint.STUDY_SENT)
            self.ledger.mark_study_queued(study.study_uid, study.revision)

    def _send_deliveries(self) -> None:
        for delivery_id in self.ledger.list_unsent_deliveries(self._resend_after_s("deliver")):
            self.queue.enqueue_delivery(delivery_id)
            mark_reached(CrashPoint.DELIVERY_SENT)
            self.ledger.mark_delivery_queued(delivery_id)

    def _resend_after_s(self, queue: str) -> float | None:
        """Return after how many seconds a task is sent again; None while its queue is not empty."""
        return None if self.queue.count_waiting(queue) else FORGOTTEN_AFTER_S
