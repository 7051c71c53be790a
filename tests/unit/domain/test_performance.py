"""Rates with intervals, and the performance of a threshold."""

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from triage.domain.performance import Performance, Rate, observed_rate

RATE = Rate(0.9, 0.85, 0.93)


def test_a_rate_is_printed_with_its_interval() -> None:
    assert str(Rate(0.912, 0.856, 0.9449)) == "0.91 (0.86 to 0.94)"


@pytest.mark.parametrize(
    "figures",
    [(0.9, 0.91, 1.0), (0.9, 0.8, 0.89), (1.1, 1.0, 1.2), (-0.1, -0.2, 0.1), (float("nan"), 0, 1)],
)
def test_what_is_no_rate_is_refused(figures: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Rate(*figures)


@pytest.mark.parametrize(("studies", "positives"), [(10, 0), (10, 10), (0, 0), (10, -1)])
def test_one_kind_of_study_alone_measures_nothing(studies: int, positives: int) -> None:
    with pytest.raises(ValueError, match="studies with the finding"):
        Performance(RATE, RATE, RATE, studies, positives, "studies")


def test_a_performance_names_its_studies() -> None:
    with pytest.raises(ValueError, match="names no studies"):
        Performance(RATE, RATE, RATE, 10, 5, "")


def test_the_interval_of_a_rate_is_the_published_one() -> None:
    """Example of Newcombe 1998 (Stat Med 17:857), table I, method 3: 81 of 263, 0 of 20."""
    many, none, every = observed_rate(81, 263), observed_rate(0, 20), observed_rate(20, 20)
    assert (many.low, many.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (none.low, none.high) == pytest.approx((0, 0.1611), abs=5e-5)
    assert (every.low, every.high) == pytest.approx((1 - 0.1611, 1), abs=5e-5)


@given(integers(1, 400), integers(0, 400))
def test_a_rate_lies_in_its_interval(trials: int, hits: int) -> None:
    rate = observed_rate(min(hits, trials), trials)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert rate.low < rate.high
