"""Dead letters: listing and replay of deliveries that were given up."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.ended import ended_long_ago
from tests.contract.ledgers import HOLDER, PRODUCT, assessed, assessing, current, receipt
from tests.fakes import FakeClock, FakeDestination
from triage.domain.delivery import DeliveryState
from triage.domain.instance import Source
from triage.domain.study import Event, State
from triage.pipeline.deliver import Deliverer
from triage.store.dead_letters import SqlDeadLetters
from triage.store.ledger import SqlLedger
from triage.store.retention import SqlRetention


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger.in_folder(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def letters(ledger: SqlLedger, tmp_path: Path, clock: FakeClock) -> Iterator[SqlDeadLetters]:
    assert ledger.list_known_paths() == set()
    opened = SqlDeadLetters(SqlLedger.database_in(tmp_path), clock)
    yield opened
    opened.close()


def finished(ledger: SqlLedger, study: str, uid: str, *names: str) -> list[int]:
    claimed = assessing(ledger, study)
    product = replace(PRODUCT, sop_instance_uid=uid)
    sent = [(product, name) for name in names]
    return [*(ledger.finish(claimed, HOLDER, "{}", [product], sent) or ())]


def state(ledger: SqlLedger, delivery: int) -> DeliveryState:
    found = ledger.get_delivery(delivery)
    assert found is not None
    return found.state


def test_dead_letters_are_listed_with_their_last_answer(
    ledger: SqlLedger, letters: SqlDeadLetters, clock: FakeClock
) -> None:
    study, (first, second) = assessed(ledger, "pacs", "ris")
    ledger.claim_delivery(first, 30)
    ledger.record_failure(first, "0xA700", None)
    clock.pass_s(1)
    ledger.record_failure(second, "AR", None)
    newest, oldest = letters.list_newest(10)
    assert (newest.id, newest.last_answer, newest.at) == (second, "AR", clock.now())
    assert (oldest.destination, oldest.kind, oldest.attempts) == ("pacs", PRODUCT.kind, 1)
    assert (oldest.study_uid, oldest.revision) == (study.study_uid, 1)
    assert (letters.list_newest(1), letters.count()) == ([newest], 2)


def test_replay_counts_unclear_attempts_anew(ledger: SqlLedger, letters: SqlDeadLetters) -> None:
    _, (given_up,) = assessed(ledger, "ris")
    ledger.record_failure(given_up, "no answer", None, unclear=True)
    assert letters.replay() == 1
    again = ledger.get_delivery(given_up)
    assert again is not None
    assert again.unclear_attempts == 0


def test_replay_sends_failed_deliveries_only_and_assesses_nothing(
    ledger: SqlLedger, letters: SqlDeadLetters
) -> None:
    study, (lost, taken) = assessed(ledger, "pacs", "archive")
    ledger.record_failure(lost, "0xA700", None, unreachable=True)
    ledger.record_delivered(taken, "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.FAILED
    assert letters.replay() == 1
    assert current(ledger, study.study_uid).state is State.ASSESSED
    assert ledger.list_unsent_deliveries(None) == [lost]
    pacs, archive = FakeDestination("pacs"), FakeDestination("archive")
    deliverer = Deliverer(ledger, {"pacs": pacs, "archive": archive}, max_attempts=3)
    deliverer.deliver(lost)
    deliverer.deliver(taken)
    assert (pacs.received, archive.received) == ([PRODUCT], [])
    assert current(ledger, study.study_uid).state is State.DELIVERED
    assert (letters.replay(), letters.count()) == (0, 0)
    assert letters.replay(ids=[taken]) == 0


def test_replay_resets_the_attempts(ledger: SqlLedger, letters: SqlDeadLetters) -> None:
    _, (lost,) = assessed(ledger)
    pacs = {"pacs": FakeDestination("pacs", refusal="no")}
    Deliverer(ledger, pacs, max_attempts=1).deliver(lost)
    letters.replay(ids=[lost])
    Deliverer(ledger, pacs, max_attempts=2).deliver(lost)
    assert state(ledger, lost) is DeliveryState.PENDING


def test_replay_selects_by_id_study_or_destination(
    ledger: SqlLedger, letters: SqlDeadLetters
) -> None:
    one, other = finished(ledger, "a", "2.25.11", "pacs", "ris")
    third, fourth = finished(ledger, "b", "2.25.12", "pacs", "ris")
    for delivery in (one, other, third, fourth):
        ledger.record_failure(delivery, "no", None)
    study = current(ledger, receipt("a").identity.study_uid)

    def pending() -> set[int]:
        every = (one, other, third, fourth)
        return {delivery for delivery in every if state(ledger, delivery) is DeliveryState.PENDING}

    assert letters.replay(ids=[fourth]) == 1
    assert pending() == {fourth}
    assert letters.replay(study_uid=study.study_uid) == 2
    assert pending() == {one, other, fourth}
    assert letters.replay(destination="ris") == 0
    assert letters.replay(destination="pacs") == 1
    assert pending() == {one, other, third, fourth}


def test_an_outdated_delivery_is_replayed_only_by_its_id(
    ledger: SqlLedger, letters: SqlDeadLetters
) -> None:
    (first,) = finished(ledger, "study", "2.25.11", "ris")
    ledger.record_failure(first, "AE", None)
    ledger.record_instance(receipt("study", 9), Source("PACS", "127.0.0.1"))
    study_uid = receipt("study").identity.study_uid
    second = current(ledger, study_uid)
    assert second.revision == 2
    assert ledger.move(second, Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(study_uid, 2, HOLDER, 30)
    assert claimed is not None
    product = replace(PRODUCT, sop_instance_uid="2.25.12")
    (later,) = ledger.finish(claimed, HOLDER, "{}", [product], [(product, "ris")]) or ()
    ledger.record_failure(later, "AE", None)
    assert letters.replay() == 1
    assert state(ledger, later) is DeliveryState.PENDING
    assert state(ledger, first) is DeliveryState.FAILED
    assert letters.replay(ids=[first]) == 1


def test_replay_leaves_a_study_with_open_deliveries_in_its_state(
    ledger: SqlLedger, letters: SqlDeadLetters
) -> None:
    study, (lost, _) = assessed(ledger, "pacs", "archive")
    ledger.record_failure(lost, "no", None)
    assert letters.replay() == 1
    assert current(ledger, study.study_uid).state is State.ASSESSED


def test_a_product_emptied_by_retention_is_not_replayed(
    ledger: SqlLedger, letters: SqlDeadLetters, tmp_path: Path, clock: FakeClock
) -> None:
    study, (delivery,) = assessed(ledger, "pacs")
    ledger.record_failure(delivery, "0xA700", None)
    retention = SqlRetention(SqlLedger.database_in(tmp_path), clock)
    assert retention.remove_products(ended_long_ago(study.study_uid))
    assert letters.replay(ids=[delivery]) == 0
    assert state(ledger, delivery) is DeliveryState.FAILED
