"""Retention: which data of ended studies is removed, and when.

Data is removed only by a limit that the site has set. The images of a study are removed together,
and only after each of its revisions has ended and no delivery is pending. If its revisions ended in
different states, every limit that applies must have passed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from triage.domain.study import State

#: Seconds after the last change before images may be removed for lack of space: late instances may
#: arrive, and a study with only these could not be assessed again.
SETTLED_S = 3600.0


@dataclass(frozen=True)
class RetentionLimits:
    """Ages, in seconds, after which data is removed; None: it is kept."""

    delivered_s: float | None = None  #: images of studies with every report delivered
    declined_s: float | None = None  #: images of declined studies
    failed_s: float | None = None  #: images of studies that were set aside
    products_s: float | None = None  #: reports with their content
    quarantine_s: float | None = None  #: refused bytes
    records_s: float | None = None  #: history and incidents
    cases_s: float | None = None  #: past cases, from the date of the study
    free_bytes: int | None = None  #: below it, images of delivered studies are removed at any age

    @property
    def has_any(self) -> bool:
        """Whether any limit is set."""
        return any(limit is not None for limit in vars(self).values())

    def images_s(self, state: State) -> float | None:
        """Return the limit for images of a revision in this end state."""
        limits = {
            State.DELIVERED: self.delivered_s,
            State.DECLINED: self.declined_s,
            State.FAILED: self.failed_s,
        }
        return limits.get(state)

    def reports_s(self, state: State) -> float | None:
        """Return the limit for reports of such a revision; undelivered ones are kept longer."""
        if state is not State.FAILED:
            return self.products_s
        if self.products_s is None or self.failed_s is None:
            return None
        return max(self.products_s, self.failed_s)


@dataclass(frozen=True)
class EndedStudy:
    """A study in an end state: no automatic step follows."""

    study_uid: str
    states: frozenset[State]  #: of its revisions
    since: float  #: time of its last change, seconds since the epoch


@dataclass(frozen=True)
class StoredFile:
    """A stored file."""

    path: str
    size: int  #: bytes
    at: float  #: when it was written, seconds since the epoch


def select_expired(
    studies: Collection[EndedStudy], now: float, limits: RetentionLimits, *, reports: bool = False
) -> Iterator[EndedStudy]:
    """Yield the studies whose images, or reports, have passed every limit that applies."""
    for study in studies:
        limit_of = limits.reports_s if reports else limits.images_s
        set_for = [limit_of(state) for state in study.states]
        if all(limit is not None and now - study.since >= limit for limit in set_for):
            yield study


def select_for_space(studies: Collection[EndedStudy], now: float) -> Sequence[EndedStudy]:
    """Return delivered studies with images to remove for lack of space, oldest first."""
    settled = [
        study
        for study in studies
        if study.states == {State.DELIVERED} and now - study.since >= SETTLED_S
    ]
    return sorted(settled, key=lambda study: study.since)
