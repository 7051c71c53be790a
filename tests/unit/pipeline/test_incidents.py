from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.ledgers import SOURCE
from tests.fakes import FakeClock
from triage.domain.errors import LedgerUnavailable
from triage.domain.incident import Incident, IncidentKind
from triage.domain.instance import Source
from triage.pipeline.incidents import (
    FILES_MAX,
    MORE,
    MORE_FILES,
    REASONS_MAX,
    IncidentReporter,
)
from triage.store.ledger import SqlLedger


def rejection(source: Source) -> Incident:
    return Incident(IncidentKind.REJECTED_ASSOCIATION, "unknown", source)


def rows(ledger: SqlLedger) -> Sequence[tuple[Any, ...]]:
    return [(row.detail, row.calling_ae, row.times) for row in ledger.incidents(100)]


def test_a_repeated_incident_is_one_row_with_a_count(ledger: SqlLedger) -> None:
    reporter = IncidentReporter(ledger)
    reporter.report(rejection(SOURCE))
    assert rows(ledger) == [("unknown", "PACS", 1)]  # at once
    for _ in range(500):
        reporter.report(rejection(SOURCE))
    assert rows(ledger) == [("unknown", "PACS", 1)]  # no write for each
    reporter.flush()
    reporter.flush()
    assert rows(ledger) == [("unknown", "PACS", 501)]


def test_an_incident_that_returns_within_a_day_is_counted_on_its_row_at_once(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    reporter = IncidentReporter(ledger)
    reporter.report(rejection(SOURCE))
    reporter.flush()
    clock.pass_s(3600)
    reporter.report(rejection(SOURCE))
    (row,) = ledger.incidents()
    assert (row.times, row.at) == (2, clock.now())


def test_an_incident_a_day_later_gets_a_new_row(ledger: SqlLedger, clock: FakeClock) -> None:
    for _ in range(2):
        IncidentReporter(ledger).report(rejection(SOURCE))
        clock.pass_s(86_401)
    assert [times for *_, times in rows(ledger)] == [1, 1]


def test_an_address_that_tries_every_title_gets_a_few_rows_and_one_for_the_rest(
    ledger: SqlLedger,
) -> None:
    reporter = IncidentReporter(ledger)
    for number in range(1000):
        reporter.report(rejection(Source(f"TRY{number}", "10.0.0.9")))
        if number % 100 == 0:
            reporter.flush()
    reporter.flush()
    found = rows(ledger)
    assert len(found) == REASONS_MAX + 1
    assert (MORE, "", 1000 - REASONS_MAX) in found


def test_a_host_that_uses_every_address_of_its_subnet_gets_no_more_rows(ledger: SqlLedger) -> None:
    reporter = IncidentReporter(ledger)
    for number in range(500):
        reporter.report(rejection(Source("SCAN", f"2001:db8:0:1::{number:x}")))
    reporter.report(rejection(Source("MR1", "2001:db8:0:2::1")))
    reporter.flush()
    found = ledger.incidents(1000)
    assert len(found) == REASONS_MAX + 1 + 1
    (rest,) = (row for row in found if row.detail == MORE)
    assert (rest.address, rest.times) == ("2001:db8:0:1::/64", 500 - REASONS_MAX)


def test_a_sender_of_endless_damaged_files_gets_a_row_for_the_first_and_one_for_the_rest(
    ledger: SqlLedger,
) -> None:
    reporter = IncidentReporter(ledger)
    refused = Incident(IncidentKind.REFUSED_INSTANCE, "damaged", SOURCE)
    for number in range(3 * FILES_MAX):
        reporter.report_file(refused, f"quarantine/{number}.bin")
    reporter.report_file(refused, "quarantine/0.bin")  # sent again
    reporter.flush()
    found = ledger.incidents(1000)
    assert len(found) == FILES_MAX + 1
    assert [row.times for row in found if row.detail == MORE_FILES] == [2 * FILES_MAX]
    assert [row.times for row in found if row.path == "quarantine/0.bin"] == [2]


def test_another_address_keeps_rows_of_its_own(ledger: SqlLedger) -> None:
    reporter = IncidentReporter(ledger)
    for number in range(50):
        reporter.report(rejection(Source(f"TRY{number}", "10.0.0.9")))
    reporter.report(rejection(Source("MR1", "10.0.0.8")))
    assert ("unknown", "MR1", 1) in rows(ledger)


def test_an_unavailable_ledger_does_not_stop_rejections(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(ledger, "report_repeated", away)
    reporter = IncidentReporter(ledger)
    reporter.report(rejection(SOURCE))
    reporter.flush()
