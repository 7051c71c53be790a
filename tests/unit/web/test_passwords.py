import time

from triage.config import HASHED
from triage.web.passwords import hashed, matches


def test_a_password_matches_what_is_kept_of_it_and_no_other_does() -> None:
    kept = hashed("Grüße, Kollegin")
    assert matches(kept, "Grüße, Kollegin")
    assert not matches(kept, "Grüße, Kolleginn")
    assert not matches(kept, "")


def test_nothing_of_the_password_is_kept_and_two_are_never_kept_alike() -> None:
    one, other = hashed("correct horse battery"), hashed("correct horse battery")
    assert one != other
    assert "correct" not in one


def test_the_settings_take_what_is_made_here() -> None:
    assert HASHED.fullmatch(hashed("correct horse battery"))


def test_a_guess_takes_long() -> None:
    kept = hashed("correct horse battery")
    began = time.perf_counter()
    matches(kept, "wrong")
    assert time.perf_counter() - began > 0.02
