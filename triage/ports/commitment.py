"""Storage commitment (PS3.4 annex J), as SCP and as SCU."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from triage.domain.commitment import Commitment, ReceivedInstance, Reference
from triage.domain.delivery import Delivery


class CommitmentLedger(Protocol):
    """Storage commitment requests that await our report. Raises LedgerUnavailable."""

    def record_request(
        self,
        requestor: str,
        transaction_uid: str,
        references: Sequence[Reference],
        due_in_s: float,
    ) -> Commitment:
        """Record a request; a repeated request becomes due again."""

    def list_due(self) -> Sequence[Commitment]:
        """Return the requests that are due for a report, oldest first."""

    def close_request(self, commitment_id: int) -> None:
        """Delete a request that was reported or given up."""

    def postpone(self, commitment_id: int, seconds: float) -> None:
        """Count a failed attempt; the next one is due after `seconds`."""

    def find_instances(self, uids: Sequence[str]) -> Mapping[str, Sequence[ReceivedInstance]]:
        """Return the stored instances with these SOP Instance UIDs, of any study."""


class CommitmentRequests(Protocol):
    """Our commitment requests to archives. Raises LedgerUnavailable."""

    def record_request(self, delivery_id: int, transaction_uid: str, answer: str | None) -> bool:
        """Record a request before it is sent; the delivery becomes STORED.

        `answer` is the archive's answer to the product, None if the product was not sent again.
        Returns False if the delivery has ended, because its report has arrived.
        """

    def postpone(
        self, delivery_id: int, answer: str, again_in_s: float, *, unreachable: bool = False
    ) -> None:
        """Postpone the next request of a STORED delivery."""

    def was_asked_again(self, delivery_id: int) -> bool:
        """Return whether the last request was repeated without sending the product."""

    def find_request(self, transaction_uid: str) -> tuple[Delivery, bool] | None:
        """Return the delivery of a request, and whether the request is its latest."""
