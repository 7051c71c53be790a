"""Audit events of the use cases that record them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.evidence_collectors import build_collector
from tests.builders.images import image, part10, uid
from tests.builders.logins import PASSWORD, basic
from tests.contract.ledgers import PRODUCT, assessed, received
from tests.fakes import (
    FakeClock,
    FakeDestination,
    FakeEncoder,
    FakeLibrary,
    FakeQueue,
    FakeTrail,
)
from triage.cases.case_access import CaseAccess
from triage.cases.past_cases import PastCases
from triage.cases.search import parse_query
from triage.domain import audit
from triage.domain.audit import (
    BEGIN_TRANSFERRING,
    EXPORT,
    INSTANCES_TRANSFERRED,
    NOT_KNOWN,
    QUERY,
    SECURITY_ALERT,
    USER_AUTHENTICATION,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    AuditPeer,
    Participant,
)
from triage.domain.case import Case
from triage.domain.completeness import CompletenessPolicy
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import DeliveryRefused
from triage.domain.incident import Incident, IncidentKind, RejectionReason
from triage.domain.instance import Source
from triage.domain.study import State
from triage.pipeline.audit_events import StudyTrail
from triage.pipeline.deliver import Deliverer
from triage.pipeline.incidents import IncidentReporter
from triage.pipeline.intake import Intake
from triage.pipeline.leases import LeaseWatch
from triage.pipeline.reconciler import Reconciler
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool
from triage.web.access import SESSION_S, WebAccess, WebAccessDenied
from triage.web.passwords import hash_password

PACS = AuditPeer("PACS", "10.1.2.3", ae_title="PACS")
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def told() -> FakeTrail:
    return FakeTrail()


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


@pytest.fixture
def trail(told: FakeTrail, ledger: SqlLedger, spool: FileSpool) -> StudyTrail:
    return StudyTrail(told, ledger, spool, {"pacs": PACS})


@pytest.fixture
def reconciler(
    ledger: SqlLedger, queue: FakeQueue, clock: FakeClock, trail: StudyTrail
) -> Reconciler:
    patience = CompletenessPolicy(quiet_s=15, limit_s=100)
    return Reconciler(
        ledger, queue, clock, build_collector(ledger, patience), 3, LeaseWatch(30), trail=trail
    )


def outlined(events: Sequence[AuditEvent]) -> list[tuple[str, AuditAction, AuditOutcome]]:
    return [(item.event.meaning, item.action, item.outcome) for item in events]


def whom(event: AuditEvent) -> Participant:
    (other,) = [
        participant for participant in event.participants if isinstance(participant, Participant)
    ]
    return other


def test_a_received_study_is_one_event_for_each_sender_with_patient_and_counts(
    reconciler: Reconciler,
    told: FakeTrail,
    ledger: SqlLedger,
    spool: FileSpool,
    clock: FakeClock,
) -> None:
    intake = Intake(spool, ledger)
    for number in range(5):
        sender = Source("MR1", "10.0.0.1") if number < 3 else Source("MR2", "10.0.0.2")
        made = image("study", "series", number)
        made.PatientID = "4711"
        intake.accept(part10(made), sender)
    clock.pass_s(15)
    for _ in range(3):
        reconciler.tick()
    assert (
        outlined(told.events)
        == [("DICOM Instances Transferred", AuditAction.CREATE, AuditOutcome.SUCCESS)] * 2
    )
    assert [whom(event).user_id for event in told.events] == ["MR1", "MR2"]
    assert [event.objects[0].instances for event in told.events] == [((MR, 3),), ((MR, 2),)]
    assert {event.objects[0].id for event in told.events} == {uid("study")}
    assert {event.objects[1].id for event in told.events} == {"4711"}


def test_a_later_revision_is_recorded_with_its_new_instances(
    reconciler: Reconciler,
    told: FakeTrail,
    ledger: SqlLedger,
    spool: FileSpool,
    clock: FakeClock,
) -> None:
    intake = Intake(spool, ledger)
    for number in (1, 2):
        intake.accept(part10(image("study", "series", number)), Source("MR1", ""))
    clock.pass_s(15)
    reconciler.tick()
    assert ledger.claim(uid("study"), 1, "worker:1", 30)
    intake.accept(part10(image("study", "series", 3)), Source("MR1", ""))
    clock.pass_s(15)
    reconciler.tick()
    assert [event.objects[0].instances for event in told.events] == [((MR, 2),), ((MR, 1),)]


def test_an_unreadable_study_is_recorded_without_its_patient(
    reconciler: Reconciler, told: FakeTrail, ledger: SqlLedger, clock: FakeClock
) -> None:
    study = received(ledger)  # in the ledger alone
    clock.pass_s(15)
    reconciler.tick()
    assert told.events[0].objects[1].id == NOT_KNOWN
    (judged,) = ledger.list_studies()
    assert (judged.study_uid, judged.state) == (study.study_uid, State.READY)


def test_an_event_is_recorded_before_the_ledger_changes(
    reconciler: Reconciler,
    told: FakeTrail,
    ledger: SqlLedger,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received(ledger)
    clock.pass_s(15)
    monkeypatch.setattr(ledger, "move", lambda *_: pytest.fail("a crash"))
    with pytest.raises(pytest.fail.Exception):
        reconciler.tick()
    assert len(told.events) == 1


def delivered(
    ledger: SqlLedger, trail: StudyTrail, pacs: FakeDestination, attempts: int, clock: FakeClock
) -> None:
    _, (delivery,) = assessed(ledger)
    deliverer = Deliverer(ledger, {"pacs": pacs}, attempts, trail=trail)
    for _ in range(attempts):
        deliverer.deliver(delivery)
        clock.pass_s(400)


def test_a_report_is_recorded_before_and_after_it_is_sent(
    ledger: SqlLedger, trail: StudyTrail, told: FakeTrail, clock: FakeClock
) -> None:
    delivered(ledger, trail, FakeDestination("pacs"), 1, clock)
    assert outlined(told.events) == [
        ("Begin Transferring DICOM Instances", AuditAction.EXECUTE, AuditOutcome.SUCCESS),
        ("DICOM Instances Transferred", AuditAction.READ, AuditOutcome.SUCCESS),
    ]
    assert whom(told.events[1]).ae_titles == ("PACS",)
    assert told.events[1].objects[0].instances == ((PRODUCT.sop_class_uid, 1),)


def test_deliveries_to_a_pacs_that_is_down_are_recorded_at_begin_and_end(
    ledger: SqlLedger, trail: StudyTrail, told: FakeTrail, clock: FakeClock
) -> None:
    delivered(ledger, trail, FakeDestination("pacs", refusal="0xA700"), 4, clock)
    assert [event.event for event in told.events] == [BEGIN_TRANSFERRING, INSTANCES_TRANSFERRED]
    assert (told.events[1].outcome, told.events[1].description) == (AuditOutcome.SERIOUS, "0xA700")


def test_free_text_of_a_destination_is_not_recorded(
    ledger: SqlLedger, trail: StudyTrail, told: FakeTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    ris = FakeDestination("pacs")
    _, (delivery,) = assessed(ledger)

    def refuse(_product: Product) -> Acknowledgement:
        raise DeliveryRefused("AE from RIS", "no visit of Planted^Name")

    monkeypatch.setattr(ris, "deliver", refuse)
    Deliverer(ledger, {"pacs": ris}, 5, trail=trail).deliver(delivery)
    assert told.events[-1].description == "AE from RIS"
    assert "Planted" not in str(told.events)


def test_what_leaves_dicom_is_an_export(
    ledger: SqlLedger, trail: StudyTrail, told: FakeTrail, clock: FakeClock
) -> None:
    folder = AuditPeer("pacs", "file:///reports", is_dicom=False)
    elsewhere = replace(trail, destinations={"pacs": folder})
    delivered(ledger, elsewhere, FakeDestination("pacs"), 1, clock)
    assert [event.event for event in told.events] == [EXPORT]


def test_a_rejected_peer_is_a_security_alert_with_a_count(
    ledger: SqlLedger, spool: FileSpool, told: FakeTrail
) -> None:
    intake = Intake(spool, ledger, audit=told)
    for _ in range(50):
        intake.report_rejected("unknown calling AE title 'X'", Source("X", "10.0.0.9"))
    intake.report_rejected("TLS: no shared cipher", Source("", "10.0.0.8"), RejectionReason.TLS)
    intake.report_refused("out of resources", Source("MR1", "10.0.0.1"))
    intake.flush_incidents()
    assert [event.event for event in told.events] == [SECURITY_ALERT] * 3
    assert [event.description for event in told.events] == [
        "unknown calling AE title 'X'",
        "TLS: no shared cipher",
        "unknown calling AE title 'X' (49 times)",
    ]


def test_a_token_that_is_wrong_is_a_failed_login(ledger: SqlLedger, told: FakeTrail) -> None:
    refused = Incident(
        IncidentKind.REJECTED_ASSOCIATION, "not a token", Source("", "10.0.0.9"), is_login=True
    )
    IncidentReporter(ledger, told).report(refused)
    (event,) = told.events
    assert (event.event, event.outcome) == (USER_AUTHENTICATION, AuditOutcome.MINOR)
    assert whom(event).address == "10.0.0.9"


def test_logins_are_recorded_without_passwords(told: FakeTrail, clock: FakeClock) -> None:
    access = WebAccess({"anna": hash_password(PASSWORD)}, clock, told)
    for _ in range(3):
        access.admit(basic("anna", PASSWORD), "10.0.0.1")
    access.admit(basic("anna", PASSWORD), "10.0.0.2")
    for said in (basic("anna", "wrong"), basic(PASSWORD, "anna")):
        with pytest.raises(WebAccessDenied):
            access.admit(said, "10.0.0.3")
    clock.pass_s(SESSION_S + 1)
    access.admit(basic("anna", PASSWORD), "10.0.0.1")
    assert [(whom(event).user_id, event.outcome) for event in told.events] == [
        ("anna", AuditOutcome.SUCCESS),
        ("anna", AuditOutcome.SUCCESS),
        ("anna", AuditOutcome.MINOR),
        ("(unknown)", AuditOutcome.MINOR),
        ("anna", AuditOutcome.SUCCESS),
    ]
    assert PASSWORD not in str(told.events)


def test_searches_are_recorded_without_their_text(ledger: SqlLedger, told: FakeTrail) -> None:
    library = FakeLibrary()
    library.add(Case("1.2", "p", vendor="siemens"), FakeEncoder().encode_text("a"))
    looks = CaseAccess(PastCases(library, b"s" * 32), ledger, told)
    looks.search(FakeEncoder(), parse_query({"words": "Mrs Smith"}), "anna")
    looks.find_case("1.2", "anna")
    assert [event.event for event in told.events] == [QUERY] * 2
    assert [whom(event).user_id for event in told.events] == ["anna"] * 2
    asked = [event.objects[0].query for event in told.events]
    assert asked == [b"cases searched: 1 case(s) listed, by words", b"case looked up: study 1.2"]


def test_a_site_without_an_audit_trail_ignores_events() -> None:
    audit.NoAuditTrail().record(audit.build_gap_event(1))
