"""Use case: send one product to one destination.

Only the acknowledgement of the destination makes a delivery DELIVERED. A failed attempt is stored
with its answer and tried again after a growing pause; a permanent refusal is given up at once. An
attempt that the destination may have accepted is repeated a few times only, because a receiver of
messages would take each of them; a repeated DICOM object or signed summary is recognised by its
UID, so a lost answer does no harm there.
While a destination does not answer, one delivery at a time tests whether it is back, and the others
wait. An archive that is asked for storage commitment has a delivery STORED after the C-STORE and
DELIVERED after its confirmation; without a confirmation it is asked again, then sent again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.delivery import (
    LONGEST_WAIT_S,
    UNCLEAR_ATTEMPTS_MAX,
    UNCLEAR_PAUSE_S,
    Delivery,
    DeliveryState,
    DestinationAnswer,
    Product,
    backoff_s,
    jitter_s,
)
from triage.domain.errors import (
    DeliveryFailed,
    DeliveryRefused,
    DeliveryUnanswered,
    DeliveryUnclear,
    DestinationUnreachable,
    LedgerUnavailable,
)
from triage.domain.reasons import ReasonCode, because
from triage.domain.uid import new_uid
from triage.pipeline.audit_events import NO_TRAIL, DeliveryTrail, StudyTrail
from triage.pipeline.leases import keep_alive
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.ports.deliveries import DeliveryLedger
from triage.ports.destination import CommittingDestination, Destination

log = structlog.get_logger(__name__)

LEASE_S = 30.0  #: default of `worker.lease_s`


def no_jitter() -> float:
    """Return the chance that leaves every pause as it is."""
    return 0.0


@dataclass(frozen=True)
class Deliverer:
    """Sends products for one worker."""

    ledger: DeliveryLedger
    destinations: Mapping[str, Destination]
    max_attempts: int
    lease_s: float = LEASE_S  #: a worker that does not renew for this time loses its delivery
    chance: Callable[[], float] = no_jitter  #: 0 to 1, by which pauses are shortened
    trail: StudyTrail | None = None  #: records audit events; None: no audit trail
    commitment: CommitmentScu | None = None  #: None: no destination is asked for commitment

    def deliver(self, delivery_id: int) -> None:
        """Try a due delivery once; do nothing if it is leased or not due."""
        delivery = self.ledger.claim_delivery(delivery_id, self.lease_s)
        if delivery is None:
            log.info("nothing to deliver, the work is taken")
            return
        mark_reached(CrashPoint.DELIVERY_TAKEN)
        with keep_alive(
            lambda: self.ledger.renew_delivery(delivery_id, self.lease_s), self.lease_s / 3
        ):
            self._attempt(delivery)
        mark_reached(CrashPoint.DELIVERED)

    def _attempt(self, delivery: Delivery) -> None:
        destination = self.destinations.get(delivery.destination)
        if destination is None:
            error = DeliveryFailed(f"destination {delivery.destination} is not configured")
            self._record_failure(delivery, error)
            return
        try:
            if self.commitment is not None and isinstance(destination, CommittingDestination):
                self._send_with_commitment(delivery, destination, self.commitment)
                return
            answer = self._send(delivery, destination)
        except DeliveryFailed as error:
            self._record_failure(delivery, error)
            return
        self.ledger.record_delivered(delivery.id, answer)
        log.info("delivered", destination=delivery.destination, answer=answer)

    def _send(self, delivery: Delivery, destination: Destination) -> str:
        """Send a product and return the answer.

        A product that was STORED before commitment was switched off is not sent again.
        """
        is_stored = delivery.state is DeliveryState.STORED
        if is_stored and not isinstance(destination, CommittingDestination):
            return delivery.last_answer
        trail = self._trail_of(delivery)
        product = self._choose(delivery, destination)
        trail.record_sending(product)
        answer = destination.deliver(product).answer
        mark_reached(CrashPoint.PRODUCT_SENT)
        trail.record_sent(product)
        return answer

    def _send_with_commitment(
        self, delivery: Delivery, archive: CommittingDestination, commitment: CommitmentScu
    ) -> None:
        """Send a product unless the archive has it, and request storage commitment."""
        requests = commitment.requests
        if delivery.attempts > self.max_attempts:
            raise DeliveryFailed(f"no storage commitment received; {delivery.last_answer}")
        is_stored = delivery.state is DeliveryState.STORED
        only_asks = is_stored and not requests.was_asked_again(delivery.id)
        answer = None if only_asks else self._send(delivery, archive)
        transaction_uid = new_uid()
        if not requests.record_request(delivery.id, transaction_uid, answer):
            return  # the confirmation has arrived meanwhile
        mark_reached(CrashPoint.COMMITMENT_OWED)
        stored = DestinationAnswer.parse(answer or delivery.last_answer)
        self._request_commitment(delivery, archive, commitment, transaction_uid, stored)

    def _request_commitment(
        self,
        delivery: Delivery,
        archive: CommittingDestination,
        commitment: CommitmentScu,
        transaction_uid: str,
        stored: DestinationAnswer,
    ) -> None:
        current = self.ledger.get_delivery(delivery.id) or delivery  # with the chosen alternative
        is_unreachable, again_in_s = False, archive.within_s
        try:
            answer = archive.request_commitment(
                transaction_uid, current.product, commitment.process_report
            ).answer
        except DeliveryFailed as error:
            is_unreachable = isinstance(error, DestinationUnreachable)
            answer = str(error)
            again_in_s = jitter_s(backoff_s(delivery.attempts), self.chance())
        mark_reached(CrashPoint.COMMITMENT_ASKED)
        last_answer = str(replace(stored, commitment=answer))
        commitment.requests.postpone(
            delivery.id, last_answer, again_in_s, unreachable=is_unreachable
        )
        log.info("stored, commitment requested", destination=archive.name, answer=answer)

    def handle_error(self, delivery_id: int, error: BaseException) -> None:
        """Schedule another attempt after an unforeseen error.

        If the ledger is unavailable, nothing is changed: the lease ends by itself.
        """
        if isinstance(error, LedgerUnavailable):
            return
        delivery = self.ledger.get_delivery(delivery_id)
        if delivery is not None:
            failed = DeliveryFailed(f"the delivery failed with {type(error).__name__}", str(error))
            self._record_failure(delivery, failed)

    def _trail_of(self, delivery: Delivery) -> DeliveryTrail:
        return NO_TRAIL if self.trail is None else self.trail.for_delivery(delivery)

    def _choose(self, delivery: Delivery, destination: Destination) -> Product:
        """Return the product to send; a choice is stored first, so that no second one is sent."""
        if not delivery.alternatives or delivery.state is DeliveryState.STORED:
            return delivery.product
        product = destination.choose(delivery.offers)
        self.ledger.record_choice(delivery.id, product.sop_instance_uid)
        return product

    def _record_failure(self, delivery: Delivery, error: DeliveryFailed) -> None:
        is_unclear = isinstance(error, DeliveryUnclear)
        unclear_attempts = delivery.unclear_attempts + is_unclear
        is_last = (
            isinstance(error, DeliveryRefused)
            or delivery.attempts >= self.max_attempts
            or (is_unclear and unclear_attempts >= UNCLEAR_ATTEMPTS_MAX)
        )
        pause_s = backoff_s(delivery.attempts)
        if is_unclear:
            pause_s = backoff_s(unclear_attempts, UNCLEAR_PAUSE_S)
        answer = f"{error}: {error.peer_text}" if error.peer_text else str(error)
        if is_last:
            self._trail_of(delivery).record_given_up(delivery.product, str(error))
            answer += _describe_doubt(unclear_attempts)
        self.ledger.record_failure(
            delivery.id,
            answer,
            None if is_last else max(jitter_s(pause_s, self.chance()), _read_asked_pause_s(error)),
            unreachable=isinstance(error, DestinationUnreachable | DeliveryUnanswered),
            unclear=is_unclear,
        )
        log.warning(
            "delivery given up" if is_last else "delivery failed, tried again later",
            destination=delivery.destination,
            answer=str(error),
            attempt=delivery.attempts,
        )


def _read_asked_pause_s(error: DeliveryFailed) -> float:
    """Return the pause that a destination asked for, in seconds; a longer one is cut short."""
    return min(error.after_s, LONGEST_WAIT_S) if isinstance(error, DestinationUnreachable) else 0.0


def _describe_doubt(unclear_attempts: int) -> str:
    """Return what is added to the last answer if the destination may have the product."""
    if not unclear_attempts:
        return ""
    return f"; {because(ReasonCode.MAY_HAVE_ARRIVED, attempts=unclear_attempts)}"
