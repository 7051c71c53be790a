"""Peers that products are sent to."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

from triage.domain.commitment import CommitmentReport
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.instance import Source


class Destination(Protocol):
    """Somebody who takes products."""

    name: str
    media_types: Collection[str]  #: what it takes

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first of several products that the destination would take.

        Raises DeliveryFailed where it would take none.
        """

    def deliver(self, product: Product) -> Acknowledgement:
        """Send a product and return the acknowledgement; raise DeliveryFailed otherwise."""

    def echo(self) -> Acknowledgement:
        """Ask whether the destination is there; raise DeliveryFailed otherwise."""


@runtime_checkable
class CommittingDestination(Destination, Protocol):
    """An archive that is asked for its word that it keeps what it has taken."""

    within_s: float  #: it is asked again when its word has not come for so long

    def request_commitment(
        self,
        transaction_uid: str,
        product: Product,
        take: Callable[[CommitmentReport, Source], bool],
    ) -> Acknowledgement:
        """Ask for the word; what is told at once goes to `take`, before it is acknowledged.

        Raises DeliveryFailed where it does not take the question.
        """
