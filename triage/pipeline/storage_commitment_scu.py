"""Use case: take an archive's word on what was sent to it (PS3.4 J.3.3).

Rule: a yes counts whenever it comes; a no counts for the last question alone, and has the product
sent again. Nobody's word counts but that of the archive that was asked, and only for the instance
that it names.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.commitment import FAILURE_REASONS, CommitmentReport, Reference
from triage.domain.delivery import Delivery, DeliveryState, backoff_s
from triage.domain.instance import Source
from triage.ports.commitment import CommitmentRequests
from triage.ports.ledger import Ledger

log = structlog.get_logger(__name__)

COMMITTED = "committed: it keeps it"
UNEXPECTED = "commitment report refused"  #: kind of incident


@dataclass(frozen=True)
class CommitmentScu:
    """Everything that is needed to take archives' words."""

    ledger: Ledger
    requests: CommitmentRequests
    reporters: Mapping[str, Collection[str]]  #: by destination, the AE titles that speak for it

    def process_report(self, report: CommitmentReport, source: Source) -> bool:
        """Take a report; False where nobody was asked under its Transaction UID, or another was."""
        about = self.requests.find_request(report.transaction_uid)
        if about is None:
            return self._refused(f"unknown transaction {report.transaction_uid}", source)
        delivery, is_last = about
        if source.calling_ae not in self.reporters.get(delivery.destination, ()):
            return self._refused(
                f"transaction {report.transaction_uid} is not one of theirs", source
            )
        mark_reached(CrashPoint.COMMITMENT_REPORTED)
        self._judged(delivery, report, is_last=is_last)
        return True

    def _judged(self, delivery: Delivery, report: CommitmentReport, *, is_last: bool) -> None:
        sent = delivery.product
        reference = Reference(sent.sop_class_uid, sent.sop_instance_uid)
        if delivery.state not in {DeliveryState.PENDING, DeliveryState.STORED}:
            log.info("commitment reported again", delivery_id=delivery.id)
        elif report.is_committed(reference):
            self.ledger.record_delivered(delivery.id, _kept(delivery.last_answer))
            log.info("committed", delivery_id=delivery.id, destination=delivery.destination)
        elif is_last and delivery.state is DeliveryState.STORED:
            self._send_again(delivery, report.get_failure_reason(reference))

    def _send_again(self, delivery: Delivery, reason: int | None) -> None:
        why = "its report names the instance neither as kept nor as failed"
        if reason is not None:
            why = (
                f"0x{reason:04X} {FAILURE_REASONS.get(reason, 'a reason that PS3.3 does not name')}"
            )
        answer = f"not committed: {why}"
        self.ledger.record_failure(delivery.id, answer, backoff_s(delivery.attempts))
        log.warning("not committed", delivery_id=delivery.id, answer=answer)

    def _refused(self, why: str, source: Source) -> bool:
        self.ledger.report_repeated(UNEXPECTED, why, source)
        log.warning(UNEXPECTED, why=why, calling_ae=source.calling_ae)
        return False


def _kept(said: str) -> str:
    """Return the answer of a delivery; a warning to the product itself is worth keeping."""
    first = said.partition(";")[0]
    return f"{first}; {COMMITTED}" if first.startswith("0x") else COMMITTED
