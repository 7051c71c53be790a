"""ROC curves: how well a score separates the studies with a finding from those without it."""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.domain.performance import Rate

RESAMPLINGS = 1000
INTERVAL = (2.5, 97.5)  #: percentiles

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


class RocPoint(NamedTuple):
    """The rates of one threshold: a study is flagged if its score is at least `score`."""

    score: float
    false_alarms: float  #: share of the negatives that are flagged: 1 - specificity
    sensitivity: float  #: share of the positives that are flagged


def measure_area(scores: Floats, truth: Truth, rng: Generator) -> Rate:
    """Return the area under the curve of scores (N,) with its 95 % bootstrap interval.

    `truth` (N,) has both kinds.
    """
    low, high = np.percentile(resample_area(scores, truth, rng), INTERVAL)
    area = compute_area(np.concatenate([scores[truth], scores[~truth]]), int(truth.sum()))
    return Rate(area, min(area, float(low)), max(area, float(high)))


def compute_area(scores: Floats, positives: int) -> float:
    """Return the area (Mann-Whitney); the first `positives` of the scores are the positive ones."""
    ordered = np.sort(scores[positives:])
    below = np.searchsorted(ordered, scores[:positives], "left")
    not_above = np.searchsorted(ordered, scores[:positives], "right")
    return float(np.mean(below + not_above) / 2 / len(ordered))


def resample_area(scores: Floats, truth: Truth, rng: Generator) -> Floats:
    """Return the areas of resampled studies, positives and negatives each among themselves."""
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    areas = np.empty(RESAMPLINGS)
    for place in range(RESAMPLINGS):
        chosen = np.concatenate(
            [rng.choice(positive, len(positive)), rng.choice(negative, len(negative))]
        )
        areas[place] = compute_area(scores[chosen], len(positive))
    return areas


def trace_curve(scores: Floats, truth: Truth) -> tuple[RocPoint, ...]:
    """Return a point for each distinct score, from the highest; `truth` has both kinds."""
    distinct, places = np.unique(-scores, return_inverse=True)
    counts = [np.bincount(places[kind], minlength=len(distinct)) for kind in (~truth, truth)]
    false_alarms, sensitivity = (np.cumsum(each) / each.sum() for each in counts)
    return tuple(
        RocPoint(float(-score), float(false), float(true))
        for score, false, true in zip(distinct, false_alarms, sensitivity, strict=True)
    )
