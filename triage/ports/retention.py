"""What is removed of studies that have ended."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from triage.domain.retention import EndedStudy


class RetentionLedger(Protocol):
    """What is forgotten of studies that have ended. Raises LedgerUnavailable."""

    def list_with_images(self) -> Sequence[EndedStudy]:
        """Return the studies that have ended and whose images are here, the oldest first."""

    def list_with_products(self) -> Sequence[EndedStudy]:
        """Return the studies that have ended and whose reports are here, the oldest first."""

    def mark_for_removal(self, chosen: Collection[EndedStudy]) -> Sequence[str]:
        """Say that the images of studies go; return of which.

        Some may have begun anew since they were chosen, or have ended anew: what happened to them
        later than they say is too young to go.
        """

    def list_marked(self) -> Sequence[str]:
        """Return the studies whose images go, and are not all gone."""

    def remove_images(self, study_uid: str, remove: Callable[[Collection[str]], None]) -> int:
        """Forget the instances of a marked study after `remove` had their paths; return how many.

        Between the two nobody takes anything in for this study.
        """

    def count_product_bytes(self, study_uid: str) -> int:
        """Return how long the reports on a study are, all together."""

    def remove_products(self, chosen: EndedStudy) -> bool:
        """Remove what is said in the reports on a study; False where it began or ended anew."""

    def count_records(self, before: float) -> int:
        """Return how many lines of history and incidents are older than a moment."""

    def remove_records(self, before: float) -> int:
        """Remove these lines; return how many there were."""

    def shred(self) -> None:
        """Leave nothing in the database's files of what was removed."""
