"""Past cases and their embeddings."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from triage.domain.case import NO_FILTER, Case, Filter, Neighbour
from triage.ports.encoder import Embedding


class Library(Protocol):
    """Past cases of one bundle, found by their nearness. Raises LedgerUnavailable.

    What one process has added, every other finds.
    """

    def add(self, case: Case, embedding: Embedding) -> None:
        """Keep a case; one that is known is replaced, and one of a forgotten patient left out."""

    def find_nearest(
        self, embedding: Embedding, count: int, where: Filter = NO_FILTER
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, the nearest first; of equals the one added first."""

    def get_case(self, study_uid: str) -> Case | None:
        """Return a case."""

    def count_cases(self) -> int:
        """Return how many cases there are."""

    def get_embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding of a case, to the precision that it is kept with."""

    def list_study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""

    def list_study_uids_of_other_bundles(self) -> Iterator[str]:
        """Yield the Study UID of every case that other bundles have and this one has not."""

    def get_case_of_other_bundle(self, study_uid: str) -> Case | None:
        """Return a case as another bundle has it."""

    def list_typical_cosines(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, rising."""

    def forget_patient(self, patient: str) -> int:
        """Remove a patient's cases, those of other bundles too; return how many there were.

        What is added of theirs later is left out.
        """

    def count_older(self, date: str) -> int:
        """Return how many cases, of all bundles, are of a study from before a date (VR DA)."""

    def remove_older(self, date: str) -> int:
        """Remove these cases with their vectors; return how many there were."""
