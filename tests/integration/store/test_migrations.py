"""Migration of ledgers of earlier releases to this one, without losses."""

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from triage.domain.errors import ConfigurationError
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.migrations import revision_of
from triage.store.schema import metadata

#: Written by the first release, and by the last release without revisions.
LEDGERS = Path(__file__).parents[2] / "golden" / "ledgers"
OLD = sorted(path.stem for path in LEDGERS.glob("*.sql"))
OPENING = 6


@pytest.fixture(params=OLD)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path, request.param)


def written(folder: Path, name: str) -> Path:
    path = SqlLedger.path_in(folder)
    with closing(sqlite3.connect(path)) as file:
        file.executescript((LEDGERS / f"{name}.sql").read_text())
    return path


def differences(url: str) -> list[Any]:
    """Return the differences between a database and the schema."""
    database = Database(url)
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    return list(found)


def test_migrating_an_empty_database_yields_the_schema(database_url: str) -> None:
    assert differences(database_url) == []


@pytest.mark.parametrize(
    "change", ["ALTER TABLE incidents DROP COLUMN times", "DROP INDEX instances_by_uid"]
)
def test_a_missing_step_is_detected(database_url: str, change: str) -> None:
    database = Database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql(change)
    database.close()
    assert len(differences(database_url)) == 1


def opened(url: str) -> None:
    Database(url).close()


def test_processes_that_start_at_the_same_time_migrate_once(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    starting = [spawn.Process(target=opened, args=(database_url,)) for _ in range(OPENING)]
    for process in starting:
        process.start()
    for process in starting:
        process.join(60)
    assert [process.exitcode for process in starting] == [0] * OPENING
    assert differences(database_url) == []


@pytest.fixture
def newer(database_url: str) -> str:
    database = Database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("ALTER TABLE studies ADD COLUMN moon INTEGER")
    database.close()
    return database_url


def test_the_ledger_of_a_newer_release_is_refused_unchanged(newer: str) -> None:
    with pytest.raises(ConfigurationError, match=r"has written the ledger: it has revision 9999"):
        Database(newer)
    there = Database(newer, ledger=False)
    assert there.revision() == "9999"
    with there.reading() as connection:
        assert connection.exec_driver_sql("SELECT moon FROM studies").all() == []
    there.close()


def test_revision_is_none_without_tables_and_empty_for_an_old_ledger(
    database_url: str, tmp_path: Path
) -> None:
    bare = Database(database_url, ledger=False)
    assert bare.revision() is None
    bare.close()
    (tmp_path / "old").mkdir()
    early = Database(f"sqlite:///{written(tmp_path / 'old', OLD[0])}", ledger=False)
    with early.reading() as connection:
        assert revision_of(connection) == ""
    early.close()
