"""The exact library: files, processes, erasure."""

from pathlib import Path

import numpy as np
import pytest

from tests.contract.exact_libraries import BUNDLE, OTHER, WIDTH, opened, vector
from triage.domain.case import Case
from triage.store.database import Database
from triage.store.library import ExactLibrary


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def library(tmp_path: Path) -> ExactLibrary:
    return opened(tmp_path)


def test_results_are_ordered_by_cosine(library: ExactLibrary) -> None:
    vectors = np.stack([vector(seed) for seed in range(300)])
    for number, embedding in enumerate(vectors):
        library.add(Case(str(number), "p"), embedding)
    asked = vector(1000)
    expected = np.argsort(-(vectors.astype(np.float16).astype(float) @ asked.astype(np.float16)))
    near = library.find_nearest(asked, 300)
    assert [neighbour.case.study_uid for neighbour in near] == [str(number) for number in expected]
    assert near[0].similarity == pytest.approx(float(vectors[expected[0]] @ asked), abs=1e-3)


def test_cases_survive_a_restart(library: ExactLibrary, tmp_path: Path) -> None:
    library.add(Case("1", "p"), vector(1))
    (found,) = opened(tmp_path).find_nearest(vector(1), 5)
    assert found.case.study_uid == "1"
    assert found.similarity == pytest.approx(1, abs=2e-3)


def test_vectors_of_two_bundles_never_mix(library: ExactLibrary, tmp_path: Path) -> None:
    other = opened(tmp_path, OTHER)
    library.add(Case("1", "p"), vector(1))
    other.add(Case("1", "p"), vector(2))
    other.add(Case("2", "p"), vector(3))
    assert (library.count_cases(), other.count_cases()) == (1, 2)
    assert [neighbour.case.study_uid for neighbour in library.find_nearest(vector(3), 5)] == ["1"]


def test_a_vector_of_another_width_is_refused_without_traces(library: ExactLibrary) -> None:
    with pytest.raises(ValueError, match="shape"):
        library.add(Case("1", "p"), np.ones(WIDTH + 1, np.float32))
    assert library.count_cases() == 0
    library.add(Case("2", "p"), vector(2))
    assert library.find_nearest(vector(2), 5)[0].case.study_uid == "2"


def test_the_next_case_reuses_a_row_left_by_a_crash(library: ExactLibrary, tmp_path: Path) -> None:
    library.add(Case("1", "p"), vector(1))
    library._vectors.write(1, vector(7))  # the process ends before the commit
    assert [neighbour.case.study_uid for neighbour in library.find_nearest(vector(7), 5)] == ["1"]
    library.add(Case("2", "p"), vector(2))
    near = opened(tmp_path).find_nearest(vector(2), 5)
    assert near[0].case.study_uid == "2"
    assert near[0].similarity == pytest.approx(1, abs=2e-3)


def test_a_forgotten_patient_is_in_no_file(library: ExactLibrary, tmp_path: Path) -> None:
    theirs, others = vector(1), vector(2)
    library.add(Case("1.2.3.4.5", "key-of-theirs", impression="Their hidden words"), theirs)
    library.add(Case("6.7.8.9.0", "key-of-others", impression="Other words"), others)
    traces = (b"1.2.3.4.5", b"key-of-theirs", b"hidden", theirs.astype(np.float16).tobytes())
    assert all(trace in written(tmp_path) for trace in traces)
    assert library.forget_patient("key-of-theirs") == 1
    assert not any(trace in written(tmp_path) for trace in traces)
    assert b"Other words" in written(tmp_path)
    assert others.astype(np.float16).tobytes() in written(tmp_path)


def test_forgetting_a_patient_erases_vectors_of_other_bundles(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    narrow = ExactLibrary(database, tmp_path / "cases", OTHER, 4)
    narrow.add(Case("1", "theirs"), np.full(4, 0.5, np.float32))
    library = opened(tmp_path)
    library.add(Case("1", "theirs"), vector(1))
    library.add(Case("2", "others"), vector(2))
    assert library.forget_patient("theirs") == 2
    assert (narrow.count_cases(), library.count_cases()) == (0, 1)
    assert not (tmp_path / "cases" / f"{OTHER}.f16").read_bytes().strip(b"\0")


def test_replacing_a_case_erases_its_old_vector(library: ExactLibrary, tmp_path: Path) -> None:
    library.add(Case("1", "p"), vector(1))
    library.add(Case("1", "p"), vector(2))
    assert vector(1).astype(np.float16).tobytes() not in written(tmp_path)


def test_adding_an_unchanged_vector_again_allocates_no_row(
    library: ExactLibrary, tmp_path: Path
) -> None:
    for number in range(9):
        library.add(Case("1", "p", impression=f"text {number}"), vector(1))
    told = library.get_case("1")
    assert told is not None
    assert told.impression == "text 8"
    assert (tmp_path / "cases" / f"{BUNDLE}.f16").stat().st_size == 2 * WIDTH


def test_forgetting_a_patient_erases_rows_left_by_a_crash(
    library: ExactLibrary, tmp_path: Path
) -> None:
    library.add(Case("1", "p"), vector(1))
    library.add(Case("1", "p"), vector(2))
    library.add(Case("2", "q"), vector(3))
    library._vectors.write(0, vector(1))  # the process dies before erasing it
    library.forget_patient("nobody")
    assert vector(1).astype(np.float16).tobytes() not in written(tmp_path)
    assert library.find_nearest(vector(2), 1)[0].case.study_uid == "1"
    assert library.find_nearest(vector(3), 1)[0].case.study_uid == "2"


def test_only_the_owner_can_read_the_files(library: ExactLibrary, tmp_path: Path) -> None:
    library.add(Case("1", "p"), vector(1))
    assert (tmp_path / "cases").stat().st_mode & 0o077 == 0
    assert (tmp_path / "cases" / f"{BUNDLE}.f16").stat().st_mode & 0o077 == 0
