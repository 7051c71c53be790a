"""Fits in the ledger's database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.postgres import Postgres
from triage.domain.errors import ConfigurationError
from triage.model.fitted import FewShot, Fitted
from triage.store.database import Database
from triage.store.fittings import SqlFittings

Files = Callable[[], bytes]
MARK = 0.123456789012345
THEIRS = 0.987654321012345  #: in no other test's database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def files(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Files:
    """Return what reads all files of the database but the write-ahead log of a server."""

    def read() -> bytes:
        folder = tmp_path
        if database_url.startswith("postgresql"):
            server: Postgres = request.getfixturevalue("server")
            server.run("CHECKPOINT")
            folder = server.folder
        paths = [each for each in folder.rglob("*") if each.is_file()]
        return b"".join(each.read_bytes() for each in paths if "pg_wal" not in each.parts)

    return read


def fitted(finding: str = "thick", threshold: float = 0.0) -> Fitted:
    return Fitted(
        finding=finding,
        asked="a" * 64,
        examples={"1.2.3": "b" * 64},
        fit=FewShot(centre=(0.0, 1.0), present=(MARK, 0.5), absent=(0.0, 0.25)),
        threshold=threshold,
    )


def test_a_fit_comes_back_to_its_own_bundle(database: Database) -> None:
    fittings = SqlFittings(database)
    fittings.keep("one", fitted(), ["p"])
    fittings.keep("other", fitted("thin"), ["p"])
    assert fittings.of_bundle("one") == {"thick": fitted()}
    fittings.keep("one", fitted(threshold=0.5), ["p"])
    assert fittings.of_bundle("one")["thick"].threshold == 0.5
    assert SqlFittings(database).of_bundle("none") == {}


def test_a_fit_can_be_dropped(database: Database) -> None:
    fittings = SqlFittings(database)
    fittings.keep("one", fitted(), ["p"])
    assert fittings.drop("one", "thick")
    assert not fittings.drop("one", "thick")
    assert fittings.of_bundle("one") == {}


def test_a_forgotten_patient_s_fits_are_in_no_file(database: Database, files: Files) -> None:
    fittings = SqlFittings(database)
    fittings.keep("one", fitted(threshold=THEIRS), ["patient", "other"])
    fittings.keep("two", fitted("thin", THEIRS), ["patient"])
    fittings.keep("two", fitted("wide", THEIRS), ["patientless"])
    assert str(THEIRS).encode() in files()
    assert fittings.forget("patient") == ["thick", "thin"]
    assert [*fittings.of_bundle("two")] == ["wide"]
    fittings.forget("patientless")
    assert str(THEIRS).encode() not in files()


def test_nothing_is_fitted_from_a_forgotten_patient(database: Database) -> None:
    fittings = SqlFittings(database)
    assert fittings.forget("patient") == []
    with pytest.raises(ConfigurationError, match="was forgotten"):
        fittings.keep("one", fitted(), ["other", "patient"])
    assert fittings.of_bundle("one") == {}
