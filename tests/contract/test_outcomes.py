"""Contract of the outcomes, on every kind of database."""

from collections.abc import Sequence

import pytest
from sqlalchemy import update

from tests.contract.ledgers import SOURCE, numbered_receipt
from tests.fakes import FakeClock
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.domain.outcome import (
    FindingOutcome,
    OutcomeStatus,
    ReportedOutcomes,
    ReportRank,
    ReportResult,
)
from triage.ports.outcomes import Outcomes
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.outcomes import KEPT_S, SqlOutcomes
from triage.store.schema import studies

SCAR = FindingOutcome("lge", OutcomeStatus.PRESENT, "Scar of the inferior wall.")
NO_SCAR = FindingOutcome("lge", OutcomeStatus.ABSENT, "No scar.")
DILATED = FindingOutcome("lv_dilation", OutcomeStatus.PRESENT, "Dilated LV.")
SENDER = Source("RIS", "10.1.2.3")


@pytest.fixture
def study_uid(database: Database, clock: FakeClock) -> str:
    return store_study(database, clock, 1, "A4711")


def store_study(database: Database, clock: FakeClock, number: int, accession: str) -> str:
    study_uid = f"1.2.{number}"
    receipt = numbered_receipt(study_uid, 1)
    SqlLedger(database, clock).record_instance(receipt, SOURCE)
    mine = studies.c.study_uid == study_uid
    with database.writing() as connection:
        connection.execute(update(studies).where(mine).values(accession_number=accession))
    return study_uid


@pytest.fixture
def outcomes(database: Database, clock: FakeClock) -> Outcomes:
    return SqlOutcomes(database, clock)


def report(*found: FindingOutcome, **values: object) -> ReportedOutcomes:
    return ReportedOutcomes(
        **{"study_uid": "", "accessions": ["A4711"], "outcomes": found} | values  # type: ignore[arg-type]
    )


def record(outcomes: Outcomes, control_id: str, each: ReportedOutcomes) -> Sequence[ReportResult]:
    return outcomes.record_message(SENDER, control_id, [each]).results


def test_outcomes_are_found_by_study_after_a_report_with_its_number(
    outcomes: Outcomes, study_uid: str
) -> None:
    assert outcomes.list_outcomes(study_uid) == []
    assert record(outcomes, "1", report(SCAR, DILATED)) == [ReportResult.STORED]
    assert outcomes.list_outcomes(study_uid) == [SCAR, DILATED]


def test_a_message_that_is_sent_again_changes_nothing(outcomes: Outcomes, study_uid: str) -> None:
    record(outcomes, "1", report(SCAR))
    again = outcomes.record_message(SENDER, "1", [report(NO_SCAR)])
    assert again.is_repeated
    assert again.results == [ReportResult.STORED]
    assert outcomes.list_outcomes(study_uid) == [SCAR]
    other_sender = outcomes.record_message(Source("PACS", "10.1.2.4"), "1", [report(NO_SCAR)])
    assert other_sender.results == [ReportResult.REPLACED]


def test_a_correction_replaces_all_former_outcomes_and_no_final_report_replaces_it(
    outcomes: Outcomes, study_uid: str
) -> None:
    record(outcomes, "1", report(SCAR, DILATED, moment="202601010800"))
    corrected = report(NO_SCAR, rank=ReportRank.CORRECTED, moment="202601020800")
    assert record(outcomes, "2", corrected) == [ReportResult.REPLACED]
    assert record(outcomes, "3", report(SCAR, moment="202601030800")) == [ReportResult.OUTDATED]
    assert outcomes.list_outcomes(study_uid) == [NO_SCAR]


def test_an_older_report_that_comes_late_is_not_stored(outcomes: Outcomes, study_uid: str) -> None:
    record(outcomes, "1", report(SCAR, moment="202601020800"))
    assert record(outcomes, "2", report(NO_SCAR, moment="202601010800")) == [ReportResult.OUTDATED]
    assert outcomes.list_outcomes(study_uid) == [SCAR]


def test_a_withdrawn_report_leaves_no_outcome(outcomes: Outcomes, study_uid: str) -> None:
    record(outcomes, "1", report(SCAR))
    withdrawn = report(is_withdrawn=True, rank=ReportRank.CORRECTED)
    assert record(outcomes, "2", withdrawn) == [ReportResult.WITHDRAWN]
    assert outcomes.list_outcomes(study_uid) == []


def test_a_report_without_its_study_or_with_several_is_not_stored(
    outcomes: Outcomes, study_uid: str, database: Database, clock: FakeClock
) -> None:
    assert record(outcomes, "1", report(SCAR, accessions=["B1", "B2"])) == [ReportResult.NO_STUDY]
    # The same number, and a Study Instance UID that is not here: another hospital's study.
    assert record(outcomes, "2", report(SCAR, study_uid="9.9")) == [ReportResult.NO_STUDY]
    other = store_study(database, clock, 2, "A4711")
    assert record(outcomes, "3", report(SCAR)) == [ReportResult.SEVERAL_STUDIES]
    assert record(outcomes, "4", report(SCAR, study_uid=other)) == [ReportResult.STORED]
    assert outcomes.list_outcomes(study_uid) == []


def test_old_messages_are_forgotten_and_outcomes_stay(
    outcomes: Outcomes, study_uid: str, clock: FakeClock
) -> None:
    record(outcomes, "1", report(SCAR))
    clock.pass_s(KEPT_S + 1)
    record(outcomes, "2", report(SCAR))
    assert not outcomes.record_message(SENDER, "1", [report(SCAR)]).is_repeated
    assert outcomes.list_outcomes(study_uid) == [SCAR]


def test_a_report_without_its_study_is_an_incident_with_a_count(
    outcomes: Outcomes, database: Database, clock: FakeClock
) -> None:
    record(outcomes, "1", report(SCAR))
    record(outcomes, "2", report(SCAR))
    outcomes.report_refused("no OBR segment", SENDER)
    incidents = SqlLedger(database, clock).incidents()
    found = {(each.kind, each.detail): each.times for each in incidents}
    assert found == {
        (IncidentKind.REPORT_WITHOUT_STUDY, "no such study"): 2,
        (IncidentKind.REPORT_REFUSED, "no OBR segment"): 1,
    }
