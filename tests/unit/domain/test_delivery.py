from hypothesis import given
from hypothesis.strategies import integers

from triage.domain.delivery import backoff_s, jitter_s


def test_the_first_failures_wait_twice_as_long_each() -> None:
    assert [backoff_s(n) for n in (1, 2, 3)] == [5, 10, 20]


@given(integers(1, 500))
def test_the_pause_never_shrinks_and_has_a_ceiling(attempts: int) -> None:
    assert backoff_s(attempts) <= backoff_s(attempts + 1) <= 300


def test_a_pause_is_up_to_a_tenth_shorter_and_never_longer() -> None:
    assert [jitter_s(300, chance) for chance in (0.0, 0.5, 1.0)] == [300, 285, 270]
