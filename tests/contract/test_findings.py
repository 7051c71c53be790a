"""Contract of the versions of findings: in memory, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from tests.builders.calibrations import by_budget, labelled
from tests.fakes import FakeFindingLedger
from triage.domain.finding_version import (
    ChangeNote,
    FindingState,
    FindingVersion,
    ask_for_activation,
    calibrate,
    drop_calibration,
    edit,
    move,
    open_version,
)
from triage.ports.findings import FindingLedger
from triage.store.database import Database
from triage.store.findings import SqlFindings

ANNA = ChangeNote("anna", 1_000_000.5, "Über 30 % \N{ALEMBIC}")
FIRST = open_version("lv_dilation", '{"name":"LV"}', ANNA)
OTHER = open_version("lge", '{"name":"LGE"}', ANNA, is_in_use=True)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def findings(request: pytest.FixtureRequest) -> Iterator[FindingLedger]:
    if request.param == "memory":
        yield FakeFindingLedger()
        return
    server_url = (
        f"sqlite:///{request.getfixturevalue('tmp_path') / 'ledger.sqlite'}"
        if request.param == "sqlite"
        else request.getfixturevalue("server").new_database()
    )
    with closing(SqlFindings(Database(server_url))) as opened:
        yield opened


def life_of(first: FindingVersion) -> list[FindingVersion]:
    silent = move(first, FindingState.SILENT, ANNA)
    asked = ask_for_activation(silent, replace(ANNA, at=1_000_001.0))
    active = move(asked, FindingState.ACTIVE, replace(ANNA, author="ben"))
    return [first, silent, asked, active, edit(active, '{"name":"left"}', ANNA)]


def test_a_new_ledger_has_no_findings(findings: FindingLedger) -> None:
    assert (findings.get_revision(), findings.list_versions()) == (0, [])


def test_versions_are_kept_as_they_were_appended(findings: FindingLedger) -> None:
    appended = [OTHER, *life_of(FIRST)]
    for version in appended:
        assert findings.append([version], findings.get_revision())
    assert findings.list_versions() == appended


def test_calibrations_are_kept_as_they_were_made(findings: FindingLedger) -> None:
    first = calibrate(OTHER, labelled(OTHER, 40, 30), ANNA)
    budget = calibrate(first, by_budget(first), ANNA)
    appended = [OTHER, first, budget, drop_calibration(budget, ANNA)]
    assert findings.append(appended, findings.get_revision())
    assert findings.list_versions() == appended


def test_every_change_increases_the_revision(findings: FindingLedger) -> None:
    seen = [findings.get_revision()]
    for version in life_of(FIRST):
        findings.append([version], seen[-1])
        seen.append(findings.get_revision())
    assert seen == sorted({*seen})


def test_a_change_of_an_older_revision_changes_nothing(findings: FindingLedger) -> None:
    assert findings.append([FIRST, OTHER], 0)
    assert not findings.append([edit(FIRST, "{}", ANNA)], 0)
    assert findings.list_versions() == [FIRST, OTHER]


def test_one_of_two_changes_at_the_same_time_is_made(findings: FindingLedger) -> None:
    findings.append([FIRST], 0)
    revision = findings.get_revision()
    drafts = [edit(FIRST, f'{{"name":"{number}"}}', ANNA) for number in range(4)]
    with ThreadPoolExecutor(len(drafts)) as pool:
        made = list(pool.map(lambda draft: findings.append([draft], revision), drafts))
    assert sum(made) == 1
    assert findings.list_versions() == [FIRST, drafts[made.index(True)]]
