from dataclasses import replace

import pytest

from tests.builders.evidence_collectors import build_collector
from tests.contract.ledgers import (
    HOLDER,
    SOURCE,
    assessed,
    assessing,
    current,
    ready,
    receipt,
    received,
)
from tests.fakes import FakeClock, FakeQueue
from triage.domain.completeness import CompletenessPolicy
from triage.domain.errors import LedgerUnavailable
from triage.domain.study import Event, State
from triage.pipeline.attempts import give_up
from triage.pipeline.leases import LeaseWatch
from triage.pipeline.reconciler import FORGOTTEN_AFTER_S, Reconciler
from triage.store.ledger import SqlLedger

LEASE_S = 30


@pytest.fixture
def reconciler(ledger: SqlLedger, queue: FakeQueue, clock: FakeClock) -> Reconciler:
    patience = CompletenessPolicy(quiet_s=15, limit_s=100)
    return Reconciler(
        ledger, queue, clock, build_collector(ledger, patience), 3, LeaseWatch(LEASE_S)
    )


def passing(reconciler: Reconciler, clock: FakeClock, seconds: int) -> None:
    """Let time pass with one tick a second."""
    for _ in range(seconds):
        clock.pass_s(1)
        reconciler.tick()


def test_a_quiet_study_is_complete_with_a_reason_and_queued(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    study = received(ledger)
    reconciler.tick()
    assert current(ledger, study.study_uid).state is State.RECEIVING
    clock.pass_s(15)
    reconciler.tick()
    judged = current(ledger, study.study_uid)
    assert (judged.state, judged.reason) == (State.READY, "quiet for 15 s after 3 instances")
    assert queue.tasks["assess"] == [(study.study_uid, 1)]


def test_no_study_is_quiet_before_the_receiver_listens(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock
) -> None:
    study = received(ledger)
    clock.pass_s(60)  # down, and its sender tries again
    started = replace(reconciler, listening_since=clock.now())
    started.tick()
    assert current(ledger, study.study_uid).state is State.RECEIVING
    clock.pass_s(15)
    started.tick()
    assert current(ledger, study.study_uid).state is State.READY


def test_a_growing_study_is_complete_at_the_limit(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ledger.list_studies

    def growing(*states: State) -> object:
        found = listed(*states)
        clock.pass_s(1)
        ledger.record_instance(receipt(), SOURCE)  # a duplicate, since it was read
        return found

    received(ledger)
    monkeypatch.setattr(ledger, "list_studies", growing)
    for _ in range(101):
        reconciler.tick()
    (study,) = listed()
    why = [row.reason for row in ledger.history(study.study_uid) if row.state == State.READY]
    assert why[0].startswith("at the limit of 100 s after its first instance, with 3 instances")


def test_what_is_queued_is_not_queued_again(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    ready(ledger)
    for _ in range(100):
        reconciler.tick()
        clock.pass_s(1)
    assert len(queue.tasks["assess"]) == 1


def test_a_task_that_the_broker_forgot_is_sent_again(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    assessed(ledger)
    ready(ledger, "another")
    reconciler.tick()
    queue.wipe()
    reconciler.tick()
    assert not queue.tasks["assess"]
    clock.pass_s(FORGOTTEN_AFTER_S + 1)
    reconciler.tick()
    assert len(queue.tasks["assess"]) == len(queue.tasks["deliver"]) == 1


def test_an_unavailable_broker_loses_no_task(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    study = received(ledger)
    queue.down = True
    clock.pass_s(20)
    reconciler.tick()
    assert current(ledger, study.study_uid).state is State.READY
    queue.down = False
    reconciler.tick()
    assert queue.tasks["assess"] == [(study.study_uid, 1)]


def test_a_study_of_a_lost_worker_is_ready_again(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock
) -> None:
    study = assessing(ledger)
    clock.pass_s(31)
    reconciler.tick()
    released = current(ledger, study.study_uid)
    assert (released.state, released.reason) == (
        State.READY,
        f"worker {HOLDER} stopped renewing its lease, attempt 1 of 3",
    )
    assert not queue.tasks["assess"]  # a fault that passes must not use up all attempts at once
    clock.pass_s(5)
    reconciler.tick()
    assert queue.tasks["assess"] == [(study.study_uid, 1)]


def test_after_an_outage_of_the_ledger_leases_are_honoured_for_one_more_period(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, dead = assessing(ledger), assessing(ledger, "another", "worker:2")
    reconciler.tick()
    for _ in range(2):  # a study that loses two workers is set aside
        with monkeypatch.context() as away:
            away.setattr(ledger, "list_studies", unavailable)
            clock.pass_s(LEASE_S + 1)
            with pytest.raises(LedgerUnavailable):
                reconciler.tick()
        reconciler.tick()
        assert ledger.renew(healthy.study_uid, 1, HOLDER, LEASE_S)
        assert current(ledger, dead.study_uid).state is State.ASSESSING
    passing(reconciler, clock, LEASE_S - 1)
    assert current(ledger, dead.study_uid).state is State.ASSESSING
    assert ledger.renew(healthy.study_uid, 1, HOLDER, LEASE_S)
    passing(reconciler, clock, 1)
    assert current(ledger, dead.study_uid).state is State.READY
    assert current(ledger, healthy.study_uid).state is State.ASSESSING


def unavailable(*_states: State) -> None:
    raise LedgerUnavailable("away")


def test_a_clock_set_forward_or_a_sleeping_machine_ends_no_lease(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock
) -> None:
    study = assessing(ledger)
    reconciler.tick()
    clock.pass_s(3600)
    reconciler.tick()
    assert ledger.renew(study.study_uid, 1, HOLDER, LEASE_S)
    passing(reconciler, clock, LEASE_S - 1)
    assert current(ledger, study.study_uid).state is State.ASSESSING
    passing(reconciler, clock, 2)
    assert current(ledger, study.study_uid).state is State.READY


def test_a_clock_set_back_prolongs_no_lease(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock
) -> None:
    reconciler.tick()
    clock.pass_s(3600)
    reconciler.tick()
    clock.pass_s(-3600)
    study = assessing(ledger)
    passing(reconciler, clock, LEASE_S + 1)
    assert current(ledger, study.study_uid).state is State.READY


def test_a_study_that_loses_two_workers_is_set_aside_until_replayed(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock
) -> None:
    study = assessing(ledger)
    passing(reconciler, clock, 31)
    assert ledger.claim(study.study_uid, 1, "another", 30) is not None
    passing(reconciler, clock, 31)
    failed = current(ledger, study.study_uid)
    assert failed.state is State.FAILED
    assert failed.reason == (
        "worker another stopped renewing its lease, attempt 2 of 3; the study may be the cause: "
        "`triage replay` tries it again"
    )
    assert ledger.move(failed, Event.REPLAYED, "asked for")
    assert ledger.claim(study.study_uid, 1, "another", 30) is not None
    passing(reconciler, clock, 31)
    assert current(ledger, study.study_uid).state is State.READY


def test_a_lost_worker_does_not_shorten_the_attempts_after_errors(
    reconciler: Reconciler, ledger: SqlLedger, clock: FakeClock
) -> None:
    study = assessing(ledger)
    passing(reconciler, clock, 31)
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    give_up(ledger, again, "it broke", 3, HOLDER)
    assert current(ledger, study.study_uid).state is State.READY


def test_a_replayed_study_is_queued(
    reconciler: Reconciler, ledger: SqlLedger, queue: FakeQueue
) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.SET_ASIDE, "why")
    reconciler.tick()
    assert not queue.tasks["assess"]
    assert ledger.move(study, Event.REPLAYED, "asked for")
    reconciler.tick()
    assert len(queue.tasks["assess"]) == 1
