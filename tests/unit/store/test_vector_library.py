"""The library on PostgreSQL: the order of the embedded one, processes, erasure, errors."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from tests.integration.postgres import Postgres
from triage.demo import free_port
from triage.domain.case import Case, Filter
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.ports import Embedding, Embeddings
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.vector_library import EXACT_UP_TO, PgVectorLibrary

WIDTH = 16
BUNDLE, OTHER = "a" * 64, "b" * 64
COUNT = 2000
VENDORS = ("siemens", "ge", "philips")


def vectors(count: int, seed: int) -> Embeddings:
    drawn = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True).astype(np.float32)


def vector(seed: int) -> Embedding:
    return vectors(1, seed)[0]


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new_database()


@pytest.fixture
def library(url: str) -> Iterator[PgVectorLibrary]:
    opened = PgVectorLibrary(url, BUNDLE, WIDTH)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def alike(
    server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary]]:
    """Yield the same cases embedded, on PostgreSQL, and there by index; some twice, to the bit."""
    folder, url = tmp_path_factory.mktemp("exact"), server.new_database()
    database = Database(f"sqlite:///{folder / 'ledger.sqlite'}")
    exact = ExactLibrary(database, folder / "cases", BUNDLE, WIDTH)
    shared = PgVectorLibrary(url, BUNDLE, WIDTH)
    drawn = vectors(COUNT, 0)
    drawn[1::50] = drawn[::50]
    for number, each in enumerate(drawn):
        case = Case(
            f"1.2.{number}",
            f"p{number // 3}",
            f"{2000 + number % 25}0101",
            VENDORS[number % 3],
            flagged=("lge",) if number % 10 == 0 else (),
            confirmed=("lge",) if number % 100 == 0 else (),
        )
        exact.add(case, each)
        shared.add(case, each)
    by_index = PgVectorLibrary(url, BUNDLE, WIDTH, exact_up_to=0)
    yield exact, shared, by_index
    for each in (database, shared, by_index):
        each.close()


FILTERS = [
    Filter(),
    Filter(since="20100101"),
    Filter(until="20031231", vendor="Siemens"),
    Filter(finding="lge"),
    Filter(finding="lge", confirmed_only=True),
    Filter(patient="p7"),
    Filter(other_than="p7"),
    Filter(vendor="nobody"),
]


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("count", [1, 10, 300])
def test_6_answers_are_those_of_the_embedded_library_in_its_order(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary], where: Filter, count: int
) -> None:
    exact, shared, _ = alike
    for asked in vectors(5, 1):
        assert shared.nearest(asked, count, where) == exact.nearest(asked, count, where)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    where=st.builds(
        Filter,
        since=st.sampled_from(["", "20050101", "20240101"]),
        until=st.sampled_from(["", "20050101", "20191231"]),
        vendor=st.sampled_from(["", "GE", "ph"]),
        finding=st.sampled_from(["", "lge", "lg"]),
        confirmed_only=st.booleans(),
        patient=st.sampled_from(["", "", "p7"]),
        other_than=st.sampled_from(["", "p8"]),
    ),
)
def test_6_so_they_are_whatever_is_asked(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary],
    seed: int,
    count: int,
    where: Filter,
) -> None:
    exact, shared, _ = alike
    asked = vector(seed)
    assert shared.nearest(asked, count, where) == exact.nearest(asked, count, where)


@pytest.mark.parametrize("where", FILTERS)
def test_by_index_nearly_all_of_the_nearest_are_found_in_their_order(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary], where: Filter
) -> None:
    exact, _, by_index = alike
    recall = []
    for asked in vectors(20, 2):
        expected = [each.case.study_uid for each in exact.nearest(asked, 10, where)]
        near = by_index.nearest(asked, 10, where)
        cosines = [each.similarity for each in near]
        assert cosines == sorted(cosines, reverse=True)
        assert len(near) == len(expected)
        recall.append(len({each.case.study_uid for each in near} & {*expected}) / 10)
    full = len(expected) / 10
    assert np.mean(recall) >= 0.99 * full


def test_the_index_is_used_where_it_is_wanted_and_there_alone(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary], server: Postgres
) -> None:
    _, shared, by_index = alike
    assert scans_of_index(shared, lambda: shared.nearest(vector(3), 5)) == 0
    assert scans_of_index(shared, lambda: by_index.nearest(vector(3), 5)) == 1


def test_what_is_typical_is_the_same_in_both(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary],
) -> None:
    exact, shared, _ = alike
    assert list(shared.typical()) == list(exact.typical())
