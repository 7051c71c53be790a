"""What is kept no longer, and from when on: decisions over what has ended.

Rule: nothing goes but by a limit that the site has set. A study goes as a whole, and only when
each of its revisions has ended and no delivery of it is pending; where its revisions ended
differently, every limit that applies must have passed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from triage.domain.study import State

#: What was touched so lately stays, however short of room we are: late instances may come, and a
#: study of which only these are there could not be assessed again.
SETTLED_S = 3600.0


@dataclass(frozen=True)
class RetentionLimits:
    """From which age on what goes, in seconds; None: it stays."""

    delivered_s: float | None = None  #: images of studies whose every report was taken
    declined_s: float | None = None  #: images of studies that were not for us
    failed_s: float | None = None  #: images of studies that were set aside
    products_s: float | None = None  #: reports, and what stands in them
    quarantine_s: float | None = None  #: refused bytes
    records_s: float | None = None  #: history and incidents
    cases_s: float | None = None  #: past cases, from the date of the study
    free_bytes: int | None = None  #: below it, images of delivered studies go at any age

    @property
    def has_any(self) -> bool:
        """Whether anything goes at all."""
        return any(limit is not None for limit in vars(self).values())

    def images_s(self, state: State) -> float | None:
        """Return the limit of the images of a revision that ended so."""
        limits = {
            State.DELIVERED: self.delivered_s,
            State.DECLINED: self.declined_s,
            State.FAILED: self.failed_s,
        }
        return limits.get(state)

    def reports_s(self, state: State) -> float | None:
        """Return the limit of the reports on such a revision; undelivered ones stay longer."""
        if state is not State.FAILED:
            return self.products_s
        if self.products_s is None or self.failed_s is None:
            return None
        return max(self.products_s, self.failed_s)


@dataclass(frozen=True)
class EndedStudy:
    """A study of which nothing more happens by itself."""

    study_uid: str
    states: frozenset[State]  #: of its revisions
    since: float  #: when anything last happened to it, seconds since the epoch


@dataclass(frozen=True)
class StoredFile:
    """A file that is kept."""

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
    """Return the delivered studies whose images go for want of room, the oldest first."""
    settled = [
        study
        for study in studies
        if study.states == {State.DELIVERED} and now - study.since >= SETTLED_S
    ]
    return sorted(settled, key=lambda study: study.since)
