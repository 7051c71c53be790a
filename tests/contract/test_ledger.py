"""Contract of the ledger, on every kind of database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import lists, sampled_from

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
from triage.domain.delivery import HL7, LONGEST_WAIT_S, DeliveryState, Product, plan_routes
from triage.domain.errors import LedgerUnavailable
from triage.domain.incident import IncidentKind
from triage.domain.instance import Receipt, Source
from triage.domain.study import TRANSITIONS, Event, State
from triage.store.database import Database
from triage.store.ledger import SqlLedger

DICOM = ["application/dicom"]


@pytest.fixture
def ledger(database_url: str, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger(Database(database_url), clock)
    yield opened
    opened.close()


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


def test_an_assessment_opens_one_delivery_for_each_destination(ledger: SqlLedger) -> None:
    study, due = assessed(ledger, "pacs", "archive")
    assert len(due) == 2
    found = ledger.list_deliveries(study.study_uid, 1)
    assert [delivery.destination for delivery in found] == ["pacs", "archive"]
    assert all(delivery.product == PRODUCT for delivery in found)
    assert ledger.get_summary(study.study_uid, 1) == "{}"


def test_the_last_acknowledgement_ends_the_study(ledger: SqlLedger) -> None:
    study, due = assessed(ledger, "pacs", "archive")
    ledger.record_delivered(due[0], "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.ASSESSED
    ledger.record_delivered(due[1], "0xB000 Coercion")
    assert current(ledger, study.study_uid).state is State.DELIVERED
    answers = [delivery.last_answer for delivery in ledger.list_deliveries(study.study_uid, 1)]
    assert answers == ["0x0000 Success", "0xB000 Coercion"]


def test_a_failed_delivery_fails_the_study_after_the_last_one_ends(
    ledger: SqlLedger,
) -> None:
    study, due = assessed(ledger, "pacs", "archive")
    ledger.record_failure(due[0], "0xA700", None)
    assert current(ledger, study.study_uid).state is State.ASSESSED
    ledger.record_delivered(due[1], "0x0000 Success")
    failed = current(ledger, study.study_uid)
    assert failed.state is State.FAILED
    assert "1 delivery" in failed.reason


def test_a_replay_sends_only_unacknowledged_products(ledger: SqlLedger) -> None:
    study, due = assessed(ledger, "pacs", "archive")
    ledger.record_failure(due[0], "0xA700", None)
    ledger.record_delivered(due[1], "0x0000 Success")
    failed = current(ledger, study.study_uid)
    assert ledger.move(failed, Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    routes = [(PRODUCT, "pacs"), (PRODUCT, "archive")]
    assert ledger.finish(again, HOLDER, "{}", [PRODUCT], routes) == [due[0]]
    ledger.record_delivered(due[0], "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_a_replay_with_another_product_or_destination_supersedes_the_old_deliveries(
    ledger: SqlLedger,
) -> None:
    study, due = assessed(ledger, "pacs", "removed")
    ledger.record_delivered(due[0], "0x0000 Success")
    ledger.record_failure(due[1], "no answer", None)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    other = replace(PRODUCT, sop_instance_uid="2.25.2")
    (fresh,) = ledger.finish(again, HOLDER, "{}", [other], [(other, "pacs")]) or ()
    ledger.record_delivered(fresh, "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.DELIVERED
    states = [delivery.state for delivery in ledger.list_deliveries(study.study_uid, 1)]
    assert states == [DeliveryState.DELIVERED, DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]


def test_a_pending_message_is_superseded_by_a_later_revision(
    ledger: SqlLedger,
) -> None:
    study, message = assessing(ledger), Product("hl7", "", "2.25.71", b"MSH", HL7)
    sent = [(PRODUCT, "pacs"), (message, "ris"), (message, "other")]
    first = ledger.finish(study, HOLDER, "{}", [PRODUCT, message], sent)
    assert first is not None
    report, to_ris, to_other = first
    ledger.record_instance(receipt("study", 9), SOURCE)
    second = current(ledger, study.study_uid)
    assert ledger.move(second, Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(study.study_uid, 2, HOLDER, 30)
    assert claimed is not None
    later = replace(message, sop_instance_uid="2.25.72")
    next_report = replace(PRODUCT, sop_instance_uid="2.25.2")
    sent = [(next_report, "pacs"), (later, "ris")]
    assert ledger.finish(claimed, HOLDER, "{}", [next_report, later], sent)
    deliveries = ledger.list_deliveries(study.study_uid, 1)
    states = {delivery.id: delivery.state for delivery in deliveries}
    assert states[to_ris] is DeliveryState.SUPERSEDED
    assert states[report] is states[to_other] is DeliveryState.PENDING
    ledger.record_delivered(report, "0x0000 Success")
    ledger.record_delivered(to_other, "AA")
    ended = ledger.get_study(study.study_uid, 1)
    assert ended is not None
    assert ended.state is State.DELIVERED


def test_a_revision_ends_when_its_last_pending_message_is_superseded(
    ledger: SqlLedger,
) -> None:
    study, message = assessing(ledger), Product("hl7", "", "2.25.71", b"MSH", HL7)
    assert ledger.finish(study, HOLDER, "{}", [message], [(message, "ris")])
    ledger.record_instance(receipt("study", 9), SOURCE)
    assert ledger.move(current(ledger, study.study_uid), Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(study.study_uid, 2, HOLDER, 30)
    assert claimed is not None
    later = replace(message, sop_instance_uid="2.25.72")
    assert ledger.finish(claimed, HOLDER, "{}", [later], [(later, "ris")])
    ended = ledger.get_study(study.study_uid, 1)
    assert ended is not None
    assert ended.state is State.DELIVERED
    assert current(ledger, study.study_uid).state is State.ASSESSED


def test_no_message_is_opened_after_one_of_a_later_revision(
    ledger: SqlLedger,
) -> None:
    study, message = assessing(ledger), Product("hl7", "", "2.25.71", b"MSH", HL7)
    sent = [(PRODUCT, "pacs"), (message, "ris"), (message, "other")]
    ledger.record_instance(receipt("study", 9), SOURCE)
    assert ledger.move(current(ledger, study.study_uid), Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(study.study_uid, 2, "another", 30)
    assert claimed is not None
    later = replace(message, sop_instance_uid="2.25.72")
    (newest,) = ledger.finish(claimed, "another", "{}", [later], [(later, "ris")]) or ()
    ledger.record_delivered(newest, "AA")
    due = ledger.finish(study, HOLDER, "{}", [PRODUCT, message], sent)
    opened = ledger.list_deliveries(study.study_uid, 1)
    assert [(delivery.id, delivery.destination) for delivery in opened] == [
        *zip(due or (), ("pacs", "other"), strict=True)
    ]


def test_a_failed_message_is_not_replayed_after_one_of_a_later_revision(
    ledger: SqlLedger,
) -> None:
    study, message = assessing(ledger), Product("hl7", "", "2.25.71", b"MSH", HL7)
    (first,) = ledger.finish(study, HOLDER, "{}", [message], [(message, "ris")]) or ()
    ledger.record_failure(first, "AE", None)
    ledger.record_instance(receipt("study", 9), SOURCE)
    assert ledger.move(current(ledger, study.study_uid), Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(study.study_uid, 2, HOLDER, 30)
    assert claimed is not None
    later = replace(message, sop_instance_uid="2.25.72")
    (newest,) = ledger.finish(claimed, HOLDER, "{}", [later], [(later, "ris")]) or ()
    ledger.record_delivered(newest, "AA")
    failed = ledger.get_study(study.study_uid, 1)
    assert failed is not None
    assert ledger.move(failed, Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    assert ledger.finish(again, HOLDER, "{}", [message], [(message, "ris")]) == []
    ended = ledger.get_study(study.study_uid, 1)
    assert ended is not None
    assert ended.state is State.DELIVERED
    assert ledger.list_deliveries(study.study_uid, 1)[0].state is DeliveryState.SUPERSEDED


def test_a_stored_product_is_never_replaced(ledger: SqlLedger) -> None:
    study, due = assessed(ledger)
    ledger.record_failure(due[0], "0xA700", None)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    changed = replace(PRODUCT, content=b"rebuilt")
    ledger.finish(again, HOLDER, "{}", [changed], [(changed, "pacs")])
    assert ledger.list_deliveries(study.study_uid, 1)[0].product.content == b"report"


OLDER = replace(
    PRODUCT,
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
    sop_instance_uid="2.25.33",
    content=b"older",
    alternative_to=PRODUCT.sop_instance_uid,
)
OLDEST = replace(OLDER, sop_class_uid="1.2.840.10008.5.1.4.1.1.88.22", sop_instance_uid="2.25.22")
ALL = [PRODUCT, OLDEST, OLDER]


def test_a_delivery_has_its_alternatives_and_keeps_its_choice(
    ledger: SqlLedger,
) -> None:
    study = assessing(ledger)
    (due,) = ledger.finish(study, HOLDER, "{}", ALL, plan_routes(ALL, {"pacs": DICOM})) or ()
    delivery = ledger.claim_delivery(due, 60)
    assert delivery is not None
    assert delivery.offers == (PRODUCT, OLDER, OLDEST)
    ledger.record_choice(due, OLDER.sop_instance_uid)
    chosen = ledger.get_delivery(due)
    assert chosen is not None
    assert chosen.offers == (OLDER,)
    ledger.record_failure(due, "no answer", None)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    assert ledger.finish(again, HOLDER, "{}", ALL, plan_routes(ALL, {"pacs": DICOM})) == [due]
    assert ledger.list_deliveries(study.study_uid, 1)[0].offers == (OLDER,)
    ledger.record_delivered(due, "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_products_are_listed_in_order_of_creation(ledger: SqlLedger, clock: FakeClock) -> None:
    study, _due = assessed(ledger)
    clock.pass_s(1)
    late = ledger.record_instance(receipt(number=99), SOURCE)
    assert ledger.move(late, Event.JUDGED_COMPLETE, "quiet")
    claimed = ledger.claim(late.study_uid, 2, HOLDER, 30)
    assert claimed is not None
    message = Product("note", "", "2.25.0", b"text", "text/plain")
    ledger.finish(claimed, HOLDER, "{}", [message], [])
    assert ledger.list_products(study.study_uid, 1) == [PRODUCT]
    assert ledger.list_products(study.study_uid, 2) == [PRODUCT, message]
    assert ledger.list_products("1.2.3", 1) == []


def test_a_product_without_destinations_is_stored_and_ends_the_study(ledger: SqlLedger) -> None:
    study = assessing(ledger)
    message = Product("note", "", "2.25.0", b"text", "text/plain")
    assert (
        ledger.finish(study, HOLDER, "{}", [message], plan_routes([message], {"pacs": DICOM})) == []
    )
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_a_due_delivery_is_claimed_once(ledger: SqlLedger, clock: FakeClock) -> None:
    _study, (delivery,) = assessed(ledger)
    first = ledger.claim_delivery(delivery, 60)
    assert first is not None
    assert first.attempts == 1
    assert ledger.claim_delivery(delivery, 60) is None
    ledger.record_failure(delivery, "0xA700 Out of resources", 10)
    assert ledger.claim_delivery(delivery, 60) is None
    clock.pass_s(10)
    second = ledger.claim_delivery(delivery, 60)
    assert second is not None
    assert (second.attempts, second.last_answer) == (2, "0xA700 Out of resources")


def test_attempts_that_may_have_been_accepted_are_counted(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    study, (ris, pacs, vna) = assessed(ledger, "ris", "pacs", "vna")
    for unclear, expected in [(True, 1), (False, 1), (True, 2)]:
        assert ledger.claim_delivery(ris, 60)
        ledger.record_failure(ris, "no answer", 10, unclear=unclear)
        counted = ledger.get_delivery(ris)
        assert counted is not None
        assert counted.unclear_attempts == expected
        clock.pass_s(10)
    ledger.record_failure(ris, "no answer", None, unclear=True)
    ledger.record_failure(pacs, "0xA700", None)
    ledger.record_failure(vna, "no answer", 10, unclear=True)
    ledger.record_delivered(vna, "0x0000 Success")
    counts = [delivery.unclear_attempts for delivery in ledger.list_deliveries(study.study_uid, 1)]
    assert counts == [3, 0, 1]
    reason = current(ledger, study.study_uid).reason
    assert reason.startswith("2 delivery(ies) given up")
    assert reason.endswith("the receiver may have 1 of them")
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    ledger.finish(again, HOLDER, "{}", [PRODUCT], [(PRODUCT, "ris")])
    opened = ledger.get_delivery(ris)
    assert opened is not None
    assert (opened.attempts, opened.unclear_attempts) == (0, 0)


def test_a_lease_holds_against_a_worker_with_an_earlier_time(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    _study, (delivery,) = assessed(ledger)
    assert ledger.claim_delivery(delivery, LONGEST_WAIT_S) is not None
    clock.pass_s(-1)  # read before waiting for the other transaction
    assert ledger.claim_delivery(delivery, LONGEST_WAIT_S) is None


def test_a_delivery_is_due_again_after_its_worker_was_killed(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    _study, (delivery,) = assessed(ledger)
    ledger.claim_delivery(delivery, 60)
    clock.pass_s(61)
    assert ledger.claim_delivery(delivery, 60) is not None


def test_only_a_running_delivery_can_be_renewed(ledger: SqlLedger, clock: FakeClock) -> None:
    _study, (delivery,) = assessed(ledger)
    assert not ledger.renew_delivery(delivery, 60)
    ledger.claim_delivery(delivery, 60)
    clock.pass_s(50)
    assert ledger.renew_delivery(delivery, 60)
    clock.pass_s(50)
    assert ledger.claim_delivery(delivery, 60) is None
    ledger.record_failure(delivery, "0xA700", 10)
    assert not ledger.renew_delivery(delivery, 60)
    clock.pass_s(10)
    assert ledger.claim_delivery(delivery, 60) is not None
    ledger.record_delivered(delivery, "0x0000 Success")
    assert not ledger.renew_delivery(delivery, 60)


@pytest.mark.parametrize("hours", [-1, 24])
def test_a_changed_clock_blocks_nothing(ledger: SqlLedger, clock: FakeClock, hours: int) -> None:
    _study, (delivery,) = assessed(ledger)
    waiting, taken = ready(ledger, "waiting"), assessing(ledger, "taken")
    ledger.mark_study_queued(waiting.study_uid, 1)
    ledger.mark_delivery_queued(delivery)
    clock.pass_s(3600 * hours)
    assert [study.study_uid for study in ledger.list_unsent_studies(5)] == [waiting.study_uid]
    assert ledger.list_unsent_deliveries(5) == [delivery]
    assert [study.study_uid for study in ledger.list_expired()] == [taken.study_uid]
    assert ledger.claim_delivery(delivery, 60) is not None
    clock.pass_s(-3600 * hours)
    assert ledger.claim_delivery(delivery, 60) is not None


def test_a_lost_task_is_unsent_again(ledger: SqlLedger, clock: FakeClock) -> None:
    study = ready(ledger)
    assert [study.study_uid for study in ledger.list_unsent_studies(None)] == [study.study_uid]
    ledger.mark_study_queued(study.study_uid, 1)
    clock.pass_s(60)
    assert not ledger.list_unsent_studies(None)
    assert len(ledger.list_unsent_studies(5)) == 1


def test_due_deliveries_without_a_lease_are_unsent(ledger: SqlLedger, clock: FakeClock) -> None:
    _study, (delivery,) = assessed(ledger)
    assert ledger.list_unsent_deliveries(None) == [delivery]
    ledger.mark_delivery_queued(delivery)
    assert not ledger.list_unsent_deliveries(None)
    ledger.claim_delivery(delivery, 60)
    clock.pass_s(30)
    assert not ledger.list_unsent_deliveries(5)
    ledger.record_failure(delivery, "0xA700", 100)
    assert not ledger.list_unsent_deliveries(5)
    clock.pass_s(100)
    assert ledger.list_unsent_deliveries(None) == [delivery]
    ledger.record_delivered(delivery, "0x0000 Success")
    assert not ledger.list_unsent_deliveries(5)


def test_incidents_are_listed_newest_first(ledger: SqlLedger) -> None:
    ledger.report_incident(IncidentKind.REJECTED_ASSOCIATION, "unknown AE title 'X'", SOURCE)
    ledger.report_incident(IncidentKind.REFUSED_INSTANCE, "cut short", SOURCE, "quarantine/a.bin")
    assert [row.kind for row in ledger.incidents()] == ["refused instance", "rejected association"]


def test_a_repeated_incident_is_counted_and_becomes_the_newest(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    ledger.report_repeated(IncidentKind.REJECTED_ASSOCIATION, "unknown AE title 'X'", SOURCE)
    ledger.report_incident(IncidentKind.REFUSED_INSTANCE, "cut short", SOURCE, "quarantine/a.bin")
    clock.pass_s(60)
    ledger.report_repeated(IncidentKind.REJECTED_ASSOCIATION, "unknown AE title 'X'", SOURCE, 41)
    ledger.report_repeated(IncidentKind.REJECTED_ASSOCIATION, "unknown AE title 'Y'", SOURCE)
    told = [(row.detail, row.times) for row in ledger.incidents()]
    assert told == [
        ("unknown AE title 'Y'", 1),
        ("unknown AE title 'X'", 42),
        ("cut short", 1),
    ]


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


def test_any_text_from_a_peer_can_be_stored(ledger: SqlLedger) -> None:
    stranger = Source("A" * 20, "a-name-of-a-host." * 8)
    first = receipt()
    odd = replace(first.identity, modality="MR" * 20, place="p\0" * 50)
    ledger.record_instance(replace(first, identity=odd), stranger)
    for _ in range(2):
        ledger.report_repeated(
            IncidentKind.REFUSED_INSTANCE, "the title 'X\0Y' is unknown", stranger
        )
    (incident,) = ledger.incidents()
    assert (incident.times, incident.detail) == (2, "the title 'X\ufffdY' is unknown")
    assert ledger.list_sources(first.identity.study_uid, 1) == {"A" * 16}


@given(events=lists(sampled_from([*Event]), max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_sequence_of_events_leaves_the_transition_table(
    ledger: SqlLedger, events: list[Event]
) -> None:
    """A study is only in states that TRANSITIONS can reach, for any sequence of calls."""
    study = ledger.record_instance(receipt(f"study-{hash(tuple(events))}"), SOURCE)
    for event in events:
        before = current(ledger, study.study_uid)
        moved = ledger.move(before, event, "why")
        after = current(ledger, study.study_uid)
        assert moved == ((before.state, event) in TRANSITIONS)
        assert after.state is TRANSITIONS.get((before.state, event), before.state)


def test_an_unreachable_database_raises_ledger_unavailable(
    tmp_path: Path, clock: FakeClock
) -> None:
    ledger = SqlLedger.in_folder(tmp_path, clock)
    ledger.close()
    for path in tmp_path.glob("ledger.sqlite*"):
        path.write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerUnavailable):
        ledger.list_studies()
    with pytest.raises(LedgerUnavailable):
        ledger.record_instance(receipt(), SOURCE)


def test_a_released_study_waits(ledger: SqlLedger, clock: FakeClock) -> None:
    study = assessing(ledger)
    assert ledger.move(study, Event.RELEASED, "why", HOLDER, again_in_s=10)
    assert not ledger.list_unsent_studies(None)
    clock.pass_s(10)
    assert len(ledger.list_unsent_studies(None)) == 1


def test_arrivals_are_counted_by_sender_class_and_revision(ledger: SqlLedger) -> None:
    for number in range(3):
        ledger.record_instance(receipt("study", number), Source("MR1", "10.0.0.1"))
    ledger.record_instance(
        receipt("study", 2), Source("MR2", "10.0.0.2")
    )  # a repeated incident, not a new one
    ledger.record_instance(receipt("study", 3), Source("MR2", "10.0.0.2"))
    ledger.record_instance(receipt("other", 1), Source("MR2", "10.0.0.2"))
    study = current(ledger, receipt("study").identity.study_uid)
    kind = receipt("study").identity.sop_class_uid
    assert ledger.count_arrivals(study.study_uid, 1) == {
        Source("MR1", "10.0.0.1"): {kind: 3},
        Source("MR2", "10.0.0.2"): {kind: 1},
    }
    assert ledger.count_arrivals(study.study_uid, 2) == {}
