"""Past cases whose vector file is missing or short are left out, and no call fails."""

from pathlib import Path

import pytest

from tests.contract.exact_libraries import BUNDLE, OTHER, opened, vector
from triage.cases.keys import FILE, load_or_create_secret, load_secret
from triage.domain.case import Case
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.lost_vectors import count_lost_cases

CASES = 6


def filled(folder: Path, bundle: str = BUNDLE) -> Path:
    """Add cases to the library of a bundle, and return its vector file."""
    library = opened(folder, bundle)
    for number in range(CASES):
        library.add(Case(f"1.{number}", f"patient {number}", impression="Normal"), vector(number))
    return folder / "cases" / f"{bundle}.f16"


def found(library: ExactLibrary) -> set[str]:
    return {near.case.study_uid for near in library.find_nearest(vector(1), CASES)}


def lost(folder: Path) -> int:
    database = Database(f"sqlite:///{folder / 'ledger.sqlite'}", ledger=False)
    try:
        return count_lost_cases(database, folder / "cases")
    finally:
        database.close()


@pytest.mark.parametrize("rows", [None, 0, 1, 4, 4.5], ids=str)
def test_cases_without_a_vector_are_left_out_and_counted(
    tmp_path: Path, rows: float | None
) -> None:
    file = filled(tmp_path)
    if rows is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(rows * file.stat().st_size / CASES)])
    kept = int(rows or 0)
    before = file.stat().st_size if file.exists() else None
    assert lost(tmp_path) == CASES - kept
    assert (file.stat().st_size if file.exists() else None) == before  # `check` changes nothing
    library = opened(tmp_path)
    assert found(library) == {f"1.{number}" for number in range(kept)}
    assert library.count_cases() == kept
    assert len({*library.list_study_uids_of_other_bundles()}) == CASES - kept
    assert lost(tmp_path) == CASES - kept
    assert len(library.list_typical_cosines()) >= kept * (kept - 1)


def test_a_lost_case_keeps_its_reading_and_is_embedded_again(tmp_path: Path) -> None:
    filled(tmp_path).unlink()
    library = opened(tmp_path)
    before = library.get_case_of_other_bundle("1.3")
    assert before is not None
    assert before.impression == "Normal"
    library.add(before, vector(3))
    assert found(library) == {"1.3"}
    assert lost(tmp_path) == CASES - 1
    assert found(opened(tmp_path)) == {"1.3"}


def test_a_lost_case_can_be_lost_again_and_forgotten(tmp_path: Path) -> None:
    for _ in range(2):
        filled(tmp_path).unlink()
        opened(tmp_path)
    assert lost(tmp_path) == CASES
    library = opened(tmp_path)
    assert library.forget_patient("patient 2") == 1
    assert lost(tmp_path) == CASES - 1


def test_other_bundles_keep_their_cases(tmp_path: Path) -> None:
    filled(tmp_path).unlink()
    filled(tmp_path, OTHER)
    assert found(opened(tmp_path)) == set()
    assert len(found(opened(tmp_path, OTHER))) == CASES


def test_a_file_that_is_cut_while_it_is_used_is_an_unavailable_library(tmp_path: Path) -> None:
    file = filled(tmp_path)
    library = opened(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(LedgerUnavailable, match="missing or short: restart the worker"):
        library.find_nearest(vector(1), 1)
    file.unlink()
    with pytest.raises(LedgerUnavailable, match="missing or short"):
        library.add(Case("1.9", "patient 9"), vector(9))
    again = opened(tmp_path)
    again.add(Case("1.9", "patient 9"), vector(9))
    assert found(again) == {"1.9"}
    assert lost(tmp_path) == CASES


def test_a_missing_or_wrong_secret_is_refused_beside_cases_alone(tmp_path: Path) -> None:
    secret = load_or_create_secret(tmp_path)
    assert load_secret(tmp_path, cases=3) == secret
    for content, why in (
        (bytes(range(32)), "not the one"),
        (b"short", "5 bytes"),
        (None, "is missing"),
    ):
        (tmp_path / FILE).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / FILE).write_bytes(content)
            (tmp_path / FILE).chmod(0o600)
        with pytest.raises(ConfigurationError, match=why) as refused:
            load_secret(tmp_path, cases=3)
        assert "Put back the file `secret` of a backup" in str(refused.value)
    assert load_secret(tmp_path, cases=0) != secret
    assert load_secret(tmp_path, cases=1)
