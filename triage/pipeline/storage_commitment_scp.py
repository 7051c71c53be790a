"""Use case: report to requestors which instances are safely stored (PS3.4 annex J).

A request is acknowledged when it is in the ledger. From then on its report is due until the
requestor has acknowledged it, or `max_attempts` attempts have failed; the latter is an incident.
Restarts do not lose a request. Reading files and sending run in an executor, so no tick waits.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Lock

import structlog

from triage.domain.commitment import (
    Commitment,
    CommitmentReport,
    ReceivedInstance,
    Reference,
    find_failure,
)
from triage.domain.delivery import backoff_s
from triage.domain.errors import DeliveryFailed, LedgerUnavailable, SpoolUnavailable
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.ports.commitment import CommitmentLedger
from triage.ports.incidents import IncidentLedger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

#: Sends a report; raises DeliveryFailed unless the requestor acknowledged it.
Send = Callable[[CommitmentReport], None]
#: The report has this long to go out on the association of the request; if that does not fail
#: before, a new association is opened afterwards.
SAME_ASSOCIATION_S = 120.0


@dataclass
class CommitmentScp:
    """Takes requests for storage commitment and sends the reports."""

    requests: CommitmentLedger
    ledger: IncidentLedger
    spool: Spool
    requestors: Mapping[str, Send]  #: by AE title; those with a configured address
    executor: Executor
    max_attempts: int
    _running: set[int] = field(default_factory=set)  #: ids of requests that a thread works on
    _lock: Lock = field(default_factory=Lock)

    def accept_request(
        self, requestor: str, transaction_uid: str, references: Sequence[Reference]
    ) -> Commitment:
        """Store a request; a repeated one is due again. Raises LedgerUnavailable."""
        return self.requests.record_request(
            requestor, transaction_uid, references, SAME_ASSOCIATION_S
        )

    def report(self, commitment: Commitment, send: Send) -> None:
        """Send the report right after its request; if that fails, it is due at once."""
        if self._reserve(commitment.id):
            try:
                self._send_report(commitment, send, again_in_s=0.0)
            finally:
                self._running.discard(commitment.id)

    def tick(self) -> None:
        """Start sending the reports that are due."""
        for commitment in self.requests.list_due():
            if self._reserve(commitment.id):
                self.executor.submit(self._process, commitment)

    def _process(self, commitment: Commitment) -> None:
        send = self.requestors.get(commitment.requestor)
        try:
            if send is None:
                self._give_up(commitment, "its association ended, and no address is configured")
            elif commitment.attempts >= self.max_attempts:
                self._give_up(commitment, f"{commitment.attempts} attempts failed")
            else:
                self._send_report(commitment, send, backoff_s(commitment.attempts + 1))
        except (LedgerUnavailable, SpoolUnavailable, OSError) as error:  # the next tick tries again
            log.warning("commitment waits", why=str(error))
        except Exception:  # a defect: pause, or it would fail every second
            log.exception("commitment waits")
            self.requests.postpone(commitment.id, backoff_s(commitment.attempts + 1))
        finally:
            self._running.discard(commitment.id)

    def _send_report(self, commitment: Commitment, send: Send, again_in_s: float) -> None:
        names = {"transaction_uid": commitment.transaction_uid, "requestor": commitment.requestor}
        try:
            send(self._build_report(commitment))
        except DeliveryFailed as error:
            self.requests.postpone(commitment.id, again_in_s)
            log.info("commitment waits", why=str(error), **names)
            return
        self.requests.close_request(commitment.id)
        log.info("commitment reported", **names)

    def _give_up(self, commitment: Commitment, why: str) -> None:
        self.requests.close_request(commitment.id)
        kind = IncidentKind.COMMITMENT_NOT_REPORTED
        detail = f"transaction {commitment.transaction_uid}: {why}"
        self.ledger.report_incident(kind, detail, Source(commitment.requestor, ""))
        log.warning("commitment report given up", detail=detail)

    def _reserve(self, commitment_id: int) -> bool:
        """Reserve a request for this thread; return False if another thread works on it."""
        with self._lock:
            if commitment_id in self._running:
                return False
            self._running.add(commitment_id)
            return True

    def _build_report(self, commitment: Commitment) -> CommitmentReport:
        uids = [reference.sop_instance_uid for reference in commitment.references]
        received = self.requests.find_instances(uids)
        failures = {
            reference: find_failure(
                reference, received.get(reference.sop_instance_uid, ()), self._is_intact
            )
            for reference in commitment.references
        }
        return CommitmentReport(
            commitment.transaction_uid,
            tuple(reference for reference, why in failures.items() if why is None),
            tuple((reference, why) for reference, why in failures.items() if why is not None),
        )

    def _is_intact(self, instance: ReceivedInstance) -> bool:
        try:
            content = self.spool.read(instance.path)
        except OSError:
            return False
        return hashlib.sha256(content).hexdigest() == instance.digest
