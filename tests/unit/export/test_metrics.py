import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from sklearn.metrics import roc_auc_score

from export.metrics import (
    GRID,
    balanced_threshold,
    few_shot_auc,
    measure,
    reliability,
    retrieval,
    roc,
    specific_threshold,
    spread_of,
)
from triage.domain.performance import observed_rate

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], float)
SCORES = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_column_of_scores_is_measured() -> None:
    found = measure(SCORES, LABELS, 0.5, rng())
    assert found is not None
    assert (found.studies, found.positives) == (8, 4)
    assert found.auc == pytest.approx(15 / 16)
    assert found.accuracy == pytest.approx(6 / 8)
    assert found.f1 == pytest.approx(6 / 8)
    assert found.auc_low <= found.auc <= found.auc_high
    assert found.sensitivity == observed_rate(3, 4)
    assert found.specificity == observed_rate(3, 4)
    assert found.spread == pytest.approx(SCORES.std())


def test_the_spread_is_of_the_labelled_scores() -> None:
    labels = np.append(LABELS, np.nan)
    assert spread_of(np.append(SCORES, 99.0), labels) == pytest.approx(SCORES.std())


def test_studies_without_a_label_do_not_count() -> None:
    labels, scores = np.append(LABELS, np.nan), np.append(SCORES, 0.99)
    found = measure(scores, labels, 0.5, rng())
    assert found is not None
    assert found.studies == 8


@pytest.mark.parametrize("labels", [np.zeros(8), np.ones(8), np.full(8, np.nan)])
def test_one_kind_alone_is_not_measured(labels: np.ndarray) -> None:
    assert measure(SCORES, labels, 0.5, rng()) is None


def test_the_interval_narrows_with_more_studies() -> None:
    def width(count: int) -> float:
        drawn = rng()
        labels = drawn.integers(0, 2, count).astype(float)
        found = measure(labels + drawn.normal(0, 1, count), labels, 0.5, drawn)
        assert found is not None
        return found.auc_high - found.auc_low

    assert width(2000) < width(50) / 3


def test_at_the_balanced_threshold_sensitivity_is_specificity() -> None:
    drawn = rng()
    labels = drawn.integers(0, 2, 4000).astype(float)
    scores = labels + drawn.normal(0, 1, 4000)
    flagged = scores > balanced_threshold(scores, labels)
    sensitivity = np.mean(flagged[labels == 1])
    specificity = np.mean(~flagged[labels == 0])
    assert sensitivity == pytest.approx(specificity, abs=0.002)
    assert balanced_threshold(scores, labels) == pytest.approx(0.5, abs=0.1)


def test_the_specific_threshold_flags_few_negatives_and_no_fewer_than_it_must() -> None:
    drawn = rng()
    labels = drawn.integers(0, 2, 4000).astype(float)
    scores = labels + drawn.normal(0, 1, 4000)
    flagged = scores > specific_threshold(scores, labels, 0.95)
    assert 0.95 <= np.mean(~flagged[labels == 0]) <= 0.952


@given(integers(0, 10_000))
def test_the_specific_threshold_is_never_below_the_balanced_one(seed: int) -> None:
    """Scores that separate well: 95 % of the negatives lie far below the balanced threshold."""
    drawn = np.random.default_rng(seed)
    labels = (np.arange(60) < 20).astype(float)
    scores = drawn.normal(0, 1, 60) + labels * drawn.uniform(0, 8)
    assert specific_threshold(scores, labels) >= balanced_threshold(scores, labels)


def test_more_shots_are_better_and_noise_stays_noise() -> None:
    drawn = rng()
    labels = drawn.integers(0, 2, 300).astype(float)
    telling = drawn.normal(0, 1, (300, 16)) + labels[:, None] * 0.6
    found = few_shot_auc(telling, labels, drawn)
    assert list(found) == [1, 2, 4, 8, 16, 32]
    assert found[32] > found[1] + 0.05
    noise = few_shot_auc(drawn.normal(0, 1, (300, 16)), labels, drawn)
    assert noise[32] == pytest.approx(0.5, abs=0.05)


def test_retrieval_ranks_each_text_s_own_study() -> None:
    unit = np.eye(20)
    assert retrieval(unit, unit) == {"R@1": 1, "R@5": 1, "R@10": 1, "median rank": 1}
    moved = retrieval(unit, np.roll(unit, 1, axis=0))
    assert moved["R@1"] == 0
    assert moved["median rank"] > 10


def test_equal_scores_are_no_success_of_retrieval() -> None:
    same = np.ones((21, 4)) / 2
    assert retrieval(same, same)["median rank"] == 11


def test_a_roc_curve_rises_from_nothing_to_everything_and_holds_the_area() -> None:
    drawn = rng()
    labels = drawn.integers(0, 2, 3000).astype(float)
    scores = labels + drawn.normal(0, 1, 3000)
    curve = roc(scores, labels)
    assert len(curve) == len(GRID)
    assert list(curve) == sorted(curve)
    assert curve[-1] == 1
    assert np.trapezoid(curve, GRID) == pytest.approx(roc_auc_score(labels, scores), abs=0.01)


def test_probabilities_of_telling_scores_are_reliable() -> None:
    drawn = rng()
    scores = drawn.uniform(-3, 3, 4000)
    labels = (drawn.uniform(0, 1, 4000) < 1 / (1 + np.exp(-scores))).astype(float)
    found = reliability(scores / 1000, labels)  # cosines may lie close together
    assert found is not None
    assert found.error < 0.03
    assert sum(found.studies) == 4000
    assert found.predicted[0] == pytest.approx(0.06, abs=0.03)
    assert found.predicted[-1] == pytest.approx(0.94, abs=0.03)


def test_too_few_of_a_kind_have_no_reliability() -> None:
    assert reliability(SCORES, np.array([0, 0, 0, 0, 0, 1, 1, np.nan])) is None
