"""The states of studies."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.census import Census
from triage.domain.delivery import Product, Route
from triage.domain.study import Event, State, StudyRevision


class StudyLedger(Protocol):
    """The states of study revisions.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def get_study(self, study_uid: str, revision: int) -> StudyRevision | None:
        """Return one revision of a study."""

    def list_studies(self, *states: State) -> Sequence[StudyRevision]:
        """Return the revisions in these states (all states if none is named), oldest first."""

    def count_waiting_studies(self) -> int:
        """Return how many revisions arrive, or wait for a worker."""

    def get_census(self) -> Census:
        """Return how many studies and deliveries are in each state, and since when one waits."""

    def move(
        self,
        study: StudyRevision,
        event: Event,
        reason: str,
        holder: str | None = None,
        again_in_s: float = 0.0,
    ) -> bool:
        """Apply an event, if it is possible and nothing arrived since `study` was read.

        Where `holder` is given, the lease must be theirs. A READY study is not assessed before
        `again_in_s` seconds have passed.
        """

    def complete_at_limit(self, study: StudyRevision, reason: str) -> bool:
        """Judge a study complete although it grows: at the hard limit it may do so all the time."""

    def claim(
        self, study_uid: str, revision: int, holder: str, lease_s: float
    ) -> StudyRevision | None:
        """Take a READY revision for `holder` until the lease ends."""

    def renew(self, study_uid: str, revision: int, holder: str, lease_s: float) -> bool:
        """Extend the lease of `holder`."""

    def list_expired(self) -> Sequence[StudyRevision]:
        """Return the ASSESSING revisions whose lease has ended."""

    def finish(
        self,
        study: StudyRevision,
        holder: str,
        summary: str,
        products: Sequence[Product],
        routes: Sequence[Route],
    ) -> Sequence[int] | None:
        """Store an assessment's products, and a delivery a route; return the deliveries' ids."""

    def get_summary(self, study_uid: str, revision: int) -> str | None:
        """Return what `finish` stored as the summary: the assessment as JSON."""

    def list_products(self, study_uid: str, revision: int) -> Sequence[Product]:
        """Return what was said of a study up to a revision, the latest last."""

    def list_unsent_studies(self, forgotten_after_s: float | None) -> Sequence[StudyRevision]:
        """Return READY revisions never queued, or queued so long ago; None: never again."""

    def mark_study_queued(self, study_uid: str, revision: int) -> None:
        """Remember that the broker took the study's task."""
