"""Fits in the ledger's database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from triage.domain.errors import ConfigurationError
from triage.model.fitted import FewShot, Fitted
from triage.store.database import Database
from triage.store.fittings import SqlFittings

MARK = 0.123456789012345


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield opened
    opened.close()


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


def test_a_forgotten_patient_s_fits_are_in_no_file(database: Database, tmp_path: Path) -> None:
    fittings = SqlFittings(database)
    fittings.keep("one", fitted(), ["patient", "other"])
    fittings.keep("two", fitted("thin"), ["patient"])
    fittings.keep("two", fitted("wide"), ["patientless"])
    assert str(MARK).encode() in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert fittings.forget("patient") == ["thick", "thin"]
    assert [*fittings.of_bundle("two")] == ["wide"]
    fittings.forget("patientless")
    assert str(MARK).encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


def test_nothing_is_fitted_from_a_forgotten_patient(database: Database) -> None:
    fittings = SqlFittings(database)
    assert fittings.forget("patient") == []
    with pytest.raises(ConfigurationError, match="was forgotten"):
        fittings.keep("one", fitted(), ["other", "patient"])
    assert fittings.of_bundle("one") == {}
