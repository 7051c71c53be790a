"""Retention: removal of data of ended studies."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from triage.domain.retention import EndedStudy


class RetentionLedger(Protocol):
    """Removal of data of ended studies from the ledger. Raises LedgerUnavailable."""

    def list_with_images(self) -> Sequence[EndedStudy]:
        """Return the ended studies whose images are stored, oldest first."""

    def list_with_products(self) -> Sequence[EndedStudy]:
        """Return the ended studies whose reports are stored, oldest first."""

    def mark_for_removal(self, chosen: Collection[EndedStudy]) -> Sequence[str]:
        """Mark these studies for image removal.

        Returns the UIDs marked; skips studies that changed since they were selected.
        """

    def list_marked(self) -> Sequence[str]:
        """Return the marked studies that still have images."""

    def remove_images(self, study_uid: str, remove: Callable[[Collection[str]], None]) -> int:
        """Delete the instances of a marked study after calling `remove` with their paths.

        Returns their number. No instance of the study is recorded between the two.
        """

    def count_product_bytes(self, study_uid: str) -> int:
        """Return the total size of the reports of a study, in bytes."""

    def remove_products(self, chosen: EndedStudy) -> bool:
        """Remove the content of a study's reports; False if the study changed since."""

    def count_records(self, before: float) -> int:
        """Return the number of history and incident records older than a time."""

    def remove_records(self, before: float) -> int:
        """Remove these records and return their number."""

    def shred(self) -> None:
        """Overwrite removed data in the files of the database."""
