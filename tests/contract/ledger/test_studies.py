"""Contract of the ledger: instances, revisions, states and leases of studies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.contract.ledgers import (
    HOLDER,
    PRODUCT,
    SOURCE,
    assessed,
    assessing,
    current,
    ready,
    receipt,
    received,
)
from tests.fakes import FakeClock
from triage.domain.instance import Receipt
from triage.domain.study import Event, State
from triage.store.database import Database
from triage.store.ledger import SqlLedger


def test_the_first_instance_opens_a_study(ledger: SqlLedger, clock: FakeClock) -> None:
    study = ledger.record_instance(receipt(), SOURCE)
    assert (study.revision, study.state, study.instances) == (1, State.RECEIVING, 1)
    assert study.first_instance_at == study.last_instance_at == clock.now()


def test_further_instances_join_it(ledger: SqlLedger, clock: FakeClock) -> None:
    ledger.record_instance(receipt(number=1), SOURCE)
    clock.pass_s(3)
    study = ledger.record_instance(receipt(number=2), SOURCE)
    assert study.instances == 2
    assert study.last_instance_at - study.first_instance_at == 3


def test_a_duplicate_only_postpones_completeness(ledger: SqlLedger, clock: FakeClock) -> None:
    ledger.record_instance(receipt(), SOURCE)
    clock.pass_s(3)
    study = ledger.record_instance(receipt(), SOURCE)
    assert (study.instances, study.revision) == (1, 1)
    assert current(ledger, study.study_uid).last_instance_at == clock.now()


def test_an_instance_that_joins_a_ready_study_opens_it_again(ledger: SqlLedger) -> None:
    ready(ledger)
    study = ledger.record_instance(receipt(number=99), SOURCE)
    assert (study.state, study.revision) == (State.RECEIVING, 1)


@pytest.mark.parametrize("event", [Event.DECLINED, Event.SET_ASIDE, None])
def test_a_late_instance_opens_the_next_revision(ledger: SqlLedger, event: Event | None) -> None:
    before = assessing(ledger)
    if event is not None:
        assert ledger.move(before, event, "why", HOLDER)
    late = ledger.record_instance(receipt(number=99), SOURCE)
    assert (late.revision, late.state, late.instances) == (2, State.RECEIVING, 4)
    assert "late instances" in late.reason
    assert len(ledger.list_paths(late.study_uid, 1)) == 3
    assert len(ledger.list_paths(late.study_uid, 2)) == 4


def test_a_report_sent_back_opens_no_revision(ledger: SqlLedger) -> None:
    """Otherwise our own report, sent back, would cause the next one, without end."""
    study = assessing(ledger)
    came = receipt(number=99)
    back = replace(came, identity=replace(came.identity, is_image=False))
    assert ledger.record_instance(back, SOURCE).revision == 1
    assert current(ledger, study.study_uid) == study
    assert back.path in ledger.list_known_paths()


def test_a_late_duplicate_opens_nothing(ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.record_instance(receipt(number=0), SOURCE).state is State.ASSESSING
    assert current(ledger, study.study_uid).revision == 1


def test_an_impossible_event_changes_nothing(ledger: SqlLedger) -> None:
    study = received(ledger)
    assert not ledger.move(study, Event.ACKNOWLEDGED, "why")
    assert current(ledger, study.study_uid) == study


def test_a_study_that_grew_meanwhile_is_not_complete(ledger: SqlLedger, clock: FakeClock) -> None:
    judged = received(ledger)
    clock.pass_s(20)
    ledger.record_instance(receipt(number=99), SOURCE)
    assert not ledger.move(judged, Event.JUDGED_COMPLETE, "quiet for 15 s")


def test_every_change_is_in_the_history_with_its_reason(ledger: SqlLedger) -> None:
    study, (delivery,) = assessed(ledger)
    ledger.record_delivered(delivery, "0x0000 Success")
    events = [(row.event, row.state) for row in ledger.history(study.study_uid)]
    assert events == [
        (Event.INSTANCE_RECEIVED, State.RECEIVING),
        (Event.JUDGED_COMPLETE, State.READY),
        (Event.CLAIMED, State.ASSESSING),
        (Event.ASSESSED, State.ASSESSED),
        (Event.ACKNOWLEDGED, State.DELIVERED),
    ]
    assert all(row.reason for row in ledger.history(study.study_uid))


def test_one_of_many_workers_claims_a_study(ledger: SqlLedger) -> None:
    study = ready(ledger)
    with ThreadPoolExecutor(8) as pool:
        claims = list(
            pool.map(lambda n: ledger.claim(study.study_uid, 1, f"worker:{n}", 30), range(16))
        )
    assert len([claim for claim in claims if claim is not None]) == 1
    assert current(ledger, study.study_uid).attempts == 1


def test_concurrent_associations_open_a_study_once(ledger: SqlLedger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.record_instance(receipt(number=n % 10), SOURCE), range(40)))
    (study,) = ledger.list_studies()
    assert (study.revision, study.instances) == (1, 10)


def test_a_lease_expires_unless_it_is_renewed(ledger: SqlLedger, clock: FakeClock) -> None:
    study = assessing(ledger)
    clock.pass_s(20)
    assert ledger.renew(study.study_uid, 1, HOLDER, 30)
    clock.pass_s(20)
    assert not ledger.list_expired()
    clock.pass_s(20)
    assert [study.study_uid for study in ledger.list_expired()] == [study.study_uid]


def test_a_worker_without_the_lease_changes_nothing(ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.RELEASED, "fell silent")
    again = ledger.claim(study.study_uid, 1, "worker:2", 30)
    assert again is not None
    assert not ledger.renew(study.study_uid, 1, HOLDER, 30)
    assert not ledger.move(study, Event.DECLINED, "why", HOLDER)
    assert ledger.finish(study, HOLDER, "{}", [PRODUCT], [(PRODUCT, "pacs")]) is None
    assert not ledger.list_deliveries(study.study_uid, 1)


def test_a_replay_resets_the_attempts_of_a_study(ledger: SqlLedger) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.SET_ASIDE, "why", HOLDER)
    assert ledger.move(study, Event.REPLAYED, "asked for")
    assert current(ledger, study.study_uid).attempts == 0


def test_a_study_is_known_from_its_first_instance(ledger: SqlLedger) -> None:
    study = receipt().identity.study_uid
    assert not ledger.has_study(study)
    received(ledger, count=1)
    assert ledger.has_study(study)


def test_studies_wait_until_a_worker_claims_them(ledger: SqlLedger) -> None:
    assert ledger.count_waiting_studies() == 0
    received(ledger, "arriving")
    ready(ledger, "complete")
    assessing(ledger, "taken")
    assert ledger.count_waiting_studies() == 2


def elsewhere(study: str, number: int = 1) -> Receipt:
    """Return the receipt of an instance that was sent again in another study."""
    first = receipt(number=number)
    identity = replace(first.identity, study_uid=receipt(study).identity.study_uid)
    return replace(first, identity=identity, path=f"{study}/{number}.dcm")


def test_an_instance_of_two_studies_belongs_to_both_and_is_reported_once(
    ledger: SqlLedger,
) -> None:
    received(ledger)
    for number in (0, 1, 2, 1):  # the last is a duplicate
        ledger.record_instance(elsewhere("corrected", number), SOURCE)
    corrected = current(ledger, elsewhere("corrected").identity.study_uid)
    assert corrected.instances == 3
    assert ledger.list_known_paths() == {
        f"{s}/{n}.dcm" for s in ("study", "corrected") for n in range(3)
    }
    (incident,) = ledger.incidents()
    assert (incident.kind, incident.times) == ("conflicting instance", 3)
    assert incident.detail == (
        f"study {corrected.study_uid} has SOP Instance UIDs of study "
        f"{receipt().identity.study_uid}; both are kept, and both are assessed"
    )


def test_the_ledger_survives_a_restart(database_url: str, clock: FakeClock) -> None:
    first = SqlLedger(Database(database_url), clock)
    study, _due = assessed(first)
    first.close()
    second = SqlLedger(Database(database_url), clock)
    assert second.list_studies() == [study]
    assert second.list_known_paths() == {f"study/{n}.dcm" for n in range(3)}
    second.close()
