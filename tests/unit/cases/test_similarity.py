"""How much a similarity means."""

import pytest

from triage.cases.similarity import likeness

TYPICAL = [place / 1000 for place in range(1000)]


@pytest.mark.parametrize(("cosine", "share"), [(-1, 0), (0.5, 0.5), (0.9995, 1), (1, 1)])
def test_it_is_the_share_of_random_pairs_that_are_less_alike(cosine: float, share: float) -> None:
    assert likeness(cosine, TYPICAL) == pytest.approx(share)


def test_few_pairs_say_nothing() -> None:
    assert likeness(0.5, TYPICAL[:99]) is None
