"""What becomes of a delivery after each answer: the tables of the conformance statement.

Real peers give every answer of the tables, and the ledger shows what became of the delivery.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.builders.assessments import untrained
from tests.builders.delivery_answers import (
    CODES,
    STATUSES,
    TABLES,
    Answer,
    HttpAnswer,
    Outcome,
    Silence,
    known_to,
)
from tests.builders.reportings import reporting
from tests.builders.stow_responses import store_response
from tests.contract.ledgers import HOLDER, assessing, current
from tests.fakes import FakeClock
from tests.integration.answering_peers import PEERS, AnsweringPeer
from tests.integration.hooks import SECRET
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.destinations import DESTINATIONS
from triage.domain.delivery import (
    LONGEST_WAIT_S,
    UNCLEAR_ATTEMPTS_MAX,
    Delivery,
    DeliveryState,
    Product,
)
from triage.domain.study import State
from triage.pipeline.deliver import Deliverer
from triage.ports.destination import Destination
from triage.reports import hl7, structured_report, summary
from triage.store.ledger import SqlLedger

#: A peer that answers may take its time on a busy machine; one that is silent is not waited for.
PATIENT_S, IMPATIENT_S = 40.0, 0.5
BUILDERS = {"dicom": structured_report, "stow": structured_report, "webhook": summary, "mllp": hl7}

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # of pynetdicom
)


def settings_of(kind: str, port: int, timeout_s: float) -> dict[str, Any]:
    own: Mapping[str, dict[str, Any]] = {
        "dicom": {"ae_title": "PACS", "host": HOST, "port": port},
        "stow": {"url": f"http://{HOST}:{port}"},
        "webhook": {"url": f"http://{HOST}:{port}/", "secret": SECRET},
        "mllp": {"host": HOST, "port": port},
    }
    return {"name": "peer", "kind": kind, "timeout_s": timeout_s, **own[kind]}


def open_destination(kind: str, port: int, timeout_s: float = PATIENT_S) -> Destination:
    declared = DESTINATIONS[kind]
    settings = declared.settings.model_validate(settings_of(kind, port, timeout_s))
    return declared.open("CMRTRIAGE", settings)


def destination_for(kind: str, peer: AnsweringPeer, answer: Answer) -> Destination:
    if answer is Silence.ABSENT:
        return open_destination(kind, find_free_port())
    return open_destination(kind, peer.port, IMPATIENT_S if answer is Silence.SILENT else PATIENT_S)


def open_deliveries(ledger: SqlLedger, product: Product, count: int) -> Sequence[int]:
    """Open deliveries of one product to as many destinations, named by numbers."""
    routes = [(product, str(number)) for number in range(count)]
    due = ledger.finish(assessing(ledger), HOLDER, "{}", [product], routes)
    assert due is not None
    return due


def judge(ledger: SqlLedger, delivery: Delivery) -> Outcome:
    """Return what became of a delivery after one attempt."""
    waits = any(outage.destination == delivery.destination for outage in ledger.list_outages())
    match delivery.state, bool(delivery.unclear_attempts), waits:
        case DeliveryState.DELIVERED, False, False:
            return Outcome.WARNED if delivery.has_warning else Outcome.DELIVERED
        case DeliveryState.FAILED, False, False:
            return Outcome.GIVEN_UP
        case DeliveryState.PENDING, False, False:
            return Outcome.RETRIED
        case DeliveryState.PENDING, False, True:
            return Outcome.HELD
        case DeliveryState.PENDING, True, False:
            return Outcome.LIMITED
        case DeliveryState.PENDING, True, True:
            return Outcome.LIMITED_HELD
    raise AssertionError(delivery)


@pytest.mark.parametrize("kind", TABLES)
def test_every_answer_of_the_table_has_the_outcome_that_it_states(
    kind: str, ledger: SqlLedger
) -> None:
    steps = [(row, answer) for row in TABLES[kind]() for answer in row.samples]
    product = BUILDERS[kind].build(reporting(untrained()))
    due = open_deliveries(ledger, product, len(steps))
    with PEERS[kind]() as peer:
        peer.uid = product.sop_instance_uid
        for number, (row, answer) in enumerate(steps):
            peer.answer = answer
            destinations = {str(number): destination_for(kind, peer, answer)}
            Deliverer(ledger, destinations, max_attempts=300).deliver(due[number])
            delivery = ledger.get_delivery(due[number])
            assert delivery is not None
            assert judge(ledger, delivery) == row.outcome, (row.answers, answer, delivery)
    assert len(peer.read) >= len(steps) - 3  # all but those that were never sent


@pytest.mark.parametrize(
    ("kind", "every"), [("dicom", STATUSES), ("stow", CODES), ("webhook", CODES)]
)
def test_every_status_is_in_exactly_one_row(kind: str, every: range) -> None:
    covered = sorted(status for row in TABLES[kind]() for status in row.covers)
    assert covered == [*every]


# -- situations of several attempts


def deliver_until_ended(
    kind: str, answers: Sequence[Answer], ledger: SqlLedger, clock: FakeClock
) -> tuple[Delivery, list[bytes]]:
    """Deliver to a peer that gives these answers in turn; return the delivery and what it read."""
    product = BUILDERS[kind].build(reporting(untrained()))
    (due,) = open_deliveries(ledger, product, 1)
    with PEERS[kind]() as peer:
        peer.uid = product.sop_instance_uid
        for answer in answers:
            peer.answer = answer
            destinations = {"0": destination_for(kind, peer, answer)}
            Deliverer(ledger, destinations, max_attempts=300).deliver(due)
            clock.pass_s(LONGEST_WAIT_S)
    delivery = ledger.get_delivery(due)
    assert delivery is not None
    assert delivery.attempts <= len(answers)
    return delivery, peer.read


def stored_with(code: int, warning: int) -> HttpAnswer:
    return HttpAnswer(code, lambda uid: store_response(uid, warning=warning))


@pytest.mark.parametrize(
    ("kind", "answer", "expected"),
    [
        ("dicom", 0xB001, "0xB001 a warning"),
        ("dicom", 0x0116, "0x0116 Attribute value out of range"),
        ("stow", stored_with(202, 0xB006), "0xB006 Elements discarded (warning, HTTP 202)"),
        ("stow", stored_with(200, 0x0107), "0x0107 Attribute list error (warning, HTTP 200)"),
    ],
)
def test_a_report_that_is_stored_with_a_warning_is_delivered_and_the_warning_is_kept(
    kind: str, answer: Answer, expected: str, ledger: SqlLedger, clock: FakeClock
) -> None:
    delivery, read = deliver_until_ended(kind, [answer, answer], ledger, clock)
    assert (delivery.state, delivery.last_answer) == (DeliveryState.DELIVERED, expected)
    assert delivery.has_warning
    assert len(read) == 1
    assert current(ledger, delivery.study_uid).state is State.DELIVERED


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("dicom", [Silence.CLOSES, 0x0111]),
        ("dicom", [Silence.SILENT, Silence.CLOSES, 0x0111]),
        ("stow", [Silence.CLOSES, HttpAnswer(409, known_to)]),
        ("stow", [Silence.SILENT, HttpAnswer(200, store_response)]),
        ("webhook", [Silence.CLOSES, HttpAnswer(409), HttpAnswer(200)]),
    ],
)
def test_a_report_whose_first_answer_was_lost_is_delivered_as_the_same_object(
    kind: str, answers: Sequence[Answer], ledger: SqlLedger, clock: FakeClock
) -> None:
    delivery, read = deliver_until_ended(kind, answers, ledger, clock)
    assert delivery.state is DeliveryState.DELIVERED
    assert (delivery.attempts, delivery.unclear_attempts) == (len(answers), 0)
    uid = delivery.product.sop_instance_uid.encode()
    assert len(read) == len(answers)
    assert kind == "webhook" or all(uid in content for content in read)


@pytest.mark.parametrize("segment", ["MSA|AA|", "MSA|AA", "MSA|CA||", "MSA|AA|\0", "MSA|AA|1^2"])
def test_a_message_that_is_acknowledged_without_its_number_is_never_sent_again(
    segment: str, ledger: SqlLedger, clock: FakeClock
) -> None:
    answer = f"MSH|^~\\&|RIS||||1||ACK|A1|P|2.5.1\r{segment}\r".encode()
    delivery, read = deliver_until_ended("mllp", [answer] * 3, ledger, clock)
    assert delivery.state is DeliveryState.DELIVERED
    assert delivery.last_answer.startswith(("AA with", "CA with"))
    assert len(read) == 1


def test_a_message_that_a_peer_reads_and_never_answers_is_sent_a_few_times_only(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    silence: list[Answer] = [Silence.SILENT, Silence.CLOSES]
    delivery, read = deliver_until_ended("mllp", silence * 4, ledger, clock)
    assert delivery.state is DeliveryState.FAILED
    assert len(read) == UNCLEAR_ATTEMPTS_MAX
    assert "the receiver may have it" in delivery.last_answer
    assert "the receiver may have 1" in current(ledger, delivery.study_uid).reason
