"""Contract of both storage commitment ports, on every kind of database."""

from dataclasses import replace

import pytest

from tests.contract.ledgers import SOURCE, assessed, numbered_receipt, receipt
from tests.fakes import FakeClock
from triage.domain.commitment import Reference
from triage.domain.delivery import DeliveryState
from triage.ports.commitment import CommitmentLedger, CommitmentRequests
from triage.store.commitment_requests import SqlCommitmentRequests
from triage.store.commitments import AT_ONCE, SqlCommitments
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.retention import SqlRetention

REFERENCES = (Reference("1.2.840.10008.5.1.4.1.1.4", "1.2.1"), Reference("1.2.840", "1.2.2"))
TRANSACTION = "2.25.100"


@pytest.fixture
def ledger(database: Database, clock: FakeClock) -> SqlLedger:
    return SqlLedger(database, clock)


@pytest.fixture
def commitments(database: Database, clock: FakeClock) -> CommitmentLedger:
    return SqlCommitments(database, clock)


@pytest.fixture
def requests(database: Database, clock: FakeClock) -> CommitmentRequests:
    return SqlCommitmentRequests(database, clock)


# -- as SCP


def test_a_request_is_due_after_its_delay(commitments: CommitmentLedger, clock: FakeClock) -> None:
    recorded = commitments.record_request("PACS", TRANSACTION, REFERENCES, 5)
    assert (recorded.requestor, recorded.transaction_uid) == ("PACS", TRANSACTION)
    assert (recorded.references, recorded.attempts) == (REFERENCES, 0)
    assert commitments.list_due() == []
    clock.pass_s(5)
    assert commitments.list_due() == [recorded]


def test_requests_are_reported_oldest_first(commitments: CommitmentLedger) -> None:
    recorded = [
        commitments.record_request(requestor, TRANSACTION, REFERENCES, 0)
        for requestor in ("PACS", "ARCHIVE")
    ]
    assert commitments.list_due() == recorded


def test_a_repeated_request_replaces_the_earlier_one(
    commitments: CommitmentLedger, clock: FakeClock
) -> None:
    first = commitments.record_request("PACS", TRANSACTION, REFERENCES, 0)
    commitments.postpone(first.id, 5)
    again = commitments.record_request("PACS", TRANSACTION, REFERENCES[:1], 0)
    assert commitments.list_due() == [again]
    assert (again.references, again.attempts) == (REFERENCES[:1], 0)
    commitments.close_request(first.id)  # a report that was under way; its id is not reused
    clock.pass_s(10)
    assert commitments.list_due() == [again]


def test_a_failed_attempt_is_counted_and_postponed(
    commitments: CommitmentLedger, clock: FakeClock
) -> None:
    recorded = commitments.record_request("PACS", TRANSACTION, REFERENCES, 0)
    commitments.postpone(recorded.id, 30)
    assert commitments.list_due() == []
    clock.pass_s(30)
    assert commitments.list_due() == [replace(recorded, attempts=1)]
    commitments.close_request(recorded.id)
    assert commitments.list_due() == []


def test_received_instances_are_found_by_uid_in_any_study(
    commitments: CommitmentLedger, ledger: SqlLedger
) -> None:
    for study in ("1.2", "1.3"):
        ledger.record_instance(numbered_receipt(study, 1), SOURCE)
    twice = numbered_receipt("1.4", 1)
    shared = replace(twice.identity, sop_instance_uid="1.2.1")
    ledger.record_instance(replace(twice, identity=shared), SOURCE)
    unknown = [f"9.{number}" for number in range(AT_ONCE)]
    found = commitments.find_instances([*unknown, "1.2.1", "1.3.1"])
    assert {uid: sorted(entry.path for entry in entries) for uid, entries in found.items()} == {
        "1.2.1": ["1.2/1.dcm", "1.4/1.dcm"],
        "1.3.1": ["1.3/1.dcm"],
    }


def test_instances_marked_for_removal_are_not_found(
    commitments: CommitmentLedger, ledger: SqlLedger, database: Database, clock: FakeClock
) -> None:
    study, (delivery,) = assessed(ledger)
    ledger.record_delivered(delivery, "0x0000 Success")
    known = [receipt("study", number).identity.sop_instance_uid for number in range(3)]
    assert len(commitments.find_instances(known)) == 3
    retention = SqlRetention(database, clock)
    assert retention.mark_for_removal(retention.list_with_images()) == [study.study_uid]
    assert commitments.find_instances(known) == {}


# -- as SCU


def test_a_recorded_request_stores_the_delivery(
    requests: CommitmentRequests, ledger: SqlLedger
) -> None:
    _, (delivery,) = assessed(ledger)
    assert requests.record_request(delivery, TRANSACTION, "0x0000 Success")
    stored, is_latest = requests.find_request(TRANSACTION) or (None, None)
    assert stored == ledger.get_delivery(delivery)
    assert stored is not None
    assert (stored.state, stored.last_answer) == (DeliveryState.STORED, "0x0000 Success")
    assert is_latest
    assert requests.find_request("2.25.101") is None


def test_a_later_request_is_the_latest_one(requests: CommitmentRequests, ledger: SqlLedger) -> None:
    _, (delivery,) = assessed(ledger)
    requests.record_request(delivery, TRANSACTION, "0x0000 Success")
    assert not requests.was_asked_again(delivery)
    assert requests.record_request(delivery, "2.25.101", None)
    assert requests.was_asked_again(delivery)
    latest = {
        uid: (requests.find_request(uid) or (0, None))[1] for uid in (TRANSACTION, "2.25.101")
    }
    assert latest == {TRANSACTION: False, "2.25.101": True}
    requests.record_request(delivery, "2.25.102", "0x0000 Success")
    assert not requests.was_asked_again(delivery)


def test_a_delivery_that_has_ended_never_moves_back(
    requests: CommitmentRequests, ledger: SqlLedger
) -> None:
    _, (delivery,) = assessed(ledger)
    ledger.record_delivered(delivery, "committed")
    assert not requests.record_request(delivery, TRANSACTION, "0x0000 Success")
    requests.postpone(delivery, "no report", 1)
    found = ledger.get_delivery(delivery)
    assert found is not None
    assert (found.state, found.last_answer) == (DeliveryState.DELIVERED, "committed")
    assert requests.find_request(TRANSACTION) is None


def test_a_postponed_delivery_is_due_again_later(
    requests: CommitmentRequests, ledger: SqlLedger, clock: FakeClock
) -> None:
    _, (delivery,) = assessed(ledger)
    requests.record_request(delivery, TRANSACTION, "0x0000 Success")
    requests.postpone(delivery, "no report yet", 3600)
    assert ledger.claim_delivery(delivery, 30) is None
    clock.pass_s(3600)
    claimed = ledger.claim_delivery(delivery, 30)
    assert claimed is not None
    assert (claimed.state, claimed.last_answer) == (DeliveryState.STORED, "no report yet")


def test_an_unreachable_archive_is_an_outage(
    requests: CommitmentRequests, ledger: SqlLedger
) -> None:
    _, (delivery,) = assessed(ledger)
    requests.record_request(delivery, TRANSACTION, "0x0000 Success")
    requests.postpone(delivery, "it does not answer", 60, unreachable=True)
    (outage,) = ledger.list_outages()
    assert (outage.destination, outage.last_answer) == ("pacs", "it does not answer")
    requests.postpone(delivery, "no report yet", 60)
    assert ledger.list_outages() == []
