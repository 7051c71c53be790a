"""Contract of the library: the fake, the embedded one, and the one on PostgreSQL.

The last one twice: looking at every vector, and by its index.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import FakeLibrary
from tests.integration.postgres import Postgres
from triage.domain.assessment import SourceImage
from triage.domain.case import Case, Filter
from triage.ports.encoder import Embedding
from triage.ports.library import Library
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.vector_library import EXACT_UP_TO, PgVectorLibrary

WIDTH = 8
NORTH = np.eye(WIDTH, dtype=np.float32)[0]


Pair = tuple[Library, Library]  #: of two bundles in one store


@pytest.fixture(params=["fake", "exact", "pgvector", "pgvector by index"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if request.param == "fake":
        other = FakeLibrary()
        yield FakeLibrary(others=(other,)), other
    elif "pgvector" in request.param:
        server: Postgres = request.getfixturevalue("server")
        exact_up_to = 0 if "index" in request.param else EXACT_UP_TO
        url = server.new_database()
        shared = [PgVectorLibrary(url, bundle * 64, WIDTH, exact_up_to) for bundle in "bc"]
        yield shared[0], shared[1]
        for library in shared:
            library.close()
    else:
        database, folder = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), tmp_path / "cases"
        one, two = (ExactLibrary(database, folder, bundle * 64, WIDTH) for bundle in "bc")
        yield one, two
        database.close()


@pytest.fixture
def library(pair: Pair) -> Library:
    return pair[0]


def towards_north(cosine: float) -> Embedding:
    """Return a unit vector with this cosine to NORTH."""
    vector = np.zeros(WIDTH, np.float32)
    vector[:2] = cosine, np.sqrt(1 - cosine**2)
    return vector


def uids(library: Library, count: int = 10, where: Filter | None = None) -> list[str]:
    near = library.find_nearest(NORTH, count, where or Filter())
    return [neighbour.case.study_uid for neighbour in near]


def case(uid: str, **values: object) -> Case:
    return Case(**{"study_uid": uid, "patient": f"patient {uid}", **values})  # type: ignore[arg-type]


def test_the_nearest_come_first_with_their_cosines(library: Library) -> None:
    for name, cosine in {"far": -0.5, "near": 0.9, "nearest": 0.99, "middle": 0.3}.items():
        library.add(case(name), towards_north(cosine))
    assert uids(library) == ["nearest", "near", "middle", "far"]
    assert uids(library, 2) == ["nearest", "near"]
    cosines = [neighbour.similarity for neighbour in library.find_nearest(NORTH, 4)]
    assert cosines == pytest.approx([0.99, 0.9, 0.3, -0.5], abs=2e-3)
    assert library.count_cases() == 4


def test_cases_and_embeddings_are_found_by_study_uid(library: Library) -> None:
    for name in "ba":
        library.add(case(name), towards_north(0.5))
    assert list(library.list_study_uids()) == ["b", "a"]
    kept = library.get_embedding("a")
    assert kept is not None
    assert kept == pytest.approx(towards_north(0.5), abs=1e-3)
    assert library.get_embedding("c") is None


def test_an_empty_library_finds_nothing(library: Library) -> None:
    assert uids(library) == []
    assert library.get_case("1") is None
    assert library.forget_patient("nobody") == 0


def test_equally_near_cases_come_in_order_of_addition(library: Library) -> None:
    for name in "cabed":
        library.add(case(name), NORTH)
    assert uids(library) == list("cabed")
    assert uids(library, 3) == list("cab")


def test_a_case_is_returned_unchanged(library: Library) -> None:
    kept = case(
        "1",
        study_date="20240131",
        vendor="siemens",
        views=("cine_sa",),
        flagged=("lge", "lv_dilation"),
        confirmed=("lge",),
        impression="Narbe, größer als zuvor",
        images=(SourceImage("1.2", "3.4", "5.6", 7),),
    )
    library.add(kept, NORTH)
    assert library.get_case("1") == kept
    assert library.find_nearest(NORTH, 1)[0].case == kept


def test_a_case_that_is_added_again_is_replaced(library: Library) -> None:
    library.add(case("1"), towards_north(0.9))
    library.add(case("2"), towards_north(0.5))
    library.add(case("1", vendor="ge"), towards_north(0.1))
    assert uids(library) == ["2", "1"]
    assert library.count_cases() == 2
    found = library.get_case("1")
    assert found is not None
    assert found.vendor == "ge"


def test_cases_of_a_forgotten_patient_are_not_found(library: Library) -> None:
    for number in range(30):
        library.add(case(f"{number}", patient=f"p{number % 3}"), towards_north(1 - number / 40))
    assert library.forget_patient("p0") == 10
    assert library.count_cases() == 20
    assert library.get_case("0") is None
    assert uids(library, 4) == ["1", "2", "4", "5"]
    assert library.forget_patient("p0") == 0
    library.add(case("new"), towards_north(0.999))
    assert uids(library, 2) == ["new", "1"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(), "abcd"),
        (Filter(since="20200101"), "bc"),
        (Filter(until="20200101"), "ab"),
        (Filter(since="20200101", until="20200101"), "b"),
        (Filter(vendor="Siemens"), "ad"),
        (Filter(vendor="s%"), ""),
        (Filter(finding="lge"), "ac"),
        (Filter(finding="lge", confirmed_only=True), "c"),
        (Filter(confirmed_only=True), "bc"),
        (Filter(finding="lg"), ""),
        (Filter(finding="l_e"), ""),
        (Filter(patient="p"), "ad"),
        (Filter(other_than="p"), "bc"),
    ],
)
def test_filters_select_cases(library: Library, where: Filter, expected: str) -> None:
    several = {
        "a": {"study_date": "20190101", "vendor": "siemens", "flagged": ("lge",), "patient": "p"},
        "b": {"study_date": "20200101", "vendor": "ge", "confirmed": ("lv_dilation",)},
        "c": {"study_date": "20210101", "vendor": "philips", "confirmed": ("lge",)},
        "d": {"vendor": "siemens healthineers", "flagged": ("aorta",), "patient": "p"},
    }
    for place, (name, values) in enumerate(several.items()):
        library.add(case(name, **values), towards_north(0.9 - place / 10))
    assert "".join(uids(library, where=where)) == expected
    assert "".join(uids(library, 1, where)) == expected[:1]


def test_typical_cosines_are_of_pairs_of_different_patients(library: Library) -> None:
    assert list(library.list_typical_cosines()) == []
    for number in range(40):
        library.add(case(f"a{number}", patient=f"a{number}"), towards_north(1))
    assert list(library.list_typical_cosines()) == pytest.approx(
        [1] * len(library.list_typical_cosines()), abs=2e-3
    )
    assert len(library.list_typical_cosines()) > 500
    for number in range(40):
        library.add(case(f"b{number}", patient="b"), towards_north(0))
    typical = library.list_typical_cosines()
    assert list(typical) == sorted(typical)
    # pairs among 40 patients, and pairs of them with 40 studies of one patient
    assert np.mean(np.array(typical) < 0.5) == pytest.approx(1600 / (1600 + 780), abs=0.04)


def test_cases_missing_from_this_bundle_are_listed(pair: Pair) -> None:
    library, other = pair
    assert list(library.list_study_uids_of_other_bundles()) == []
    other.add(case("b", impression="No scar."), NORTH)
    other.add(case("a"), NORTH)
    library.add(case("a"), NORTH)
    assert list(library.list_study_uids_of_other_bundles()) == ["b"]
    assert library.get_case("b") is None
    told = library.get_case_of_other_bundle("b")
    assert told is not None
    assert told.impression == "No scar."
    assert library.get_case_of_other_bundle("c") is None
    assert uids(library) == ["a"]
    library.add(case("b"), NORTH)
    assert list(library.list_study_uids_of_other_bundles()) == []


def test_a_patient_is_forgotten_in_every_bundle(pair: Pair) -> None:
    library, other = pair
    library.add(case("a", patient="theirs"), NORTH)
    other.add(case("a", patient="theirs"), NORTH)
    other.add(case("b", patient="others"), NORTH)
    assert library.forget_patient("theirs") == 2
    assert (library.count_cases(), other.count_cases()) == (0, 1)
    assert list(library.list_study_uids_of_other_bundles()) == ["b"]


def test_old_cases_are_removed_from_every_bundle_and_may_be_added_again(pair: Pair) -> None:
    library, other = pair
    for bundle in pair:
        bundle.add(case("old", study_date="20191231"), NORTH)
        bundle.add(case("new", study_date="20200101"), towards_north(0.9))
        bundle.add(case("undated"), towards_north(0.8))
    assert (library.count_older("20200101"), library.count_older("20190101")) == (2, 0)
    assert library.remove_older("20190101") == 0
    assert library.remove_older("20200101") == 2
    assert [uids(bundle) for bundle in pair] == [["new", "undated"]] * 2
    assert library.get_embedding("old") is None
    other.add(case("old", study_date="20191231"), NORTH)
    assert uids(other) == ["old", "new", "undated"]


def test_a_forgotten_patient_cannot_be_added_again(pair: Pair) -> None:
    library, other = pair
    library.add(case("a", patient="theirs"), NORTH)
    assert library.forget_patient("theirs") == 1
    library.add(case("a", patient="theirs"), NORTH)
    library.add(case("b", patient="others"), NORTH)
    assert uids(library) == ["b"]
    assert other.forget_patient("nobody") == 0
    assert library.forget_patient("theirs") == 0
