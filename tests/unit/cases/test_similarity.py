"""Similarity as a share of random pairs."""

import pytest

from triage.cases.similarity import likeness

TYPICAL = [place / 1000 for place in range(1000)]


@pytest.mark.parametrize(("cosine", "share"), [(-1, 0), (0.5, 0.5), (0.9995, 1), (1, 1)])
def test_likeness_is_the_share_of_random_pairs_with_a_lower_cosine(
    cosine: float, share: float
) -> None:
    assert likeness(cosine, TYPICAL) == pytest.approx(share)


def test_too_few_pairs_give_no_likeness() -> None:
    assert likeness(0.5, TYPICAL[:99]) is None
