"""Use case: say which instances are kept, to whoever asked.

Rule: a request is answered when it stands in the ledger, and its report is owed from then on, over
restarts, until the requestor has acknowledged it or too many attempts have failed; the latter is
an incident. Disk and network are asked aside: no tick waits for them.
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
from triage.domain.instance import Source
from triage.ports.commitment import CommitmentLedger
from triage.ports.ledger import Ledger
from triage.ports.spool import Spool

log = structlog.get_logger(__name__)

#: Sends a report; raises DeliveryFailed unless the requestor acknowledged it.
Send = Callable[[CommitmentReport], None]
#: How long the association of the request has for the report, where nothing says before that it
#: failed; then a new one is opened.
SAME_ASSOCIATION_S = 120.0


@dataclass
class CommitmentScp:
    """Takes requests, and sends what is owed."""

    requests: CommitmentLedger
    ledger: Ledger
    spool: Spool
    requestors: Mapping[str, Send]  #: by AE title, those that can be called
    executor: Executor
    max_attempts: int
    _under_way: set[int] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def accept_request(
        self, requestor: str, transaction_uid: str, references: Sequence[Reference]
    ) -> Commitment:
        """Owe a report; the same request again is the same debt."""
        return self.requests.record_request(
            requestor, transaction_uid, references, SAME_ASSOCIATION_S
        )

    def report(self, commitment: Commitment, send: Send) -> None:
        """Send the report of a request right after it; where that fails, it is due at once."""
        if self._taken(commitment.id):
            try:
                self._told(commitment, send, again_in_s=0.0)
            finally:
                self._under_way.discard(commitment.id)

    def tick(self) -> None:
        """Send what is owed and due."""
        for commitment in self.requests.list_due():
            if self._taken(commitment.id):
                self.executor.submit(self._send, commitment)

    def _send(self, commitment: Commitment) -> None:
        send = self.requestors.get(commitment.requestor)
        try:
            if send is None:
                self._give_up(commitment, "its association ended, and no address is configured")
            elif commitment.attempts >= self.max_attempts:
                self._give_up(commitment, f"{commitment.attempts} attempts failed")
            else:
                self._told(commitment, send, backoff_s(commitment.attempts + 1))
        except (LedgerUnavailable, SpoolUnavailable, OSError) as error:  # the next tick tries again
            log.warning("commitment waits", why=str(error))
        except Exception:  # a defect: not every second again
            log.exception("commitment waits")
            self.requests.postpone(commitment.id, backoff_s(commitment.attempts + 1))
        finally:
            self._under_way.discard(commitment.id)

    def _told(self, commitment: Commitment, send: Send, again_in_s: float) -> None:
        said = {"transaction_uid": commitment.transaction_uid, "requestor": commitment.requestor}
        try:
            send(self._judged(commitment))
        except DeliveryFailed as error:
            self.requests.postpone(commitment.id, again_in_s)
            log.info("commitment waits", why=str(error), **said)
            return
        self.requests.close_request(commitment.id)
        log.info("commitment reported", **said)

    def _give_up(self, commitment: Commitment, why: str) -> None:
        self.requests.close_request(commitment.id)
        detail = f"transaction {commitment.transaction_uid}: {why}"
        self.ledger.report_incident("commitment not told", detail, Source(commitment.requestor, ""))
        log.warning("commitment not told", detail=detail)

    def _taken(self, commitment_id: int) -> bool:
        with self._lock:
            if commitment_id in self._under_way:
                return False
            self._under_way.add(commitment_id)
            return True

    def _judged(self, commitment: Commitment) -> CommitmentReport:
        kept = self.requests.find_instances(
            [each.sop_instance_uid for each in commitment.references]
        )
        reasons = {
            each: find_failure(each, kept.get(each.sop_instance_uid, ()), self._is_intact)
            for each in commitment.references
        }
        return CommitmentReport(
            commitment.transaction_uid,
            tuple(each for each, why in reasons.items() if why is None),
            tuple((each, why) for each, why in reasons.items() if why is not None),
        )

    def _is_intact(self, kept: ReceivedInstance) -> bool:
        try:
            return hashlib.sha256(self.spool.read(kept.path)).hexdigest() == kept.digest
        except OSError:
            return False
