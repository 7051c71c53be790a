"""Thresholds for an asked figure, and the figures that they will have on later studies.

A threshold that was set on few studies is too good on these: its rates are optimistic. The interval
of a rate therefore covers what later studies of the same kind show. For each of 1000 resamplings of
the patients, a threshold is set anew and its rate on the resampling is compared with its rate on
all patients; the differences are the errors of the rate (optimism bootstrap: Harrell, Lee and Mark
1996, Statistics in Medicine 15:361). Rates of 0 and 1 have no error in any resampling, so the score
interval (Wilson 1927) is included too.

Each study is of another patient: with several studies of one patient, chance would seem smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from triage.domain.calibration import CalibrationTarget, SiteThreshold, TargetKind
from triage.domain.performance import Performance, Rate, observed_rate
from triage.model.roc import INTERVAL, RESAMPLINGS, Floats, Truth, measure_area

ROUNDING = 1e-9  #: 27 of 30 are a sensitivity of 0.9


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds between the scores of studies, from the lowest, and their rates: (m,) each."""

    thresholds: Floats
    sensitivity: Floats
    specificity: Floats
    predictive_value: Floats  #: positive; NaN where nothing is flagged


@dataclass(frozen=True)
class _Rates:
    """The rates of one threshold."""

    sensitivity: float
    specificity: float
    predictive_value: float  #: NaN where nothing is flagged


def trace_points(scores: Floats, truth: Truth) -> OperatingPoints:
    """Return every threshold that flags other studies; `truth` (N,) has both kinds."""
    distinct = np.unique(scores)
    between = (distinct[1:] + distinct[:-1]) / 2
    margin = (distinct[-1] - distinct[0]) / len(distinct) or ROUNDING
    thresholds = np.concatenate([[distinct[0] - margin], between, [distinct[-1] + margin]])
    hits, alarms = (_count_above(scores[kind], thresholds) for kind in (truth, ~truth))
    with np.errstate(invalid="ignore"):
        predictive_value = hits / (hits + alarms)
    negatives = (~truth).sum()
    return OperatingPoints(
        thresholds, hits / truth.sum(), (negatives - alarms) / negatives, predictive_value
    )


def choose_threshold(target: CalibrationTarget, points: OperatingPoints) -> float | None:
    """Return the threshold that reaches a target with the best of the other rates.

    None: no threshold reaches it, or only the one that flags every study.
    """
    match target.kind:
        case TargetKind.SENSITIVITY:
            reached = np.flatnonzero(points.sensitivity >= target.value - ROUNDING)
            place = int(reached[-1])
        case TargetKind.SPECIFICITY:
            reached = np.flatnonzero(points.specificity >= target.value - ROUNDING)
            place = int(reached[0])
        case TargetKind.PREDICTIVE_VALUE:
            reached = np.flatnonzero(points.predictive_value >= target.value - ROUNDING)
            place = int(reached[0]) if len(reached) else 0
        case TargetKind.EQUAL_ERROR:
            place = int(np.argmin(np.abs(points.sensitivity - points.specificity)))
        case _:
            raise ValueError(f"{target} is no figure of labelled studies")
    return float(points.thresholds[place]) if place else None


def set_labelled_threshold(
    views: str, scores: Floats, truth: Truth, target: CalibrationTarget, rng: Generator
) -> SiteThreshold | None:
    """Return the threshold for studies of one set of views, None if no threshold is useful.

    `scores` (N,) are of one study of each patient, `truth` (N,) has both kinds.
    """
    threshold = choose_threshold(target, trace_points(scores, truth))
    if threshold is None:
        return None
    errors = _resample_errors(scores, truth, target, rng)
    flags = scores > threshold
    hits, flagged = int((flags & truth).sum()), int(flags.sum())
    positives, negatives = int(truth.sum()), int((~truth).sum())

    def bound(right: int, trials: int, read: Callable[[_Rates], float]) -> Rate:
        return _widen(observed_rate(right, trials), np.array([read(error) for error in errors]))

    performance = Performance(
        auc=measure_area(scores, truth, rng),
        sensitivity=bound(hits, positives, lambda error: error.sensitivity),
        specificity=bound(negatives - flagged + hits, negatives, lambda error: error.specificity),
        studies=len(scores),
        positives=positives,
        measured_on=f"the {len(scores)} studies of this site that also set it",
    )
    predictive_value = (
        bound(hits, flagged, lambda error: error.predictive_value) if flagged else None
    )
    return SiteThreshold(
        views=views,
        threshold=threshold,
        spread=max(float(scores.std()), ROUNDING),
        studies=len(scores),
        positives=positives,
        performance=performance,
        predictive_value=predictive_value,
    )


def _resample_errors(
    scores: Floats, truth: Truth, target: CalibrationTarget, rng: Generator
) -> list[_Rates]:
    """Return by how much the rates on all studies differ from those on each resampling."""
    positive, negative = scores[truth], scores[~truth]
    kinds = np.arange(len(scores)) < len(positive)
    errors = []
    for _ in range(RESAMPLINGS):
        drawn = np.concatenate([rng.choice(kind, len(kind)) for kind in (positive, negative)])
        threshold = choose_threshold(target, trace_points(drawn, kinds))
        if threshold is None:
            continue
        there = _measure(drawn[kinds], drawn[~kinds], threshold)
        here = _measure(positive, negative, threshold)
        errors.append(
            _Rates(
                here.sensitivity - there.sensitivity,
                here.specificity - there.specificity,
                here.predictive_value - there.predictive_value,
            )
        )
    return errors


def _measure(positive: Floats, negative: Floats, threshold: float) -> _Rates:
    hits, alarms = int((positive > threshold).sum()), int((negative > threshold).sum())
    predictive_value = hits / (hits + alarms) if hits + alarms else np.nan
    return _Rates(hits / len(positive), 1 - alarms / len(negative), predictive_value)


def _widen(rate: Rate, errors: Floats) -> Rate:
    """Return a rate with an interval that also covers its value with each error."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return rate
    low, high = np.percentile(known, INTERVAL) + rate.value
    return Rate(
        rate.value,
        max(0.0, min(rate.low, float(low))),
        min(1.0, max(rate.high, float(high))),
    )


def _count_above(scores: Floats, thresholds: Floats) -> NDArray[np.int64]:
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, "right")
