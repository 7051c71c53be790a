import time

from triage.config import HASHED_PASSWORD
from triage.web.passwords import hash_password, verify_password


def test_a_password_matches_what_is_kept_of_it_and_no_other_does() -> None:
    kept = hash_password("Grüße, Kollegin")
    assert verify_password(kept, "Grüße, Kollegin")
    assert not verify_password(kept, "Grüße, Kolleginn")
    assert not verify_password(kept, "")


def test_nothing_of_the_password_is_kept_and_two_are_never_kept_alike() -> None:
    one, other = hash_password("correct horse battery"), hash_password("correct horse battery")
    assert one != other
    assert "correct" not in one


def test_the_settings_take_what_is_made_here() -> None:
    assert HASHED_PASSWORD.fullmatch(hash_password("correct horse battery"))


def test_a_guess_takes_long() -> None:
    kept = hash_password("correct horse battery")
    began = time.perf_counter()
    verify_password(kept, "wrong")
    assert time.perf_counter() - began > 0.02
