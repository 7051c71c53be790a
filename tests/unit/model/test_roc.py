"""The area under the curve and the curve itself, against those of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from sklearn.metrics import roc_auc_score, roc_curve

from triage.model.roc import Floats, Truth, compute_area, measure_area, trace_curve


def drawn(seed: int) -> tuple[Floats, Truth]:
    """Return scores with ties, and seven positives first."""
    scores = np.random.default_rng(seed).integers(0, 6, 20).astype(float)
    return scores, np.arange(20) < 7


@given(integers(0, 10_000))
def test_the_area_is_scikit_learn_s(seed: int) -> None:
    scores, truth = drawn(seed)
    assert compute_area(scores, 7) == pytest.approx(roc_auc_score(truth, scores))


@given(integers(0, 10_000))
def test_the_curve_is_scikit_learn_s(seed: int) -> None:
    scores, truth = drawn(seed)
    false, true, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    found = np.array(trace_curve(scores, truth))
    expected = np.stack([thresholds, false, true], axis=1)[1:]  # its first point flags none
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_lies_in_its_interval_whatever_the_order(seed: int) -> None:
    scores, truth = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(scores))
    area = measure_area(scores[order], truth[order], np.random.default_rng(0))
    assert area.value == pytest.approx(compute_area(scores, 7))
    assert area.low < area.value < area.high
