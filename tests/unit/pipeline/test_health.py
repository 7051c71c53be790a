"""The parts of a site's health and their limits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.ledgers import assessed, ready, received
from tests.fakes import FakeClock, FakeQueue
from triage.domain.errors import LedgerUnavailable, SpoolUnavailable
from triage.domain.health import (
    BEAT_S,
    CLOCK_BEHIND_S,
    LATE_S,
    UNDELIVERED_LONG_S,
    WAITING_LONG_S,
    Condition,
    Heartbeat,
    PartHealth,
    Role,
    find_worst,
    is_missing,
    list_roles,
)
from triage.pipeline.backpressure import BackpressureLimits
from triage.pipeline.health import HealthExamination, format_age
from triage.store.heartbeats import SqlHeartbeats
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

WELL, DEGRADED, ILL = Condition.WELL, Condition.DEGRADED, Condition.ILL
HARD_LIMIT_S = 7200.0


@pytest.fixture
def beats(ledger: SqlLedger) -> SqlHeartbeats:
    return SqlHeartbeats(ledger._database)


@pytest.fixture
def site(
    tmp_path: Path, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock, beats: SqlHeartbeats
) -> HealthExamination:
    """Return the examination of a site whose processes all run."""
    for number, role in enumerate((Role.RECEIVE, Role.ASSESS, Role.DELIVER)):
        beats.beat(beat(role, number, clock.now(), listening=role is Role.RECEIVE))
    limits = BackpressureLimits(free_bytes=1)
    return HealthExamination(
        ledger, beats, queue, FileSpool(tmp_path), limits, clock, ["pacs"], HARD_LIMIT_S
    )


def beat(
    role: Role, pid: int, at: float, *, started: float | None = None, listening: bool = False
) -> Heartbeat:
    began = at if started is None else started
    return Heartbeat("host", pid, role, began, at, at if listening else 0.0)


def not_well(parts: Sequence[PartHealth]) -> dict[str, Condition]:
    return {part.part: part.condition for part in parts if part.condition is not WELL}


def test_a_site_that_works_is_well(site: HealthExamination) -> None:
    parts = site.examine()
    assert not_well(parts) == {}
    assert find_worst(parts) is WELL
    names = [part.part for part in parts]
    assert "receive on host (0)" in names
    assert names[-5:] == ["queue", "deliveries", "destination pacs", "broker", "disk"]


def test_a_silent_process_is_missing_until_one_of_its_role_has_started(
    site: HealthExamination, beats: SqlHeartbeats, clock: FakeClock
) -> None:
    clock.pass_s(LATE_S + BEAT_S)
    for number, role in enumerate((Role.RECEIVE, Role.DELIVER)):
        beats.beat(beat(role, 2 * number, clock.now(), listening=True))
    missing = {"assess on host (1)": ILL, "assess": ILL}
    assert not_well(site.examine()) == missing
    assert not_well(site.examine_machine("host")) == {"assess on host (1)": ILL}
    beats.beat(beat(Role.ASSESS, 9, clock.now()))
    assert not_well(site.examine()) == {}


def test_processes_that_ended_are_not_asked_for_but_their_work_is(
    site: HealthExamination, beats: SqlHeartbeats
) -> None:
    beats.remove("host", 0)
    assert not_well(site.examine()) == {"receive": ILL}
    (none,) = site.examine_machine("elsewhere")
    assert none.condition is ILL


def test_a_receiver_that_does_not_listen_is_ill(
    site: HealthExamination, beats: SqlHeartbeats, clock: FakeClock
) -> None:
    beats.beat(beat(Role.RECEIVE, 0, clock.now()))
    assert not_well(site.examine()) == {"receive on host (0)": ILL}


def test_a_process_for_both_queues_does_both() -> None:
    both = beat(Role.BOTH, 1, 100)
    assert list_roles([both], 100) == {Role.BOTH, Role.ASSESS, Role.DELIVER}
    assert list_roles([both], 100 + LATE_S + 1) == set()


def test_a_process_with_a_heartbeat_in_the_future_is_not_missing() -> None:
    """A clock was set back."""
    assert not is_missing(beat(Role.WEB, 1, 5000), [], 100)


def test_old_work_is_a_sign_that_something_hangs(
    site: HealthExamination, ledger: SqlLedger, clock: FakeClock, beats: SqlHeartbeats
) -> None:
    ready(ledger, "waits")
    received(ledger, "arrives")
    assessed(ledger, "pacs")
    assert not_well(site.examine()) == {}
    for passed_s, expected in (
        (WAITING_LONG_S + 1, {"queue": DEGRADED}),
        (UNDELIVERED_LONG_S, {"queue": DEGRADED, "deliveries": DEGRADED}),
        (HARD_LIMIT_S, {"queue": DEGRADED, "deliveries": DEGRADED, "arrivals": ILL}),
    ):
        clock.pass_s(passed_s)
        for number, role in enumerate((Role.RECEIVE, Role.ASSESS, Role.DELIVER)):
            beats.beat(beat(role, number, clock.now(), listening=True))
        assert not_well(site.examine()) == expected


def test_peers_and_disks_that_do_not_answer_are_named(
    site: HealthExamination,
    ledger: SqlLedger,
    queue: FakeQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, (delivery,) = assessed(ledger, "pacs")
    assert ledger.claim_delivery(delivery, 30)
    ledger.record_failure(delivery, "no answer", 5, unreachable=True)
    queue.down = True
    free = site.spool.measure_free_bytes()
    short = replace(site, limits=BackpressureLimits(free_bytes=int(free / 1.5)), notice="not now")
    expected = {"destination pacs": DEGRADED, "broker": ILL, "reception": ILL, "disk": DEGRADED}
    assert not_well(short.examine()) == expected
    full = replace(site, limits=BackpressureLimits(free_bytes=1 << 62))
    assert not_well(full.examine())["disk"] is ILL

    def away() -> int:
        raise SpoolUnavailable("away")

    monkeypatch.setattr(site.spool, "measure_free_bytes", away)
    assert not_well(site.examine())["disk"] is ILL


def test_without_a_ledger_the_rest_is_still_examined(
    site: HealthExamination, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(ledger, "get_census", away)
    parts = site.examine()
    assert [part.part for part in parts] == ["ledger", "broker", "disk"]
    assert not_well(parts) == {"ledger": ILL}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7300, "2 h"), (200_000, "2 days")],
)
def test_ages_are_given_in_their_largest_unit(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


def test_a_clock_behind_the_ledger_is_ill(
    site: HealthExamination, ledger: SqlLedger, clock: FakeClock
) -> None:
    ready(ledger)
    clock.pass_s(-CLOCK_BEHIND_S)
    assert not_well(site.examine()) == {}
    clock.pass_s(-3600 * 3)
    (found,) = [part for part in site.examine() if part.part == "clock"]
    assert found.condition is ILL
    assert "3 h behind the newest change in the ledger: correct its clock" in found.detail
