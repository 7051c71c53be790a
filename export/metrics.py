"""Metrics of scores against labels, as in the publication.

Accuracy, F1 and area under the ROC curve with bootstrap intervals; SimpleShot (Wang et al. 2019,
arXiv 1911.04623); retrieval between texts and studies. A label with positives alone or negatives
alone has no metrics.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from triage.domain.performance import Rate, observed_rate
from triage.model.roc import INTERVAL, Floats, resample_area

SHOTS = (1, 2, 4, 8, 16, 32)
EPISODES = 100
RANKS = (1, 5, 10)
BINS = 10
GRID = np.linspace(0, 1, 101)  #: false alarms at which a ROC curve is kept
FOLDS = 5


@dataclass(frozen=True)
class ScoreMetrics:
    """The metrics of one column of scores against its labels."""

    studies: int
    positives: int
    auc: float
    auc_low: float  #: 2.5th percentile over resamplings of the studies
    auc_high: float  #: 97.5th percentile
    accuracy: float
    f1: float
    sensitivity: Rate
    specificity: Rate
    spread: float  #: standard deviation of the scores
    threshold: float  #: accuracy, F1, sensitivity and specificity hold for scores above it


def measure(
    scores: Floats, labels: Floats, threshold: float, rng: Generator
) -> ScoreMetrics | None:
    """Measure scores (N,) against labels (N,) of 0, 1 or NaN; None where one kind is missing."""
    known = ~np.isnan(labels)
    scores, truth = scores[known], labels[known] > 0
    if truth.all() or not truth.any():
        return None
    flagged = scores > threshold
    low, high = np.percentile(resample_area(scores, truth, rng), INTERVAL)
    return ScoreMetrics(
        studies=len(truth),
        positives=int(truth.sum()),
        auc=float(roc_auc_score(truth, scores)),
        auc_low=float(low),
        auc_high=float(high),
        accuracy=float(np.mean(flagged == truth)),
        f1=float(f1_score(truth, flagged, zero_division=0)),
        sensitivity=observed_rate(int(flagged[truth].sum()), int(truth.sum())),
        specificity=observed_rate(int((~flagged[~truth]).sum()), int((~truth).sum())),
        spread=float(scores.std()),
        threshold=threshold,
    )


@dataclass(frozen=True)
class Reliability:
    """A reliability curve: observed frequency by predicted probability."""

    predicted: tuple[float, ...]  #: mean probability of each bin that is not empty
    observed: tuple[float, ...]  #: share of positives in it
    studies: tuple[int, ...]
    error: float  #: expected calibration error: mean distance of the two, weighted by studies


def reliability(scores: Floats, labels: Floats) -> Reliability | None:
    """Measure the probabilities that scores (N,) give by logistic regression, never of their fold.

    Scores are cosines, no probabilities (Platt 1999 turns one into the other). Bins of equal
    numbers of studies; None where a fold would lack one kind of label.
    """
    known = ~np.isnan(labels)
    truth = labels[known] > 0
    if not has_enough_labels(labels):
        return None
    chance = predict_held_out(
        LogisticRegression(C=1e6, max_iter=2000), _standard(scores[known]), truth
    )
    bins = [part for part in np.array_split(np.argsort(chance, kind="stable"), BINS) if len(part)]
    predicted = [float(chance[part].mean()) for part in bins]
    observed = [float(truth[part].mean()) for part in bins]
    gaps = [abs(p - o) * len(part) for p, o, part in zip(predicted, observed, bins, strict=True)]
    return Reliability(
        tuple(predicted), tuple(observed), tuple(len(part) for part in bins), sum(gaps) / len(truth)
    )


def predict_held_out(model: BaseEstimator, points: Floats, truth: NDArray[np.bool_]) -> Floats:
    """Return the probability (N,) of each point (N, D), from a model that never saw its fold."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):  # for products this small, threads only wait
        predicted: Floats = cross_val_predict(
            model, points, truth, cv=folds, method="predict_proba"
        )
    return predicted[:, 1]


def has_enough_labels(labels: Floats) -> bool:
    """Return whether every fold can have positives and negatives."""
    known = labels[~np.isnan(labels)]
    return bool(min(np.sum(known == kind) for kind in (0, 1)) >= FOLDS)


