"""Fitted findings in the ledger's database."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.postgres import Postgres
from triage.domain.errors import ConfigurationError
from triage.model.fitted import FewShot, FittedFinding, FittedThreshold
from triage.store.database import Database
from triage.store.fittings import SqlFittings

Files = Callable[[], bytes]
MARK = 0.123456789012345
THEIRS = 0.987654321012345  #: in no other test's database


@pytest.fixture
def files(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Files:
    """Return a function that reads the database's files, except a server's write-ahead log."""

    def read() -> bytes:
        folder = tmp_path
        if database_url.startswith("postgresql"):
            server: Postgres = request.getfixturevalue("server")
            server.run("CHECKPOINT")
            folder = server.folder
        return b"".join(_read_files(folder))

    return read


def _read_files(folder: Path) -> Iterator[bytes]:
    """Yield the files below a folder; a running server may remove files and folders meanwhile."""
    for root, _, names in os.walk(folder):  # ignores folders that have been removed
        for path in (Path(root) / name for name in names):
            if "pg_wal" not in path.parts:
                with suppress(FileNotFoundError):
                    if path.is_file():  # not a socket
                        yield path.read_bytes()


def fitted(finding: str = "thick", threshold: float = 0.0) -> FittedFinding:
    return FittedFinding(
        finding=finding,
        asked="a" * 64,
        examples={"1.2.3": "b" * 64},
        fit=FewShot(centre=(0.0, 1.0), present=(MARK, 0.5), absent=(0.0, 0.25)),
        by_views={"cine_sa": FittedThreshold(threshold=threshold, spread=1.0)},
    )


def test_a_fit_is_returned_for_its_own_bundle_only(database: Database) -> None:
    fittings = SqlFittings(database)
    fittings.save("one", fitted(), ["p"])
    fittings.save("other", fitted("thin"), ["p"])
    assert fittings.find_by_bundle("one") == {"thick": fitted()}
    fittings.save("one", fitted(threshold=0.5), ["p"])
    assert fittings.find_by_bundle("one") == {"thick": fitted(threshold=0.5)}
    assert SqlFittings(database).find_by_bundle("none") == {}


def test_a_fit_can_be_dropped(database: Database) -> None:
    fittings = SqlFittings(database)
    fittings.save("one", fitted(), ["p"])
    assert fittings.remove("one", "thick")
    assert not fittings.remove("one", "thick")
    assert fittings.find_by_bundle("one") == {}


def test_fits_of_a_forgotten_patient_are_in_no_file(database: Database, files: Files) -> None:
    fittings = SqlFittings(database)
    fittings.save("one", fitted(threshold=THEIRS), ["patient", "other"])
    fittings.save("two", fitted("thin", THEIRS), ["patient"])
    fittings.save("two", fitted("wide", THEIRS), ["patientless"])
    assert str(THEIRS).encode() in files()
    assert fittings.forget_patient("patient") == ["thick", "thin"]
    assert [*fittings.find_by_bundle("two")] == ["wide"]
    fittings.forget_patient("patientless")
    assert str(THEIRS).encode() not in files()


def test_a_fit_from_a_forgotten_patient_is_refused(database: Database) -> None:
    fittings = SqlFittings(database)
    assert fittings.forget_patient("patient") == []
    with pytest.raises(ConfigurationError, match="of a forgotten patient"):
        fittings.save("one", fitted(), ["other", "patient"])
    assert fittings.find_by_bundle("one") == {}
