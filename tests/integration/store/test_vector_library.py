"""The PostgreSQL library: order of results, concurrent processes, erasure, errors."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from tests.integration.postgres import Postgres
from triage.cli.demo_site import find_free_port
from triage.domain.case import Case, Filter
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.ports.encoder import Embedding, Embeddings
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.vector_library import PgVectorLibrary

WIDTH = 16
BUNDLE, OTHER = "a" * 64, "b" * 64
COUNT = 2000
VENDORS = ("siemens", "ge", "philips")


def vectors(count: int, seed: int) -> Embeddings:
    drawn = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def vector(seed: int) -> Embedding:
    (drawn,) = vectors(1, seed)
    return np.asarray(drawn, np.float32)


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
    """Yield the same cases in an embedded, a PostgreSQL and an indexed library."""
    folder, url = tmp_path_factory.mktemp("exact"), server.new_database()
    database = Database(f"sqlite:///{folder / 'ledger.sqlite'}")
    exact = ExactLibrary(database, folder / "cases", BUNDLE, WIDTH)
    shared = PgVectorLibrary(url, BUNDLE, WIDTH)
    drawn = vectors(COUNT, 0)
    drawn[1::50] = drawn[::50]
    for number, vector_drawn in enumerate(drawn):
        case = Case(
            f"1.2.{number}",
            f"p{number // 3}",
            f"{2000 + number % 25}0101",
            VENDORS[number % 3],
            flagged=("lge",) if number % 10 == 0 else (),
            confirmed=("lge",) if number % 100 == 0 else (),
        )
        exact.add(case, vector_drawn)
        shared.add(case, vector_drawn)
    by_index = PgVectorLibrary(url, BUNDLE, WIDTH, exact_up_to=0)
    yield exact, shared, by_index
    for opened in (database, shared, by_index):
        opened.close()


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
def test_results_equal_those_of_the_embedded_library(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary], where: Filter, count: int
) -> None:
    exact, shared, _ = alike
    for asked in vectors(5, 1):
        assert shared.find_nearest(asked, count, where) == exact.find_nearest(asked, count, where)


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
def test_results_equal_those_of_the_embedded_library_for_any_query(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary],
    seed: int,
    count: int,
    where: Filter,
) -> None:
    exact, shared, _ = alike
    asked = vector(seed)
    assert shared.find_nearest(asked, count, where) == exact.find_nearest(asked, count, where)


@pytest.mark.parametrize("where", FILTERS)
def test_the_index_finds_nearly_all_nearest_cases_in_order(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary], where: Filter
) -> None:
    exact, _, by_index = alike
    recall = []
    for asked in vectors(20, 2):
        expected = [neighbour.case.study_uid for neighbour in exact.find_nearest(asked, 10, where)]
        near = by_index.find_nearest(asked, 10, where)
        cosines = [neighbour.similarity for neighbour in near]
        assert cosines == sorted(cosines, reverse=True)
        assert len(near) == len(expected)
        recall.append(len({neighbour.case.study_uid for neighbour in near} & {*expected}) / 10)
    full = len(expected) / 10
    assert np.mean(recall) >= 0.99 * full


def test_the_index_is_used_only_for_wide_searches_in_large_libraries(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary],
) -> None:
    _, shared, by_index = alike
    before = scans_of_index(shared, by_index)
    shared.find_nearest(vector(3), 5)
    for narrow in (Filter(patient="p7"), Filter(finding="lge"), Filter(since="20200101")):
        by_index.find_nearest(vector(3), 5, narrow)
    assert scans_of_index(shared, by_index) == before
    by_index.find_nearest(vector(3), 5)
    by_index.find_nearest(vector(3), 5, Filter(other_than="p7"))
    assert scans_of_index(shared, by_index) == before + 2


def scans_of_index(*libraries: PgVectorLibrary) -> int:
    """Return how often the index was scanned; sessions report with a delay."""
    for library in libraries:
        with library._database.reading() as connection:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    with library._database.reading() as connection:
        scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE '%%_by_nearness'"
        return int(connection.exec_driver_sql(scans).scalar_one())


def test_equally_near_cases_come_in_order_of_addition_with_the_index(url: str) -> None:
    library = PgVectorLibrary(url, BUNDLE, WIDTH, exact_up_to=0)
    for number in range(60):
        library.add(Case(str(number), "p"), vector(1))
    for number in range(5):
        library.add(Case(f"nearer {number}", "p"), vector(2))
    near = [neighbour.case.study_uid for neighbour in library.find_nearest(vector(2), 12)]
    assert near == [*(f"nearer {number}" for number in range(5)), *map(str, range(7))]
    library.close()


def test_typical_cosines_equal_those_of_the_embedded_library(
    alike: tuple[ExactLibrary, PgVectorLibrary, PgVectorLibrary],
) -> None:
    exact, shared, _ = alike
    assert list(shared.list_typical_cosines()) == list(exact.list_typical_cosines())


def test_vectors_of_two_bundles_never_mix(library: PgVectorLibrary, url: str) -> None:
    other = PgVectorLibrary(url, OTHER, 4)
    library.add(Case("1", "p"), vector(1))
    other.add(Case("1", "p"), np.full(4, 0.5, np.float32))
    other.add(Case("2", "p"), np.full(4, -0.5, np.float32))
    assert (library.count_cases(), other.count_cases()) == (1, 2)
    assert [neighbour.case.study_uid for neighbour in library.find_nearest(vector(3), 5)] == ["1"]
    other.close()


def test_a_vector_of_another_width_is_refused_without_traces(library: PgVectorLibrary) -> None:
    with pytest.raises(ValueError, match="shape"):
        library.add(Case("1", "p"), np.ones(WIDTH + 1, np.float32))
    assert library.count_cases() == 0


def test_header_values_longer_than_the_standard_allows_are_stored(library: PgVectorLibrary) -> None:
    long = Case("1", "p", study_date="2024.01.31", vendor="v" * 100)
    library.add(long, vector(1))
    assert library.get_case("1") == long


def kept_files(server: Postgres, *, log: bool) -> bytes:
    """Return the content of the server's write-ahead log, or of all other files."""
    found = []
    for path in server.folder.rglob("*"):
        if ("pg_wal" in path.parts) is log and path.is_file():
            with suppress(FileNotFoundError):  # the server removes some meanwhile
                found.append(path.read_bytes())
    return b"".join(found)


