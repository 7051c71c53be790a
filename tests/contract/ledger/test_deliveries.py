"""Contract of the ledger: products, and their deliveries with retries and leases."""

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
)
from tests.fakes import FakeClock
from triage.domain.delivery import HL7, LONGEST_WAIT_S, DeliveryState, Product, plan_routes
from triage.domain.study import Event, State
from triage.store.ledger import SqlLedger

DICOM = ["application/dicom"]


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


def test_a_product_keeps_the_time_of_its_making(ledger: SqlLedger, clock: FakeClock) -> None:
    made_at = clock.now() - 7.125
    made = replace(PRODUCT, made_at=made_at)
    study = assessing(ledger)
    (due,) = ledger.finish(study, HOLDER, "{}", [made], [(made, "pacs")]) or ()
    (stored,) = ledger.list_products(study.study_uid, 1)
    (delivery,) = ledger.list_deliveries(study.study_uid, 1)
    assert stored.made_at == delivery.product.made_at == made_at
    ledger.record_failure(due, "no answer", None)
    clock.pass_s(60)
    assert ledger.move(current(ledger, study.study_uid), Event.REPLAYED, "asked for")
    again = ledger.claim(study.study_uid, 1, HOLDER, 30)
    assert again is not None
    later = replace(PRODUCT, made_at=clock.now())
    assert ledger.finish(again, HOLDER, "{}", [later], [(later, "pacs")]) == [due]
    assert ledger.list_products(study.study_uid, 1)[0].made_at == made_at


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
