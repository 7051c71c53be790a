"""Contract of the ledger: incidents, texts of peers, restarts and failures."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import lists, sampled_from

from tests.contract.ledgers import (
    HOLDER,
    SOURCE,
    assessing,
    current,
    receipt,
)
from tests.fakes import FakeClock
from triage.domain.errors import LedgerUnavailable
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.domain.study import TRANSITIONS, Event
from triage.store.ledger import SqlLedger


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
