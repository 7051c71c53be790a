import pytest
from hypothesis import given
from hypothesis.strategies import integers

from triage.domain.delivery import DestinationAnswer, backoff_s, jitter_s


def test_the_first_failures_wait_twice_as_long_each() -> None:
    assert [backoff_s(n) for n in (1, 2, 3)] == [5, 10, 20]


@given(integers(1, 500))
def test_the_pause_never_shrinks_and_has_a_ceiling(attempts: int) -> None:
    assert backoff_s(attempts) <= backoff_s(attempts + 1) <= 300


def test_a_pause_is_up_to_a_tenth_shorter_and_never_longer() -> None:
    assert [jitter_s(300, chance) for chance in (0.0, 0.5, 1.0)] == [300, 285, 270]


@pytest.mark.parametrize(
    ("stored", "answer"),
    [
        ("0x0000 Success", DestinationAnswer("Success", 0)),
        (
            "0xB000 Coercion of data elements; storage commitment confirmed",
            DestinationAnswer("Coercion of data elements", 0xB000, "storage commitment confirmed"),
        ),
        (
            "0x0000 Success; committed: it keeps it",
            DestinationAnswer("Success", 0, "committed: it keeps it"),
        ),
        ("HTTP 200", DestinationAnswer("HTTP 200")),
        ("", DestinationAnswer("")),
    ],
)
def test_an_answer_is_stored_and_read_in_the_same_form(
    stored: str, answer: DestinationAnswer
) -> None:
    assert DestinationAnswer.parse(stored) == answer
    assert str(answer) == stored


def test_a_status_of_class_b_is_a_warning() -> None:
    assert DestinationAnswer.parse("0xB006 Elements discarded").is_warning
    assert not DestinationAnswer.parse("0xA700 Out of resources").is_warning
    assert not DestinationAnswer.parse("0xBees are no status").is_warning
