import time

from triage.config import HASHED_PASSWORD
from triage.web.passwords import hash_password, verify_password


def test_only_the_right_password_matches_its_hash() -> None:
    kept = hash_password("Grüße, Kollegin")
    assert verify_password(kept, "Grüße, Kollegin")
    assert not verify_password(kept, "Grüße, Kolleginn")
    assert not verify_password(kept, "")


def test_hashes_reveal_nothing_and_are_salted() -> None:
    one, other = hash_password("correct horse battery"), hash_password("correct horse battery")
    assert one != other
    assert "correct" not in one


def test_the_settings_accept_a_generated_hash() -> None:
    assert HASHED_PASSWORD.fullmatch(hash_password("correct horse battery"))


def test_one_check_takes_long() -> None:
    kept = hash_password("correct horse battery")
    began = time.perf_counter()
    verify_password(kept, "wrong")
    assert time.perf_counter() - began > 0.02
