"""Use case: bring one product to one destination.

Rule: delivered is the destination's own word, instance by instance. A failure is kept with its
answer and tried again later, ever more rarely; a refusal for good is not. Of a destination that is
silent one delivery at a time finds out when it is back, so it holds up no other. An archive that is
asked for storage commitment has delivered when it has said that it keeps the instance: what it took
is STORED until then, asked about again when its word does not come, then sent again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.domain.delivery import Delivery, DeliveryState, Product, backoff_s, jitter_s
from triage.domain.errors import (
    DeliveryFailed,
    DeliveryRefused,
    DestinationUnreachable,
    LedgerUnavailable,
)
from triage.domain.uid import new_uid
from triage.pipeline.audit_events import NO_TRAIL, DeliveryTrail, StudyTrail
from triage.pipeline.leases import keep_alive
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.ports.destination import CommittingDestination, Destination
from triage.ports.ledger import Ledger

log = structlog.get_logger(__name__)

LEASE_S = 30.0  #: unless the settings say otherwise


def no_jitter() -> float:
    """Return the chance that changes nothing."""
    return 0.0


@dataclass(frozen=True)
class Deliverer:
    """Everything that one worker needs to deliver products."""

    ledger: Ledger
    destinations: Mapping[str, Destination]
    max_attempts: int
    lease_s: float = LEASE_S  #: a worker that is silent for so long has lost its delivery
    chance: Callable[[], float] = no_jitter  #: from 0 to 1, by which pauses are shorter
    trail: StudyTrail | None = None  #: told of what goes; None: a site that keeps none
    commitment: CommitmentScu | None = None  #: None: no destination is asked for its word

    def deliver(self, delivery_id: int) -> None:
        """Try a due delivery once; one that is taken or not due is left alone."""
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
            why = DeliveryFailed(f"destination {delivery.destination} is not configured")
            self._failed(delivery, why)
            return
        try:
            if self.commitment is not None and isinstance(destination, CommittingDestination):
                self._committed(delivery, destination, self.commitment)
                return
            answer = self._sent(delivery, destination)
        except DeliveryFailed as error:
            self._failed(delivery, error)
            return
        self.ledger.record_delivered(delivery.id, answer)
        log.info("delivered", destination=delivery.destination, answer=answer)

    def _sent(self, delivery: Delivery, destination: Destination) -> str:
        """Send a product, but for one that has arrived when more was asked of the destination."""
        if delivery.state is DeliveryState.STORED and not isinstance(
            destination, CommittingDestination
        ):
            return delivery.last_answer
        told = self._told(delivery)
        product = self._chosen(delivery, destination)
        told.record_sending(product)
        answer = destination.deliver(product).answer
        mark_reached(CrashPoint.PRODUCT_SENT)
        told.record_sent(product)
        return answer

    def _committed(
        self, delivery: Delivery, archive: CommittingDestination, promises: CommitmentScu
    ) -> None:
        """Send a product unless the archive has it, and ask for its word that it keeps it."""
        requests, is_there = promises.requests, delivery.state is DeliveryState.STORED
        if delivery.attempts > self.max_attempts:
            raise DeliveryFailed(f"it has not said that it keeps it; {delivery.last_answer}")
        again = is_there and not requests.was_asked_again(delivery.id)
        answer = None if again else self._sent(delivery, archive)
        transaction_uid = new_uid()
        if not requests.record_request(delivery.id, transaction_uid, answer):
            return  # its word has come meanwhile
        mark_reached(CrashPoint.COMMITMENT_OWED)
        said = answer or delivery.last_answer.partition(";")[0]
        self._asked(delivery, archive, promises, transaction_uid, said)

    def _asked(
        self,
        delivery: Delivery,
        archive: CommittingDestination,
        promises: CommitmentScu,
        transaction_uid: str,
        said: str,
    ) -> None:
        current = self.ledger.get_delivery(delivery.id) or delivery  # with the form that was chosen
        silent, again_in_s = False, archive.within_s
        try:
            answer = archive.request_commitment(
                transaction_uid, current.product, promises.process_report
            ).answer
        except DeliveryFailed as error:
            silent = isinstance(error, DestinationUnreachable)
            answer = str(error)
            again_in_s = jitter_s(backoff_s(delivery.attempts), self.chance())
        mark_reached(CrashPoint.COMMITMENT_ASKED)
        promises.requests.postpone(delivery.id, f"{said}; {answer}", again_in_s, unreachable=silent)
        log.info("stored, commitment asked for", destination=archive.name, answer=answer)

    def handle_error(self, delivery_id: int, error: BaseException) -> None:
        """Keep a delivery whose attempt ended with an unforeseen error, for another try.

        Where the ledger was away nobody knows who holds it: its lease ends by itself.
        """
        if isinstance(error, LedgerUnavailable):
            return
        delivery = self.ledger.get_delivery(delivery_id)
        if delivery is not None:
            why = DeliveryFailed(f"the delivery broke with {type(error).__name__}", str(error))
            self._failed(delivery, why)

    def _told(self, delivery: Delivery) -> DeliveryTrail:
        return NO_TRAIL if self.trail is None else self.trail.for_delivery(delivery)

    def _chosen(self, delivery: Delivery, destination: Destination) -> Product:
        """Return what to send; a choice is written down first, so that nothing goes twice."""
        if not delivery.alternatives or delivery.state is DeliveryState.STORED:
            return delivery.product
        product = destination.choose(delivery.offers)
        self.ledger.record_choice(delivery.id, product.sop_instance_uid)
        return product

    def _failed(self, delivery: Delivery, error: DeliveryFailed) -> None:
        last = isinstance(error, DeliveryRefused) or delivery.attempts >= self.max_attempts
        again_in_s = None if last else jitter_s(backoff_s(delivery.attempts), self.chance())
        silent = isinstance(error, DestinationUnreachable)
        answer = f"{error}: {error.peer_text}" if error.peer_text else str(error)
        if last:
            self._told(delivery).record_given_up(delivery.product, str(error))
        self.ledger.record_failure(delivery.id, answer, again_in_s, unreachable=silent)
        log.warning(
            "delivery given up" if last else "delivery failed, tried again later",
            destination=delivery.destination,
            answer=str(error),
            attempt=delivery.attempts,
        )
