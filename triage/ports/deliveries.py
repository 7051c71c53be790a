"""The states of deliveries."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.delivery import Delivery, Outage


class DeliveryLedger(Protocol):
    """The states of deliveries.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def list_unsent_deliveries(self, forgotten_after_s: float | None) -> Sequence[int]:
        """Return due deliveries never queued, or queued longer ago than this.

        None: a queued delivery is never returned again.
        """

    def mark_delivery_queued(self, delivery_id: int) -> None:
        """Record that the broker accepted the task of the delivery."""

    def claim_delivery(self, delivery_id: int, lease_s: float) -> Delivery | None:
        """Claim a due delivery until the lease ends."""

    def renew_delivery(self, delivery_id: int, lease_s: float) -> bool:
        """Extend the lease of a delivery in progress."""

    def get_delivery(self, delivery_id: int) -> Delivery | None:
        """Return one delivery."""

    def record_choice(self, delivery_id: int, sop_instance_uid: str) -> None:
        """Record which alternative a delivery sends; it never sends another one."""

    def record_delivered(self, delivery_id: int, answer: str) -> None:
        """Store a destination's acknowledgement; the last one ends the study."""

    def record_failure(
        self,
        delivery_id: int,
        answer: str,
        again_in_s: float | None,
        *,
        unreachable: bool = False,
        unclear: bool = False,
    ) -> None:
        """Store a failure, with a retry after `again_in_s`; None gives the delivery up.

        While a destination is unreachable, only this delivery probes it. An unclear attempt, which
        the destination may have accepted, is counted.
        """

    def list_outages(self) -> Sequence[Outage]:
        """Return the destinations that do not answer, by name."""

    def list_deliveries(self, study_uid: str, revision: int) -> Sequence[Delivery]:
        """Return the deliveries of a revision."""
