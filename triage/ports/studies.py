"""The states of studies."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.assessment import Flag
from triage.domain.census import Census
from triage.domain.delivery import Product, Route
from triage.domain.reasons import Reason
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
        """Return the number of revisions that are arriving or waiting for a worker."""

    def get_census(self) -> Census:
        """Return the numbers of studies and deliveries by state, and the oldest waiting."""

    def move(
        self,
        study: StudyRevision,
        event: Event,
        reason: str,
        holder: str | None = None,
        again_in_s: float = 0.0,
    ) -> bool:
        """Apply an event, if it is possible and nothing arrived since `study` was read.

        With `holder`, the holder must have the lease. A READY study is not assessed before
        `again_in_s` seconds have passed.
        """

    def complete_at_limit(self, study: StudyRevision, reason: str) -> bool:
        """Judge a study complete at the hard limit, although instances still arrive."""

    def open_next_revision(self, latest: StudyRevision, reason: str) -> bool:
        """Open a READY revision with the images of `latest`; nothing has arrived for it."""

    def claim(
        self, study_uid: str, revision: int, holder: str, lease_s: float
    ) -> StudyRevision | None:
        """Claim a READY revision for `holder` until the lease ends."""

    def renew(self, study_uid: str, revision: int, holder: str, lease_s: float) -> bool:
        """Extend the lease of `holder`."""

    def list_expired(self) -> Sequence[StudyRevision]:
        """Return the ASSESSING revisions whose lease has ended."""

    def finish(  # noqa: PLR0913, PLR0917 - what is stored in one transaction
        self,
        study: StudyRevision,
        holder: str,
        summary: str,
        products: Sequence[Product],
        routes: Sequence[Route],
        flag: Flag | None = None,
        remarks: Sequence[Reason] = (),
    ) -> Sequence[int] | None:
        """Store products and root flag, and one delivery per route; return the delivery ids.

        The history of the study states `remarks` with the assessment.
        """

    def get_summary(self, study_uid: str, revision: int) -> str | None:
        """Return the summary that `finish` stored: the assessment as JSON."""

    def list_products(self, study_uid: str, revision: int) -> Sequence[Product]:
        """Return the products of a study up to a revision, the latest last."""

    def list_unsent_studies(self, forgotten_after_s: float | None) -> Sequence[StudyRevision]:
        """Return READY revisions never queued, or queued longer ago than this.

        None: a queued revision is never returned again.
        """

    def mark_study_queued(self, study_uid: str, revision: int) -> None:
        """Record that the broker accepted the task of the study."""
