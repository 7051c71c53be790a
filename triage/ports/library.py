"""Past cases and their embeddings."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from triage.domain.case import NO_FILTER, Case, Filter, Neighbour
from triage.ports.encoder import Embedding


class Library(Protocol):
    """Past cases of one bundle, searched by similarity. Raises LedgerUnavailable.

    A case that one process has added is found by every other process.
    """

    def add(self, case: Case, embedding: Embedding) -> None:
        """Add or replace a case; a case of a forgotten patient is ignored."""

    def find_nearest(
        self, embedding: Embedding, count: int, where: Filter = NO_FILTER
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, nearest first; ties in the order of adding."""

    def get_case(self, study_uid: str) -> Case | None:
        """Return a case."""

    def count_cases(self) -> int:
        """Return the number of cases."""

    def get_embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding of a case, in its stored precision."""

    def list_study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""

    def list_study_uids_of_other_bundles(self) -> Iterator[str]:
        """Yield the Study UID of every case that only other bundles have."""

    def get_case_of_other_bundle(self, study_uid: str) -> Case | None:
        """Return a case of another bundle."""

    def list_typical_cosines(self) -> Sequence[float]:
        """Return sorted cosines of random pairs of cases of different patients."""

    def forget_patient(self, patient: str) -> int:
        """Remove a patient's cases, of all bundles, and return their number.

        Cases of the patient that are added later are ignored.
        """

    def count_older(self, date: str) -> int:
        """Return the number of cases, of all bundles, with a study date before `date` (DA)."""

    def remove_older(self, date: str) -> int:
        """Remove these cases with their vectors and return their number."""