def test_a_forgotten_patient_is_in_no_file_of_the_server(url: str, server: Postgres) -> None:
    server.set("wal_recycle", "off")
    library, narrow = PgVectorLibrary(url, BUNDLE, WIDTH), PgVectorLibrary(url, OTHER, 4)
    theirs, others, replaced = vector(901), vector(902), vector(903)
    library.add(Case("1.2.3.4.5", "key-of-theirs", impression="Replaced words"), replaced)
    library.add(Case("1.2.3.4.5", "key-of-theirs", impression="Their hidden words"), theirs)
    long = "Many hidden words " + "".join(map(str, np.random.default_rng(0).bytes(9000)))
    library.add(Case("1.2.3.4.6", "key-of-theirs", impression=long), theirs)
    library.add(Case("6.7.8.9.0", "key-of-others", impression="Other words"), others)
    narrow.add(Case("1.2.3.4.5", "key-of-theirs"), np.full(4, 0.5, np.float32))
    texts = (b"1.2.3.4.5", b"1.2.3.4.6", b"key-of-theirs", b"hidden", b"Replaced", long.encode())
    traces = (
        *texts[:5],
        theirs.astype(np.float16).tobytes(),
        replaced.astype(np.float16).tobytes(),
    )
    server.run("VACUUM ANALYZE")  # of its own database; the statistics of ours follow
    run_in(url, "ANALYZE")
    run_in(url, "CHECKPOINT")
    before = kept_files(server, log=False)
    assert all(trace in before for trace in (traces[0], traces[2], traces[5]))
    assert library.forget_patient("key-of-theirs") == 3
    run_in(url, "CHECKPOINT")
    after = kept_files(server, log=False)
    assert not [trace for trace in traces if trace in after]
    assert b"Other words" in after
    assert others.astype(np.float16).tobytes() in after
    # The write-ahead log keeps the row until its segment is removed.
    assert b"key-of-theirs" in kept_files(server, log=True)
    run_in(url, "SELECT pg_switch_wal()")
    for _ in range(2):
        run_in(url, "CHECKPOINT")
    assert not [trace for trace in traces if trace in kept_files(server, log=True)]
    assert (library.count_cases(), narrow.count_cases()) == (1, 0)
    assert library.find_nearest(theirs, 5)[0].case.study_uid == "6.7.8.9.0"
    assert index_names(url) == 2
    for opened in (library, narrow):
        opened.close()


def test_an_open_snapshot_does_not_preserve_a_forgotten_patient(
    library: PgVectorLibrary, url: str, server: Postgres
) -> None:
    library.add(Case("1", "key-of-watched"), vector(11))
    library.add(Case("2", "others"), vector(12))
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    with engine.connect() as watching:  # e.g. a backup: its snapshot still has the row
        watching.exec_driver_sql("SELECT count(*) FROM pg_class")
        assert library.forget_patient("key-of-watched") == 1
        run_in(url, "CHECKPOINT")
        assert b"key-of-watched" not in kept_files(server, log=False)
    engine.dispose()


