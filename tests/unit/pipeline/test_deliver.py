from dataclasses import replace
from math import inf

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.contract.ledgers import HOLDER, PRODUCT, assessed, assessing, current
from tests.fakes import FakeClock, FakeDestination
from triage.domain.delivery import (
    UNCLEAR_ATTEMPTS_MAX,
    Acknowledgement,
    DeliveryState,
    Product,
    plan_routes,
)
from triage.domain.errors import (
    DeliveryFailed,
    DeliveryRefused,
    DeliveryUnanswered,
    DeliveryUnclear,
    DestinationUnreachable,
    LedgerUnavailable,
)
from triage.domain.study import State
from triage.pipeline.deliver import Deliverer
from triage.store.ledger import SqlLedger
from triage.store.schema import deliveries as table


def test_an_acknowledged_delivery_is_delivered_once(ledger: SqlLedger) -> None:
    pacs = FakeDestination("pacs")
    study, (delivery,) = assessed(ledger)
    deliverer = Deliverer(ledger, {"pacs": pacs}, max_attempts=3)
    deliverer.deliver(delivery)
    deliverer.deliver(delivery)
    assert pacs.received == [PRODUCT]
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_a_failed_delivery_keeps_its_answer(ledger: SqlLedger, clock: FakeClock) -> None:
    pacs = FakeDestination("pacs", refusal="0xA700 Out of resources")
    study, (delivery,) = assessed(ledger)
    deliverer = Deliverer(ledger, {"pacs": pacs}, max_attempts=3)
    deliverer.deliver(delivery)
    (waiting,) = ledger.list_deliveries(study.study_uid, 1)
    assert (waiting.state, waiting.last_answer) == (
        DeliveryState.PENDING,
        "0xA700 Out of resources",
    )
    pacs.refusal = ""
    clock.pass_s(5)
    deliverer.deliver(delivery)
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_pauses_between_attempts_grow_until_a_delivery_is_given_up(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    study, (delivery,) = assessed(ledger)
    down = {"pacs": FakeDestination("pacs", refusal="no answer")}
    deliverer = Deliverer(ledger, down, max_attempts=3)
    attempts = []
    for _second in range(60):
        deliverer.deliver(delivery)
        attempts.append(ledger.list_deliveries(study.study_uid, 1)[0].attempts)
        clock.pass_s(1)
    assert [attempts.index(n) for n in (1, 2, 3)] == [0, 5, 15]
    assert current(ledger, study.study_uid).state is State.FAILED


def test_free_text_of_a_destination_is_stored_and_not_logged(
    ledger: SqlLedger,
) -> None:
    study, (delivery,) = assessed(ledger)
    ris = FakeDestination(
        "pacs", refusal="AE, application error", peer_text="no patient Marked^Name"
    )
    with capture_logs() as lines:
        Deliverer(ledger, {"pacs": ris}, max_attempts=3).deliver(delivery)
    (waiting,) = ledger.list_deliveries(study.study_uid, 1)
    assert waiting.last_answer == "AE, application error: no patient Marked^Name"
    assert "Marked" not in repr(lines)


def test_a_permanent_refusal_is_given_up_at_once(ledger: SqlLedger) -> None:
    study, (delivery,) = assessed(ledger)
    pacs = FakeDestination("pacs", refusal="HTTP 422", final=True)
    Deliverer(ledger, {"pacs": pacs}, max_attempts=300).deliver(delivery)
    (given_up,) = ledger.list_deliveries(study.study_uid, 1)
    assert (given_up.state, given_up.last_answer) == (DeliveryState.FAILED, "HTTP 422")
    assert current(ledger, study.study_uid).state is State.FAILED


UNCLEAR = DeliveryUnclear("no acknowledgement")
UNANSWERED = DeliveryUnanswered("sent, no answer")


def try_for(seconds: int, deliverer: Deliverer, ledger: SqlLedger, clock: FakeClock) -> None:
    """Deliver what is due, every ten seconds."""
    for _ in range(0, seconds, 10):
        for delivery in ledger.list_unsent_deliveries(0):
            deliverer.deliver(delivery)
        clock.pass_s(10)


@pytest.mark.parametrize("error", [UNCLEAR, UNANSWERED])
def test_what_may_have_arrived_is_sent_a_few_times_and_then_given_up_with_a_reason(
    ledger: SqlLedger, clock: FakeClock, error: DeliveryFailed
) -> None:
    study, (delivery,) = assessed(ledger, "ris")
    ris = FakeDestination("ris", error=error)
    deliverer = Deliverer(ledger, {"ris": ris}, max_attempts=300)
    began = clock.now()
    try_for(450, deliverer, ledger, clock)  # pauses of 30, 60, 120 and 240 seconds
    waiting = ledger.get_delivery(delivery)
    assert waiting is not None
    assert (waiting.state, waiting.unclear_attempts) == (DeliveryState.PENDING, 4)
    try_for(2000, deliverer, ledger, clock)
    given_up = ledger.get_delivery(delivery)
    assert given_up is not None
    assert (given_up.state, given_up.attempts) == (DeliveryState.FAILED, UNCLEAR_ATTEMPTS_MAX)
    assert (
        given_up.last_answer
        == f"{error}; the receiver may have it: 5 attempt(s) got no clear answer"
    )
    ended = current(ledger, study.study_uid)
    assert (ended.state, ended.changed_at) == (State.FAILED, began + 450)
    assert "1 delivery(ies) given up" in ended.reason
    assert ended.reason.endswith("the receiver may have 1 of them")


def test_only_attempts_that_may_have_been_accepted_count_as_such(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    _, (delivery,) = assessed(ledger, "ris")
    ris = FakeDestination("ris", error=UNCLEAR)
    deliverer = Deliverer(ledger, {"ris": ris}, max_attempts=30)
    try_for(100, deliverer, ledger, clock)  # at 0, 30 and 90 seconds
    ris.error = DeliveryFailed("AE, application error")
    try_for(3600, deliverer, ledger, clock)
    waiting = ledger.get_delivery(delivery)
    assert waiting is not None
    assert (waiting.state, waiting.unclear_attempts) == (DeliveryState.PENDING, 3)
    assert waiting.attempts > 10
    ris.error = None
    try_for(600, deliverer, ledger, clock)
    assert len(ris.received) == 1


def test_a_refusal_after_an_unclear_attempt_says_that_the_receiver_may_have_it(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    _, (delivery,) = assessed(ledger, "ris")
    ris = FakeDestination("ris", error=UNANSWERED)
    deliverer = Deliverer(ledger, {"ris": ris}, max_attempts=30)
    try_for(20, deliverer, ledger, clock)
    ris.error = DeliveryRefused("AR, application reject", "known already")
    try_for(60, deliverer, ledger, clock)
    given_up = ledger.get_delivery(delivery)
    assert given_up is not None
    doubt = "the receiver may have it: 1 attempt(s) got no clear answer"
    assert given_up.last_answer == f"AR, application reject: known already; {doubt}"


def test_silence_holds_other_messages_for_a_limited_time(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    """One message that a receiver never answers must not keep all others back for ever."""
    _, (first,) = assessed(ledger, "ris")
    other = replace(PRODUCT, sop_instance_uid="2.25.2")
    claimed = assessing(ledger, "second")
    (second,) = ledger.finish(claimed, HOLDER, "{}", [other], [(other, "ris")]) or ()

    class Mute(FakeDestination):
        def deliver(self, product: Product) -> Acknowledgement:
            self.error = UNANSWERED if product == PRODUCT else None
            return super().deliver(product)

    ris = Mute("ris")
    deliverer = Deliverer(ledger, {"ris": ris}, max_attempts=300)
    deliverer.deliver(first)
    assert [outage.waiting for outage in ledger.list_outages()] == [2]
    assert second not in ledger.list_unsent_deliveries(None)
    try_for(480, deliverer, ledger, clock)
    assert ris.received == [other]
    assert ledger.list_outages() == []


def test_an_unclear_attempt_holds_no_other_message(ledger: SqlLedger) -> None:
    _, (first, _) = assessed(ledger, "ris", "other")
    deliverer = Deliverer(ledger, {"ris": FakeDestination("ris", error=UNCLEAR)}, max_attempts=300)
    deliverer.deliver(first)
    assert ledger.list_outages() == []


def test_a_destination_that_is_down_delays_no_other(ledger: SqlLedger) -> None:
    study, (first, second) = assessed(ledger, "down", "up")
    up = FakeDestination("up")
    destinations = {"down": FakeDestination("down", refusal="no answer"), "up": up}
    deliverer = Deliverer(ledger, destinations, max_attempts=3)
    deliverer.deliver(first)
    deliverer.deliver(second)
    assert up.received == [PRODUCT]
    states = [delivery.state for delivery in ledger.list_deliveries(study.study_uid, 1)]
    assert states == [DeliveryState.PENDING, DeliveryState.DELIVERED]


def test_a_destination_that_was_taken_out_of_the_configuration_is_named(
    ledger: SqlLedger,
) -> None:
    study, (delivery,) = assessed(ledger)
    Deliverer(ledger, {}, max_attempts=1).deliver(delivery)
    (given_up,) = ledger.list_deliveries(study.study_uid, 1)
    assert given_up.last_answer == "destination pacs is not configured"


def test_an_unavailable_ledger_leaves_a_delivery_to_its_holder(
    ledger: SqlLedger,
) -> None:
    study, (delivery,) = assessed(ledger)
    held = ledger.claim_delivery(delivery, 60)
    Deliverer(ledger, {}, max_attempts=1).handle_error(delivery, LedgerUnavailable("away"))
    assert ledger.get_delivery(delivery) == held
    assert ledger.claim_delivery(delivery, 60) is None
    ledger.record_delivered(delivery, "0x0000 Success")
    assert current(ledger, study.study_uid).state is State.DELIVERED


def test_an_unforeseen_error_schedules_another_attempt(ledger: SqlLedger, clock: FakeClock) -> None:
    study, (delivery,) = assessed(ledger)
    deliverer = Deliverer(ledger, {}, max_attempts=3)
    assert ledger.claim_delivery(delivery, 60)
    deliverer.handle_error(delivery, RuntimeError("a defect"))
    (waiting,) = ledger.list_deliveries(study.study_uid, 1)
    assert waiting.state is DeliveryState.PENDING
    assert waiting.last_answer == "the delivery failed with RuntimeError: a defect"
    clock.pass_s(5)
    assert ledger.list_unsent_deliveries(None) == [delivery]


def test_exactly_one_of_several_forms_of_a_report_arrives(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    older = replace(
        PRODUCT,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
        sop_instance_uid="2.25.33",
        alternative_to=PRODUCT.sop_instance_uid,
    )
    destinations = {
        "new": FakeDestination("new"),
        "old": FakeDestination("old", classes=[older.sop_class_uid]),
        "none": FakeDestination("none", classes=["1.2.3"]),
    }
    made = [PRODUCT, older]
    sent = plan_routes(made, {name: ["application/dicom"] for name in destinations})
    study = assessing(ledger)
    for delivery in ledger.finish(study, HOLDER, "{}", made, sent) or ():
        Deliverer(ledger, destinations, max_attempts=3).deliver(delivery)
    received = {name: each.received for name, each in destinations.items()}
    assert received == {"new": [PRODUCT], "old": [older], "none": []}
    took = {
        delivery.destination: delivery.product
        for delivery in ledger.list_deliveries(study.study_uid, 1)
    }
    assert took["old"] == older
    # A destination that changes its choice during a delivery gets no second product.
    clock.pass_s(5)
    destinations["none"].classes = [older.sop_class_uid]
    destinations["none"].refusal_after_choice = "no answer came"
    last = ledger.list_deliveries(study.study_uid, 1)[-1]
    deliverer = Deliverer(ledger, destinations, max_attempts=9)
    deliverer.deliver(last.id)
    destinations["none"].classes, destinations["none"].refusal_after_choice = (), ""
    clock.pass_s(10)
    deliverer.deliver(last.id)
    assert destinations["none"].received == [older]


def test_one_delivery_at_a_time_tests_an_unreachable_destination(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    """Each attempt costs a time-out, and healthy destinations would wait for it."""
    deliveries = [*assessed(ledger, "silent")[1]]
    for study in ("second", "third"):
        claimed = assessing(ledger, study)
        product = replace(PRODUCT, sop_instance_uid=f"2.25.{ord(study[0])}")
        deliveries += ledger.finish(claimed, HOLDER, "{}", [product], [(product, "silent")]) or ()
    silent = FakeDestination("silent", refusal="no answer", silent=True)
    deliverer = Deliverer(ledger, {"silent": silent}, max_attempts=30)

    def work(seconds: int) -> None:
        for _ in range(seconds):
            for delivery in ledger.list_unsent_deliveries(0):
                deliverer.deliver(delivery)
            clock.pass_s(1)

    began = clock.now()
    work(200)
    (outage,) = ledger.list_outages()
    assert (outage.destination, outage.since, outage.last_answer) == ("silent", began, "no answer")
    assert (outage.waiting, outage.again_at) == (3, began + 155 + 160)
    attempts = [each.attempts for id_ in deliveries if (each := ledger.get_delivery(id_))]
    assert attempts == [6, 0, 0]  # after 0, 5, 15, 35, 75 and 155 seconds
    silent.refusal = ""
    work(200)
    assert len(silent.received) == 3
    assert ledger.list_outages() == []


def test_an_outage_ends_with_an_answer_even_a_bad_one(ledger: SqlLedger, clock: FakeClock) -> None:
    _, (delivery,) = assessed(ledger)
    pacs = FakeDestination("pacs", refusal="no answer", silent=True)
    deliverer = Deliverer(ledger, {"pacs": pacs}, max_attempts=30)
    deliverer.deliver(delivery)
    first = clock.now()
    clock.pass_s(5)
    deliverer.deliver(delivery)
    assert [outage.since for outage in ledger.list_outages()] == [first]
    pacs.refusal, pacs.silent = "0xA700 Out of resources", False
    clock.pass_s(10)
    deliverer.deliver(delivery)
    assert ledger.list_outages() == []
    pacs.silent = True
    clock.pass_s(20)
    deliverer.deliver(delivery)
    assert [outage.since for outage in ledger.list_outages()] == [clock.now()]


def test_an_outage_of_an_earlier_release_gets_a_start_time(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    _, (delivery,) = assessed(ledger)
    ledger.record_failure(delivery, "no answer", 5, unreachable=True)
    with ledger._database.writing() as connection:
        connection.execute(update(table).values(unreachable_since=0.0))
    assert [outage.since for outage in ledger.list_outages()] == [clock.now()]


@pytest.mark.parametrize(
    ("asked_s", "expected_s"), [(0, 4.5), (3, 4.5), (5, 5), (60, 60), (9999, 300), (inf, 300)]
)
def test_a_destination_is_not_tried_before_the_pause_that_it_asked_for(
    ledger: SqlLedger, clock: FakeClock, asked_s: float, expected_s: float
) -> None:
    _, (delivery,) = assessed(ledger)
    busy = DestinationUnreachable("HTTP 503", after_s=asked_s)
    pacs = FakeDestination("pacs", error=busy)
    Deliverer(ledger, {"pacs": pacs}, max_attempts=30, chance=lambda: 1.0).deliver(delivery)
    (outage,) = ledger.list_outages()
    assert outage.again_at - clock.now() == pytest.approx(expected_s)


def test_pauses_have_jitter(ledger: SqlLedger, clock: FakeClock) -> None:
    study, (first, second) = assessed(ledger, "one", "two")
    down = {name: FakeDestination(name, refusal="no answer") for name in ("one", "two")}
    chances = iter([0.0, 1.0])
    deliverer = Deliverer(ledger, down, max_attempts=3, chance=lambda: next(chances))
    deliverer.deliver(first)
    deliverer.deliver(second)
    pauses = [
        delivery.due_at - clock.now() for delivery in ledger.list_deliveries(study.study_uid, 1)
    ]
    assert pauses == pytest.approx([5, 4.5])
