from tests.fakes import FakeClock
from triage.web import login_throttle as brake
from triage.web.login_throttle import FREE, LONGEST_S, MOST, LoginThrottle

ANNA, ELSEWHERE = ("anna", "10.0.0.1"), ("anna", "10.0.0.2")


def failing(made: LoginThrottle, times: int) -> None:
    for _ in range(times):
        made.count_failure(ANNA)


def test_the_first_failures_are_free_then_the_wait_doubles() -> None:
    made = LoginThrottle(FakeClock())
    failing(made, FREE)
    assert made.wait_s(ANNA) == 0
    waits = []
    for _ in range(12):
        made.count_failure(ANNA)
        waits.append(made.wait_s(ANNA))
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == LONGEST_S


def test_a_wait_ends_and_the_next_failure_makes_it_longer() -> None:
    clock = FakeClock()
    made = LoginThrottle(clock)
    failing(made, FREE + 3)
    clock.pass_s(3)
    assert made.wait_s(ANNA) == 1
    clock.pass_s(1)
    assert made.wait_s(ANNA) == 0
    made.count_failure(ANNA)
    assert made.wait_s(ANNA) == 8


def test_other_users_and_other_addresses_do_not_wait() -> None:
    made = LoginThrottle(FakeClock())
    failing(made, FREE + 3)
    assert made.wait_s(ELSEWHERE) == made.wait_s(("ben", "10.0.0.1")) == 0


def test_failures_are_forgotten_after_success_or_an_hour() -> None:
    clock = FakeClock()
    made = LoginThrottle(clock)
    failing(made, FREE + 1)
    made.reset(ANNA)
    failing(made, FREE)
    assert made.wait_s(ANNA) == 0
    clock.pass_s(brake.FORGOTTEN_S + 1)
    failing(made, FREE)
    assert made.wait_s(ANNA) == 0


def test_endless_guessing_is_bounded_in_wait_and_memory() -> None:
    made = LoginThrottle(FakeClock())
    failing(made, 3000)
    assert made.wait_s(ANNA) == LONGEST_S
    for number in range(MOST + 5):
        made.count_failure((f"{number}", "10.0.0.1"))
    assert len(made._failures) == MOST