def run_in(url: str, statement: str) -> None:
    Postgres(url, Path()).run(statement)


def index_names(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        query = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%%_by_nearness'"
        found = int(connection.exec_driver_sql(query).scalar_one())
    engine.dispose()
    return found


def add_for(seconds: float, url: str, log: Path, name: str) -> None:
    library, number, until = PgVectorLibrary(url, BUNDLE, WIDTH), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        library.add(Case(f"{name}.{number}", name), vector(number))
        log.write_text(f"{number}\n")
        number += 1
    library.close()


def test_two_processes_add_and_search_concurrently_without_losing_a_case(
    url: str, tmp_path: Path
) -> None:
    spawn = multiprocessing.get_context("spawn")  # all create the table at the same time
    logs = {name: tmp_path / f"{name}.log" for name in ("1", "2")}
    adding = [spawn.Process(target=add_for, args=(5, url, log, name)) for name, log in logs.items()]
    for process in adding:
        process.start()
    library, looks = PgVectorLibrary(url, BUNDLE, WIDTH), 0
    while any(process.is_alive() for process in adding):
        known = {name: int(log.read_text() or 0) for name, log in logs.items() if log.exists()}
        for name, newest in known.items():
            for number in (newest, newest // 2):
                (near,) = library.find_nearest(vector(number), 1, Filter(patient=name))
                assert near.case.study_uid == f"{name}.{number}"
                looks += 1
    assert looks > 10
    assert all(process.exitcode == 0 for process in adding)
    library.close()


def test_adding_searching_and_forgetting_concurrently_succeed(url: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    adding = spawn.Process(target=add_for, args=(4, url, tmp_path / "log", "1"))
    adding.start()
    library = PgVectorLibrary(url, BUNDLE, WIDTH)
    library.add(Case("kept", "kept"), vector(0))
    rounds = 0
    while adding.is_alive():
        library.add(Case("theirs", f"theirs {rounds}"), vector(0))
        assert library.forget_patient(f"theirs {rounds}") == 1
        near = library.find_nearest(vector(0), 3)
        assert "kept" in {neighbour.case.study_uid for neighbour in near}
        rounds += 1
    assert rounds > 2
    assert adding.exitcode == 0
    assert library.count_cases() == int((tmp_path / "log").read_text()) + 2
    library.close()


def test_an_unreachable_server_is_reported_without_its_password() -> None:
    url = f"postgresql+psycopg://worker:hush@127.0.0.1:{find_free_port()}/cases"
    with pytest.raises(LedgerUnavailable) as error:
        PgVectorLibrary(url, BUNDLE, WIDTH)
    told = [str(error.value), str(error.value.__cause__)]
    assert told[0]
    assert not any("hush" in line for line in told)


def test_a_restarted_server_is_used_again(library: PgVectorLibrary, url: str) -> None:
    library.add(Case("1", "p"), vector(1))
    run_in(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert library.count_cases() == 1


def as_user(url: str, name: str) -> str:
    run_in(url, f"CREATE ROLE {name} LOGIN")
    return url.replace("postgres:@", f"{name}@")


def test_a_refusal_of_the_server_is_reported_with_a_remedy(url: str) -> None:
    theirs = as_user(url, "stranger")
    with pytest.raises(ConfigurationError, match="InsufficientPrivilege.*CREATE EXTENSION vector"):
        PgVectorLibrary(theirs, BUNDLE, WIDTH)
    run_in(url, "CREATE EXTENSION vector")
    run_in(url, "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    with pytest.raises(ConfigurationError, match="the server has 0.7.4"):
        PgVectorLibrary(theirs, BUNDLE, WIDTH)
    run_in(url, "UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'vector'")
    with pytest.raises(ConfigurationError, match="permit this user to create tables"):
        PgVectorLibrary(theirs, BUNDLE, WIDTH)


def test_permission_to_create_tables_is_sufficient(url: str) -> None:
    theirs = as_user(url, "ordinary")
    run_in(url, "CREATE EXTENSION vector")
    run_in(url, "GRANT CREATE ON SCHEMA public TO ordinary")
    library = PgVectorLibrary(theirs, BUNDLE, WIDTH, exact_up_to=0)
    library.add(Case("1", "p"), vector(1))
    assert library.find_nearest(vector(1), 1)[0].case.study_uid == "1"
    assert library.forget_patient("p") == 1
    library.close()
