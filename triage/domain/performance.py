"""How well a score tells a finding, as measured on labelled studies that did not set its threshold.

Figures describe the studies that they were measured on, and no other hospital's.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

QUANTILE = 1.959964  #: of the normal distribution, for an interval of 95 %


@dataclass(frozen=True)
class Rate:
    """A rate with its 95 % confidence interval; raises ValueError unless 0 <= low <= high <= 1."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(a <= b for a, b in pairwise((0, self.low, self.value, self.high, 1))):
            raise ValueError(f"{self.value} with interval {self.low} to {self.high} is no rate")

    def __str__(self) -> str:
        """Return e.g. "0.91 (0.86 to 0.94)"."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def percent(self) -> str:
        """Return e.g. "2.0 % (1.1 to 3.6)", for rates near 0."""
        value, low, high = (100 * each for each in (self.value, self.low, self.high))
        return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def observed_rate(hits: int, trials: int) -> Rate:
    """Return the rate of `hits` with its 95 % score interval (Wilson 1927, JASA 22:209).

    Unlike the interval of the normal approximation it is no point where all trials are hits.
    """
    return _score_interval(hits / trials, trials)


def _score_interval(rate: float, trials: float) -> Rate:
    weight = QUANTILE**2 / trials
    middle = (rate + weight / 2) / (1 + weight)
    half = QUANTILE * sqrt(rate * (1 - rate) / trials + weight / (4 * trials)) / (1 + weight)
    # Rounding may put an end a little beyond a rate of 0 or 1.
    return Rate(rate, max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half)))


def predict_rate(hits: int, trials: int, later: int) -> Rate:
    """Return the rate of `hits` with the 95 % interval of the rate in `later` further trials.

    Both rates vary by chance, so the interval is that of fewer trials: 1 / (1/trials + 1/later).
    """
    return _score_interval(hits / trials, trials * later / (trials + later))


@dataclass(frozen=True)
class Performance:
    """The diagnostic performance of a score at its threshold; raises ValueError for bad counts."""

    auc: Rate  #: area under the ROC curve: holds for the score, not for the threshold
    sensitivity: Rate  #: share of the studies with the finding that are flagged
    specificity: Rate  #: share of the studies without it that are not flagged
    studies: int  #: with a label
    positives: int  #: of them with the finding
    measured_on: str  #: the studies in words, e.g. "412 studies of this hospital, 2025"

    def __post_init__(self) -> None:
        if not 0 < self.positives < self.studies:
            raise ValueError(f"{self.positives} of {self.studies} studies with the finding")
        if not self.measured_on.strip():
            raise ValueError("measured_on names no studies")