def separates(scores: Floats, labels: Floats, least_auc: float) -> bool:
    """Return whether scores (N,) separate the labels with at least this AUC."""
    known = ~np.isnan(labels)
    truth = labels[known] > 0
    if truth.all() or not truth.any():
        return False
    return bool(roc_auc_score(truth, scores[known]) >= least_auc)


def roc(scores: Floats, labels: Floats) -> tuple[float, ...]:
    """Return the sensitivity at the false alarm rates of GRID."""
    false, true, _ = _curve(scores, labels)
    return tuple(np.interp(GRID, false, true).round(4).tolist())


def balanced_threshold(scores: Floats, labels: Floats) -> float:
    """Return the threshold at which sensitivity is nearest to specificity (the published rule)."""
    false, true, thresholds = _curve(scores, labels)
    return _below(scores, float(thresholds[np.argmin(np.abs(true - (1 - false)))]))


def specific_threshold(scores: Floats, labels: Floats, specificity: float = 0.95) -> float:
    """Return the lowest threshold at which at least this share of the negatives is not flagged.

    It is never below the balanced threshold, which is that specific already where scores separate
    the labels well.
    """
    false, _true, thresholds = _curve(scores, labels)
    lowest = _below(scores, float(thresholds[np.flatnonzero(1 - false >= specificity)[-1]]))
    return max(lowest, balanced_threshold(scores, labels))


def spread_of(scores: Floats, labels: Floats) -> float:
    """Return the standard deviation of the scores (N,) that have a label."""
    return float(scores[~np.isnan(labels)].std())


def few_shot_auc(embeddings: Floats, labels: Floats, rng: Generator) -> dict[int, float]:
    """Return the mean AUC of SimpleShot over episodes, by the number of examples of each kind.

    Centre by the support's mean, L2-normalise, compare with the class means.
    """
    known = ~np.isnan(labels)
    points, truth = embeddings[known], labels[known] > 0
    fewest = min(int(truth.sum()), int((~truth).sum()))
    return {
        shots: float(np.mean([_episode(points, truth, shots, rng) for _ in range(EPISODES)]))
        for shots in SHOTS
        if shots < fewest
    }


def retrieval(queries: Floats, answers: Floats) -> dict[str, float]:
    """Return R@1, R@5, R@10 and the median rank of each query's own answer; both (N, D), unit."""
    cosines = queries @ answers.T  # (N, N)
    own = np.diagonal(cosines)[:, None]
    rank = (cosines > own).sum(1) + ((cosines == own).sum(1) + 1) / 2  # ties share their ranks
    return {
        **{f"R@{at}": float(np.mean(rank <= at)) for at in RANKS},
        "median rank": float(np.median(rank)),
    }


def _curve(scores: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    known = ~np.isnan(labels)
    false, true, thresholds = roc_curve(labels[known] > 0, scores[known], drop_intermediate=False)
    return false, true, thresholds


def _standard(scores: Floats) -> Floats:
    """Return scores as a column of mean 0 and deviation 1: a regression asks for such, (N, 1)."""
    column: Floats = ((scores - scores.mean()) / max(float(scores.std()), 1e-12))[:, None]
    return column


def _below(scores: Floats, reached: float) -> float:
    """Turn a threshold that is reached (>=) into one that is exceeded (>): halfway to the next."""
    lower = scores[scores < reached]
    if not np.isfinite(reached):
        return float(scores.max())
    return (reached + float(lower.max())) / 2 if len(lower) else reached - 1e-6


def _episode(points: Floats, truth: NDArray[np.bool_], shots: int, rng: Generator) -> float:
    support = np.concatenate(
        [rng.choice(np.flatnonzero(truth == kind), shots, replace=False) for kind in (True, False)]
    )
    query = np.setdiff1d(np.arange(len(points)), support)
    centred = points - points[support].mean(0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(length, 1e-12)  # a point at the mean has no direction
    means = [unit[support[part]].mean(0) for part in (slice(0, shots), slice(shots, None))]
    nearer = np.linalg.norm(unit[query] - means[1], axis=1) - np.linalg.norm(
        unit[query] - means[0], axis=1
    )
    return float(roc_auc_score(truth[query], nearer))
