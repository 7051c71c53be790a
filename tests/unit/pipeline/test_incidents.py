from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.ledgers import SOURCE
from tests.fakes import FakeClock
from triage.domain.errors import LedgerUnavailable
from triage.domain.instance import Source
from triage.pipeline.incidents import MORE, REASONS_MAX, IncidentReporter
from triage.store.ledger import SqlLedger

KIND = "rejected association"


def rows(ledger: SqlLedger) -> Sequence[tuple[Any, ...]]:
    return [(row.detail, row.calling_ae, row.times) for row in ledger.incidents(100)]


def test_the_same_again_is_one_row_with_a_count(ledger: SqlLedger) -> None:
    repeated = IncidentReporter(ledger)
    repeated.report(KIND, "unknown", SOURCE)
    assert rows(ledger) == [("unknown", "PACS", 1)]  # at once
    for _ in range(500):
        repeated.report(KIND, "unknown", SOURCE)
    assert rows(ledger) == [("unknown", "PACS", 1)]  # no write for each
    repeated.flush()
    repeated.flush()
    assert rows(ledger) == [("unknown", "PACS", 501)]


def test_what_comes_back_after_a_while_joins_its_row_and_is_told_at_once(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    repeated = IncidentReporter(ledger)
    repeated.report(KIND, "unknown", SOURCE)
    repeated.flush()
    clock.pass_s(3600)
    repeated.report(KIND, "unknown", SOURCE)
    (row,) = ledger.incidents()
    assert (row.times, row.at) == (2, clock.now())


def test_a_day_later_it_is_another_incident(ledger: SqlLedger, clock: FakeClock) -> None:
    for _ in range(2):
        IncidentReporter(ledger).report(KIND, "unknown", SOURCE)
        clock.pass_s(86_401)
    assert [times for *_, times in rows(ledger)] == [1, 1]


def test_who_tries_every_title_gets_a_few_rows_and_one_for_the_rest(ledger: SqlLedger) -> None:
    repeated = IncidentReporter(ledger)
    for number in range(1000):
        repeated.report(KIND, "unknown", Source(f"TRY{number}", "10.0.0.9"))
        if number % 100 == 0:
            repeated.flush()
    repeated.flush()
    found = rows(ledger)
    assert len(found) == REASONS_MAX + 1
    assert (MORE, "", 1000 - REASONS_MAX) in found


def test_another_address_is_not_lost_in_the_noise_of_one(ledger: SqlLedger) -> None:
    repeated = IncidentReporter(ledger)
    for number in range(50):
        repeated.report(KIND, "unknown", Source(f"TRY{number}", "10.0.0.9"))
    repeated.report(KIND, "unknown", Source("MR1", "10.0.0.8"))
    assert ("unknown", "MR1", 1) in rows(ledger)


def test_a_ledger_that_is_away_does_not_keep_anybody_from_being_rejected(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(ledger, "report_repeated", away)
    repeated = IncidentReporter(ledger)
    repeated.report(KIND, "unknown", SOURCE)
    repeated.flush()
