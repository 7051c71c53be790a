"""Use case: bring one product to one destination.

Rule: delivered is the destination's own word, instance by instance. A failure is kept with its
answer and tried again later, ever more rarely; a refusal for good is not. Of a destination that is
silent one delivery at a time finds out when it is back, so it holds up no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from triage.domain.delivery import Delivery, Product, backoff_s
from triage.domain.errors import DeliveryFailed, DeliveryRefused, DestinationUnreachable
from triage.lease import kept_alive
from triage.ports import Destination, Ledger
from triage.steps import Step, reached

log = structlog.get_logger(__name__)

LEASE_S = 30.0  #: unless the settings say otherwise


@dataclass(frozen=True)
class Deliverer:
    """Everything that one worker needs to deliver products."""

    ledger: Ledger
    destinations: Mapping[str, Destination]
    max_attempts: int
    lease_s: float = LEASE_S  #: a worker that is silent for so long has lost its delivery

    def deliver(self, delivery_id: int) -> None:
        """Try a due delivery once; one that is taken or not due is left alone."""
        delivery = self.ledger.claim_delivery(delivery_id, self.lease_s)
        if delivery is None:
            log.info("nothing to deliver, the work is taken")
            return
        reached(Step.DELIVERY_TAKEN)
        with kept_alive(
            lambda: self.ledger.renew_delivery(delivery_id, self.lease_s), self.lease_s / 3
        ):
            self._attempt(delivery)
        reached(Step.DELIVERED)

    def _attempt(self, delivery: Delivery) -> None:
        destination = self.destinations.get(delivery.destination)
        if destination is None:
            why = DeliveryFailed(f"destination {delivery.destination} is not configured")
            self._failed(delivery, why)
            return
        try:
            acknowledgement = destination.deliver(self._chosen(delivery, destination))
        except DeliveryFailed as error:
            self._failed(delivery, error)
            return
        reached(Step.PRODUCT_SENT)
        self.ledger.delivered(delivery.id, acknowledgement.answer)
        log.info("delivered", destination=delivery.destination, answer=acknowledgement.answer)

    def broke(self, delivery_id: int, error: BaseException) -> None:
        """Keep a delivery whose attempt ended with an unforeseen error, for another try."""
        delivery = self.ledger.delivery(delivery_id)
        if delivery is not None:
            why = DeliveryFailed(f"the delivery broke with {type(error).__name__}", str(error))
            self._failed(delivery, why)

    def _chosen(self, delivery: Delivery, destination: Destination) -> Product:
        """Return what to send; a choice is written down first, so that nothing goes twice."""
        if not delivery.alternatives:
            return delivery.product
        product = destination.choose(delivery.offers)
        self.ledger.chosen(delivery.id, product.sop_instance_uid)
        return product

    def _failed(self, delivery: Delivery, error: DeliveryFailed) -> None:
        last = isinstance(error, DeliveryRefused) or delivery.attempts >= self.max_attempts
        again_in_s = None if last else backoff_s(delivery.attempts)
        silent = isinstance(error, DestinationUnreachable)
        answer = f"{error}: {error.told}" if error.told else str(error)
        self.ledger.not_delivered(delivery.id, answer, again_in_s, unreachable=silent)
        log.warning(
            "delivery given up" if last else "delivery failed, tried again later",
            destination=delivery.destination,
            answer=str(error),
            attempt=delivery.attempts,
        )
