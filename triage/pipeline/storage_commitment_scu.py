"""Use case: process the storage commitment reports of archives (PS3.4 J.3.3).

A confirmation ends the delivery whenever it arrives. A failure counts only if it answers the latest
request, and then the product is sent again. A report counts only if it comes from the archive that
was asked, and only for the instance that it names.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.commitment import FAILURE_REASONS, CommitmentReport, Reference
from triage.domain.delivery import (
    UNFINISHED,
    Delivery,
    DeliveryState,
    DestinationAnswer,
    backoff_s,
)
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.ports.commitment import CommitmentRequests
from triage.ports.deliveries import DeliveryLedger
from triage.ports.incidents import IncidentLedger

log = structlog.get_logger(__name__)

CONFIRMED = "storage commitment confirmed"


class CommitmentScuLedger(DeliveryLedger, IncidentLedger, Protocol):
    """The ports of the ledger that this use case needs."""


@dataclass(frozen=True)
class CommitmentScu:
    """Processes storage commitment reports."""

    ledger: CommitmentScuLedger
    requests: CommitmentRequests
    #: AE titles that may report for a destination, by its name
    reporters: Mapping[str, Collection[str]]

    def process_report(self, report: CommitmentReport, source: Source) -> bool:
        """Process a report; return False if no request to this peer has its Transaction UID."""
        found = self.requests.find_request(report.transaction_uid)
        if found is None:
            return self._refuse(f"unknown transaction {report.transaction_uid}", source)
        delivery, is_latest = found
        if source.calling_ae not in self.reporters.get(delivery.destination, ()):
            return self._refuse(
                f"transaction {report.transaction_uid} was requested from another peer", source
            )
        mark_reached(CrashPoint.COMMITMENT_REPORTED)
        self._apply(delivery, report, is_latest=is_latest)
        return True

    def _apply(self, delivery: Delivery, report: CommitmentReport, *, is_latest: bool) -> None:
        sent = delivery.product
        reference = Reference(sent.sop_class_uid, sent.sop_instance_uid)
        if delivery.state not in UNFINISHED:
            log.info("commitment reported again", delivery_id=delivery.id)
        elif report.is_committed(reference):
            self.ledger.record_delivered(delivery.id, _confirm(delivery.last_answer))
            log.info("committed", delivery_id=delivery.id, destination=delivery.destination)
        elif is_latest and delivery.state is DeliveryState.STORED:
            self._send_again(delivery, report.get_failure_reason(reference))

    def _send_again(self, delivery: Delivery, reason: int | None) -> None:
        why = "the report names the instance neither as committed nor as failed"
        if reason is not None:
            meaning = FAILURE_REASONS.get(reason, "a reason that PS3.3 does not define")
            why = f"0x{reason:04X} {meaning}"
        answer = f"storage commitment failed: {why}"
        self.ledger.record_failure(delivery.id, answer, backoff_s(delivery.attempts))
        log.warning("not committed", delivery_id=delivery.id, answer=answer)

    def _refuse(self, detail: str, source: Source) -> bool:
        kind = IncidentKind.COMMITMENT_REPORT_REFUSED
        self.ledger.report_repeated(kind, detail, source)
        log.warning(kind, why=detail, calling_ae=source.calling_ae)
        return False


def _confirm(stored: str) -> str:
    """Return the answer of a delivered product; a C-STORE status, e.g. a warning, is kept."""
    answer = DestinationAnswer.parse(stored)
    return CONFIRMED if answer.status is None else str(replace(answer, commitment=CONFIRMED))
