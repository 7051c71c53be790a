"""Storage commitment reports: their content, and when they are repeated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.builders.evidence_collectors import ImmediateExecutor
from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE
from tests.fakes import FakeClock
from triage.domain.commitment import CommitmentReport, FailureReason, Reference
from triage.domain.errors import DeliveryFailed
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import SAME_ASSOCIATION_S, CommitmentScp
from triage.store.commitments import SqlCommitments
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"


class ReportedCommitments:
    """A requestor that can be away."""

    def __init__(self) -> None:
        self.reports: list[CommitmentReport] = []
        self.away = False

    def __call__(self, report: CommitmentReport) -> None:
        if self.away:
            raise DeliveryFailed("away")
        self.reports.append(report)


@pytest.fixture
def ledger(database_url: str, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger(Database(database_url), clock)
    yield opened
    opened.close()


@pytest.fixture
def told() -> ReportedCommitments:
    return ReportedCommitments()


@pytest.fixture
def committer(
    ledger: SqlLedger, clock: FakeClock, told: ReportedCommitments, tmp_path: Path
) -> CommitmentScp:
    requests = SqlCommitments(ledger._database, clock)
    return CommitmentScp(
        requests, ledger, FileSpool(tmp_path), {"MR1": told}, ImmediateExecutor(), 3
    )


@pytest.fixture
def kept(ledger: SqlLedger, tmp_path: Path) -> list[Path]:
    """Keep three instances and return their files."""
    intake = Intake(FileSpool(tmp_path), ledger)
    receipts = [intake.accept(part10(image(number=n)), SOURCE) for n in range(3)]
    return [tmp_path / "spool" / each.path for each in receipts]


def reference(number: int, sop_class: str = MR) -> Reference:
    return Reference(sop_class, uid("study", "series", number))


def asked(committer: CommitmentScp, references: Sequence[Reference], who: str = "MR1") -> None:
    committer.accept_request(who, "1.2.3", references)


def test_10_only_what_is_on_disk_as_it_came_is_committed_to(
    committer: CommitmentScp, told: ReportedCommitments, clock: FakeClock, kept: list[Path]
) -> None:
    kept[1].chmod(0o600)
    kept[1].write_bytes(b"other")
    kept[2].unlink()
    asked(committer, [reference(0), reference(1), reference(2), reference(0, CT), reference(9)])
    clock.pass_s(SAME_ASSOCIATION_S)
    committer.tick()
    (report,) = told.reports
    assert report.transaction_uid == "1.2.3"
    assert report.committed == (reference(0),)
    assert report.failed == (
        (reference(1), FailureReason.PROCESSING_FAILURE),
        (reference(2), FailureReason.PROCESSING_FAILURE),
        (reference(0, CT), FailureReason.CLASS_INSTANCE_CONFLICT),
        (reference(9), FailureReason.NO_SUCH_OBJECT_INSTANCE),
    )


def test_a_report_is_owed_until_it_is_acknowledged_with_growing_pauses(
    committer: CommitmentScp, told: ReportedCommitments, clock: FakeClock
) -> None:
    told.away = True
    asked(committer, [reference(0)])
    committer.tick()  # the association of the request has its time first
    clock.pass_s(SAME_ASSOCIATION_S)
    committer.tick()
    told.away = False
    committer.tick()
    assert not told.reports
    clock.pass_s(5)
    committer.tick()
    committer.tick()
    assert len(told.reports) == 1


def test_a_defect_is_not_met_again_every_second_and_loses_no_debt(
    committer: CommitmentScp,
    told: ReportedCommitments,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked(committer, [reference(0)])
    clock.pass_s(SAME_ASSOCIATION_S)
    with monkeypatch.context() as patch:
        patch.setattr(committer, "requestors", {"MR1": lambda _: 1 / 0})
        committer.tick()
    committer.tick()
    assert not told.reports
    clock.pass_s(5)
    committer.tick()
    assert len(told.reports) == 1


def test_a_requestor_that_stays_away_is_given_up_and_the_administrator_sees_it(
    committer: CommitmentScp, told: ReportedCommitments, clock: FakeClock, ledger: SqlLedger
) -> None:
    told.away = True
    asked(committer, [reference(0)])
    for _ in range(5):
        clock.pass_s(600)
        committer.tick()
    (incident,) = ledger.incidents()
    assert (incident.kind, incident.calling_ae) == ("commitment not reported", "MR1")
    assert incident.detail == "transaction 1.2.3: 3 attempts failed"
    assert not committer.requests.list_due()


def test_a_requestor_without_an_address_is_told_on_its_own_association_or_not_at_all(
    committer: CommitmentScp, told: ReportedCommitments, clock: FakeClock, ledger: SqlLedger
) -> None:
    first = committer.accept_request("PACS", "1.2.4", [reference(0)])
    committer.report(first, told)
    assert len(told.reports) == 1
    asked(committer, [reference(0)], "PACS")
    clock.pass_s(SAME_ASSOCIATION_S)
    committer.tick()
    (incident,) = ledger.incidents()
    assert "no address is configured" in incident.detail


def test_what_could_not_be_told_on_the_same_association_is_due_at_once(
    committer: CommitmentScp, told: ReportedCommitments
) -> None:
    told.away = True
    committer.report(committer.accept_request("MR1", "1.2.3", [reference(0)]), told)
    told.away = False
    committer.tick()
    assert len(told.reports) == 1


def test_3_what_is_owed_survives_a_restart_and_the_same_request_again_is_one_debt(
    committer: CommitmentScp, clock: FakeClock, database_url: str
) -> None:
    asked(committer, [reference(0)])
    asked(committer, [reference(0), reference(1)])
    clock.pass_s(SAME_ASSOCIATION_S)
    again = SqlCommitments(Database(database_url), clock)
    (owed,) = again.list_due()
    assert owed.references == (reference(0), reference(1))
    again.close()
