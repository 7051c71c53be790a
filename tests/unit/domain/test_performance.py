"""Rates with intervals, and the performance of a threshold."""

import pytest

from triage.domain.performance import Performance, Rate

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
