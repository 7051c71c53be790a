"""Thresholds of drawn scores: figures and intervals hold on studies that were never used."""

from dataclasses import dataclass

import numpy as np
import pytest

from triage.cases.budgets import LATER, set_budget_threshold
from triage.cases.operating_points import choose_threshold, set_labelled_threshold, trace_points
from triage.domain.calibration import CalibrationTarget, SiteThreshold, TargetKind
from triage.domain.performance import Rate
from triage.model.roc import Floats

SEEDS = range(20)
MOST_MISSES = 2
SENSITIVE = CalibrationTarget(TargetKind.SENSITIVITY, 0.9)
SPECIFIC = CalibrationTarget(TargetKind.SPECIFICITY, 0.95)
PRECISE = CalibrationTarget(TargetKind.PREDICTIVE_VALUE, 0.5)
BALANCED = CalibrationTarget(TargetKind.EQUAL_ERROR)
TARGETS = [SENSITIVE, SPECIFIC, PRECISE, BALANCED]


@dataclass(frozen=True)
class DrawnScores:
    """Scores of studies with and without a finding, as far apart as cosines of a good model."""

    positive: Floats
    negative: Floats

    @classmethod
    def draw(cls, positives: int, negatives: int, seed: int) -> "DrawnScores":
        rng = np.random.default_rng(seed)
        return cls(rng.normal(0.35, 0.05, positives), rng.normal(0.25, 0.05, negatives))

    def calibrate(self, target: CalibrationTarget) -> SiteThreshold | None:
        scores = np.concatenate([self.positive, self.negative])
        truth = np.arange(len(scores)) < len(self.positive)
        rng = np.random.default_rng(0)
        return set_labelled_threshold("cine_sa", scores, truth, target, rng)

    def measure(self, threshold: float) -> tuple[float, float, float]:
        """Return sensitivity, specificity and positive predictive value."""
        hits, alarms = (int((kind > threshold).sum()) for kind in (self.positive, self.negative))
        specificity = 1 - alarms / len(self.negative)
        return hits / len(self.positive), specificity, hits / (hits + alarms)


def is_within(rate: Rate | None, value: float) -> bool:
    return rate is not None and rate.low <= value <= rate.high


@pytest.mark.parametrize(
    ("target", "positives", "negatives"),
    [*((target, 30, 90) for target in TARGETS), (SENSITIVE, 100, 300)],
    ids=str,
)
def test_figures_of_later_studies_are_within_the_intervals(
    target: CalibrationTarget, positives: int, negatives: int
) -> None:
    misses = np.zeros(3, int)
    for seed in SEEDS:
        found = DrawnScores.draw(positives, negatives, seed).calibrate(target)
        assert found is not None
        assert found.performance is not None
        later = DrawnScores.draw(10_000, 30_000, 1000 + seed).measure(found.threshold)
        known = (found.performance.sensitivity, found.performance.specificity)
        rates = (*known, found.predictive_value)
        misses += [not is_within(rate, value) for rate, value in zip(rates, later, strict=True)]
    print(target, positives, "figures outside of the intervals, of 20 each:", misses)
    assert (misses <= MOST_MISSES).all()


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_budget_is_kept_on_the_next_studies(share: float) -> None:
    misses = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        found = set_budget_threshold("cine_sa", rng.normal(0.25, 0.05, 400), share)
        assert found is not None
        later = rng.normal(0.25, 0.05, LATER)
        misses += not is_within(found.flagged, float((later > found.threshold).mean()))
    print(share, "shares outside of the interval, of 20:", misses)
    assert misses <= MOST_MISSES


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_studies_that_set_a_threshold_reach_the_target(target: CalibrationTarget) -> None:
    drawn = DrawnScores.draw(40, 160, 3)
    found = drawn.calibrate(target)
    assert found is not None
    sensitivity, specificity, predictive_value = drawn.measure(found.threshold)
    reached = {
        TargetKind.SENSITIVITY: sensitivity >= 0.9,
        TargetKind.SPECIFICITY: specificity >= 0.95,
        TargetKind.PREDICTIVE_VALUE: predictive_value >= 0.5,
        TargetKind.EQUAL_ERROR: abs(sensitivity - specificity) < 0.03,
    }
    assert reached[target.kind]
    assert found.performance is not None
    assert found.performance.sensitivity.value == pytest.approx(sensitivity)
    assert found.performance.specificity.value == pytest.approx(specificity)
    assert found.predictive_value is not None
    assert found.predictive_value.value == pytest.approx(predictive_value)


def test_perfect_separation_still_has_an_interval() -> None:
    found = DrawnScores(np.linspace(0.6, 0.9, 12), np.linspace(0.1, 0.4, 12)).calibrate(BALANCED)
    assert found is not None
    assert found.performance is not None
    assert (found.threshold, found.performance.sensitivity.value) == (0.5, 1.0)
    assert found.performance.sensitivity.low < 0.8


@pytest.mark.parametrize(
    ("positive", "negative", "target"),
    [
        ([0.1] * 10, [0.1] * 10, BALANCED),
        ([0.1, 0.2], [0.3, 0.4], PRECISE),
        ([0.1, 0.9], [0.3, 0.4], SENSITIVE),
        ([0.4, 0.3], [0.2], PRECISE),
    ],
)
def test_a_threshold_that_flags_every_study_or_misses_the_target_is_none(
    positive: list[float], negative: list[float], target: CalibrationTarget
) -> None:
    assert DrawnScores(np.array(positive), np.array(negative)).calibrate(target) is None


def test_no_threshold_lies_on_a_score() -> None:
    scores = np.array([0.2, 0.3, 0.3, 0.5])
    points = trace_points(scores, np.array([False, True, False, True]))
    assert not {*points.thresholds} & {*scores}
    assert len(points.thresholds) == 4
    assert choose_threshold(SENSITIVE, points) == pytest.approx(0.25)


def test_a_budget_target_is_none_of_labelled_studies() -> None:
    points = trace_points(np.array([0.1, 0.2]), np.array([False, True]))
    with pytest.raises(ValueError, match="2%"):
        choose_threshold(CalibrationTarget(TargetKind.SHARE, 0.02), points)


@pytest.mark.parametrize(
    ("scores", "share", "flagged"),
    [
        ([*range(100)], 0.02, 2),
        ([*range(100)], 0.029, 2),
        ([*range(100)], 0.005, None),
        ([*range(98), 98, 98], 0.02, 2),
        ([*range(97), 98, 98, 98], 0.02, None),
        ([1] * 100, 0.5, None),
        ([*range(100)], 1.0, 99),
    ],
)
def test_a_budget_never_flags_more_than_its_share(
    scores: list[int], share: float, flagged: int | None
) -> None:
    found = set_budget_threshold("cine_sa", np.array(scores, float), share)
    counted = None if found is None else int((np.array(scores) > found.threshold).sum())
    assert counted == flagged
