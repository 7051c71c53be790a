"""Migration of ledgers of earlier releases to this one, without losses."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from tests.contract.ledgers import SOURCE, receipt
from tests.fakes import FakeClock
from triage.domain.delivery import DeliveryState
from triage.domain.errors import LedgerUnavailable
from triage.domain.study import Event, State
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD
from triage.store.migrations.steps import open_script, run_missing_steps
from triage.store.schema import metadata

#: Written by the first release, and by the last release without revisions.
LEDGERS = Path(__file__).parents[2] / "golden" / "ledgers"
OLD = sorted(path.stem for path in LEDGERS.glob("*.sql"))


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path, request.param)


def written(folder: Path, name: str) -> Path:
    path = SqlLedger.path_in(folder)
    with closing(sqlite3.connect(path)) as file:
        file.executescript((LEDGERS / f"{name}.sql").read_text())
    return path


def all_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, as columns by name."""
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        names = [
            name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")]  # noqa: S608
            for name in names
        }


def differences(url: str) -> list[Any]:
    """Return the differences between a database and the schema."""
    database = Database(url)
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    return list(found)


def describe_tables(url: str) -> dict[str, Any]:
    """Open a ledger and return the columns, defaults, keys and indexes of its tables."""
    database = Database(url)
    with database.reading() as connection:
        at = inspect(connection)
        found = {
            name: (
                {
                    c["name"]: (str(c["type"]), c["nullable"], c["default"])
                    for c in at.get_columns(name)
                },
                at.get_pk_constraint(name)["constrained_columns"],
                sorted(map(str, at.get_unique_constraints(name))),
                sorted(map(str, at.get_indexes(name))),
            )
            for name in at.get_table_names()
        }
    database.close()
    return found


def test_migrating_an_old_ledger_yields_the_schema(old: Path) -> None:
    assert differences(f"sqlite:///{old}") == []


def test_a_new_ledger_has_the_tables_that_all_steps_make(tmp_path: Path) -> None:
    at_once, by_steps = (f"sqlite:///{tmp_path / name}.sqlite" for name in ("at_once", "by_steps"))
    database = Database(by_steps, ledger=False)
    with database.writing() as connection:
        run_missing_steps(connection)
    database.close()
    assert describe_tables(at_once) == describe_tables(by_steps)


def test_head_is_the_last_of_one_line_of_steps() -> None:
    script = open_script()
    assert script.get_heads() == [HEAD]
    assert script.get_bases() == ["0001"]


def test_no_row_of_an_old_ledger_is_lost_or_changed(old: Path) -> None:
    before = all_rows(old)
    Database(f"sqlite:///{old}").close()
    after = all_rows(old)
    for name, rows in before.items():
        kept = [
            {column: row[column] for column in known}
            for row, known in zip(after[name], rows, strict=True)
        ]
        assert kept == rows, name
    assert sum(map(len, before.values())) > 40


def test_work_in_an_old_ledger_continues(old: Path, clock: FakeClock) -> None:
    clock.at = 1_700_001_000.0  # every lease has expired
    ledger = SqlLedger.in_folder(old.parent, clock)
    states = {study.study_uid: study.state for study in ledger.list_studies()}
    assert states == {
        "2.25.1": State.RECEIVING,
        "2.25.2": State.READY,
        "2.25.3": State.ASSESSING,
        "2.25.4": State.ASSESSED,
        "2.25.5": State.DELIVERED,
        "2.25.6": State.FAILED,
    }
    assert [study.study_uid for study in ledger.list_unsent_studies(None)] == ["2.25.2"]
    assert [study.study_uid for study in ledger.list_expired()] == ["2.25.3"]
    (due,) = ledger.list_unsent_deliveries(None)
    taken = ledger.claim_delivery(due, 60)
    assert taken is not None
    assert taken.product.content == b"report \x00 of 2.25.4"
    ledger.record_delivered(due, "0x0000 Success")
    ended = ledger.get_study("2.25.4", 1)
    assert ended is not None
    assert ended.state is State.DELIVERED
    failed = ledger.get_study("2.25.6", 1)
    assert failed is not None
    assert ledger.list_deliveries("2.25.6", 1)[0].state is DeliveryState.FAILED
    assert ledger.move(failed, Event.REPLAYED, "asked for")
    assert ledger.record_instance(receipt(), SOURCE).revision == 1
    ledger.close()


def test_a_failing_step_leaves_the_ledger_unchanged(tmp_path: Path) -> None:
    old = written(tmp_path, "first_release")
    with closing(sqlite3.connect(old)) as file:  # prevents the creation of an index
        file.execute("CREATE TABLE announcements_by_time (x)")
    before = all_rows(old)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            Database(f"sqlite:///{old}")
    assert all_rows(old) == before
