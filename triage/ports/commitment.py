"""Storage commitment (PS3.4 annex J), as SCP and as SCU."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from triage.domain.commitment import Commitment, ReceivedInstance, Reference
from triage.domain.delivery import Delivery


class CommitmentLedger(Protocol):
    """Requests for storage commitment whose report is owed. Raises LedgerUnavailable."""

    def record_request(
        self,
        requestor: str,
        transaction_uid: str,
        references: Sequence[Reference],
        due_in_s: float,
    ) -> Commitment:
        """Remember a request; the same one again is due anew."""

    def list_due(self) -> Sequence[Commitment]:
        """Return the requests that are to be reported now, the oldest first."""

    def close_request(self, commitment_id: int) -> None:
        """Forget a request: it was reported, or given up."""

    def postpone(self, commitment_id: int, seconds: float) -> None:
        """Count an attempt that failed; the next one comes after a while."""

    def find_instances(self, uids: Sequence[str]) -> Mapping[str, Sequence[ReceivedInstance]]:
        """Return what was received under SOP Instance UIDs, in whatever study, and stays."""


class CommitmentRequests(Protocol):
    """What archives are asked for the word that they keep it. Raises LedgerUnavailable."""

    def record_request(self, delivery_id: int, transaction_uid: str, answer: str | None) -> bool:
        """Remember, before it goes out, that an archive is asked; the delivery is STORED.

        `answer` is what it has said to the product, None where it was not sent anew. False where
        the delivery is not under way any more: its word has come.
        """

    def postpone(
        self, delivery_id: int, answer: str, again_in_s: float, *, unreachable: bool = False
    ) -> None:
        """Keep a STORED delivery until it is asked about again."""

    def was_asked_again(self, delivery_id: int) -> bool:
        """Tell whether the last question was not that which followed a sending."""

    def find_request(self, transaction_uid: str) -> tuple[Delivery, bool] | None:
        """Return which delivery was asked about, and whether nothing was asked since."""
