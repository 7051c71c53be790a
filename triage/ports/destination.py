"""Destinations of products."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from triage.domain.commitment import CommitmentReport
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.instance import Source
from triage.domain.negotiation import Negotiation, Offer


class Destination(Protocol):
    """A peer that receives products."""

    name: str
    media_types: Collection[str]  #: accepted media types

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first offered product that the destination accepts.

        Called only for a product that has alternatives.

        Raises: DeliveryFailed if it accepts none.
        """

    def deliver(self, product: Product) -> Acknowledgement:
        """Send a product and return the acknowledgement; raise DeliveryFailed otherwise."""

    def echo(self) -> Acknowledgement:
        """Check that the destination answers; raise DeliveryFailed otherwise."""


@runtime_checkable
class NegotiatingDestination(Destination, Protocol):
    """A peer that states in advance what it accepts."""

    def negotiate(self, offers: Sequence[Offer]) -> Negotiation:
        """Ask what the peer would accept, and send nothing; raise DeliveryFailed otherwise."""


@runtime_checkable
class CommittingDestination(Destination, Protocol):
    """An archive that is asked for storage commitment."""

    within_s: float  #: seconds without a report until it is asked again

    def request_commitment(
        self,
        transaction_uid: str,
        product: Product,
        take: Callable[[CommitmentReport, Source], bool],
    ) -> Acknowledgement:
        """Request commitment; `take` receives a report on the same association.

        A report is passed to `take` before it is acknowledged. Raises: DeliveryFailed if the
        archive does not accept the request.
        """
