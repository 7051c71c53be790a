"""The database of a site's ledger, and the errors if it cannot be used."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import make_url

from tests.contract.ledgers import SOURCE, receipt
from tests.integration.postgres import Postgres
from triage.cli.demo_site import find_free_port
from triage.config import Settings
from triage.domain.case import Case
from triage.domain.errors import ConfigurationError, LedgerUnavailable, NotFound
from triage.runtime.clock import SystemClock
from triage.runtime.databases import describe_ledger_revision
from triage.runtime.model import open_model
from triage.runtime.services import Services
from triage.runtime.storage import await_ledger, open_existing_ledger, open_fittings, open_ledger
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD
from triage.store.vector_library import PgVectorLibrary

FIRST_RELEASE = Path(__file__).parents[2] / "golden" / "ledgers" / "first_release.sql"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Return those of a site that has not run; on SQLite its ledger is in the state folder."""
    url = database_url if database_url.startswith("postgresql") else None
    return Settings(state_dir=tmp_path, ledger=url)


@pytest.fixture
def on_server(server: Postgres, tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, ledger=server.new_database())


def test_reading_creates_no_ledger(settings: Settings) -> None:
    for _ in range(2):
        assert describe_ledger_revision(settings).startswith("none yet; the worker creates it")
        with pytest.raises(NotFound, match="there is no ledger in"):
            open_existing_ledger(settings)
    open_model(settings, cache=None)
    assert not any(settings.state_dir.iterdir())


def test_the_revision_of_a_ledger_is_described(settings: Settings) -> None:
    await_ledger(settings)
    open_existing_ledger(settings).close()
    assert describe_ledger_revision(settings).startswith(f"revision {HEAD}, ")


def test_describing_an_old_ledger_does_not_change_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(SqlLedger.path_in(tmp_path))) as file:
        file.executescript(FIRST_RELEASE.read_text())
    settings = Settings(state_dir=tmp_path)
    for _ in range(2):
        description = describe_ledger_revision(settings)
        assert description.startswith("older than the first revision")
        assert description.endswith(f"the worker migrates it to {HEAD} when it starts")
        open_model(settings, cache=None)
    await_ledger(settings)
    assert describe_ledger_revision(settings).startswith(f"revision {HEAD}, ")


def test_a_ledger_of_a_newer_release_is_an_error(settings: Settings, database_url: str) -> None:
    await_ledger(settings)
    database = Database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for ask in (describe_ledger_revision, await_ledger):
        with pytest.raises(ConfigurationError, match="a newer release has written the ledger"):
            ask(settings)


def test_a_ledger_on_a_server_leaves_nothing_in_the_state_folder(
    on_server: Settings,
) -> None:
    services = Services(on_server, "redis://nowhere")
    services.ledger.record_instance(receipt(), SOURCE)
    assert services.announcements.find_by_study("1.2") is None
    commitment_scp = services.build_commitment_scp()
    assert commitment_scp is not None
    fittings = open_fittings(on_server)
    assert fittings.find_by_bundle("one") == {}
    fittings._database.close()
    other = open_ledger(on_server, SystemClock())
    assert other.list_known_paths() == {"study/1.dcm"}
    other.close()
    services.ledger.close()
    assert not list(on_server.state_dir.glob("*.sqlite*"))


def test_a_case_library_may_be_in_the_same_database(on_server: Settings) -> None:
    assert on_server.ledger is not None
    library = PgVectorLibrary(on_server.ledger, "b" * 64, 4)
    assert describe_ledger_revision(on_server).startswith("none yet")
    await_ledger(on_server)
    library.add(Case("1.2.3", "patient"), np.eye(4, dtype=np.float32)[0])
    assert library.forget_patient("patient") == 1
    library.close()
    fittings = open_fittings(on_server)
    assert fittings.forget_patient("patient") == []
    fittings._database.close()
    assert describe_ledger_revision(on_server).startswith(f"revision {HEAD}, ")


def test_a_start_waits_for_a_server_that_is_down(
    on_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_server.ledger is not None
    away = on_server.model_copy(
        update={"ledger": f"postgresql+psycopg://u:hush@127.0.0.1:{find_free_port()}/db"}
    )
    with pytest.raises(LedgerUnavailable, match="ledger did not answer") as error:
        describe_ledger_revision(away)
    assert "hush" not in str(error.value)
    waited: list[float] = []

    def comes_back(seconds: float) -> None:
        waited.append(seconds)
        on_time = Database(str(on_server.ledger))
        monkeypatch.setattr("triage.runtime.storage.open_database", lambda _: on_time)

    monkeypatch.setattr("triage.runtime.storage.time.sleep", comes_back)
    await_ledger(away)
    assert len(waited) == 1


def test_a_user_without_rights_is_an_error_that_names_the_rights(
    on_server: Settings, server: Postgres
) -> None:
    assert on_server.ledger is not None
    database = make_url(on_server.ledger).database
    server.run(f"CREATE ROLE guest_{database} LOGIN")
    guest = on_server.ledger.replace("postgres:@", f"guest_{database}@")
    with pytest.raises(ConfigurationError, match=r"the server refused \(InsufficientPrivilege\)"):
        await_ledger(on_server.model_copy(update={"ledger": guest}))


def test_an_invalid_url_is_not_repeated(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, ledger="postgresql+psycopg://u:hush@localhost:x/db")
    with pytest.raises(ConfigurationError, match="ledger is no URL") as error:
        describe_ledger_revision(settings)
    assert "hush" not in str(error.value)
