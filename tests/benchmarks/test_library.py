"""How long a search among past cases takes, and what it costs in memory.

pytest --override-ini addopts= -s tests/benchmarks/test_library.py

Exact numbers are those of the embedded library. That on PostgreSQL is measured beside it, with
CASES cases (the environment's, by default 200,000), on two kinds of vectors: clustered, as those of
hearts are, and uniform, where nothing is near to anything and an index has its worst case.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import connect
from sqlalchemy import insert

from tests.contract.exact_libraries import look_while_two_add
from tests.integration.postgres import Postgres
from triage.domain.case import Case, Filter
from triage.ports.encoder import Embedding
from triage.ports.library import Library
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.schema import case_rows, cases
from triage.store.vector_library import BY_INDEX, PgVectorLibrary, _create_index

WIDTH = 512  #: of the published model
BUNDLE = "a" * 64
PART = 50_000
CLUSTERS = 2_000
CASES = int(os.environ.get("CASES", "200000"))
MS = 1e3


def parts(count: int, *, clustered: bool) -> Iterator[tuple[range, NDArray[np.float32]]]:
    """Yield rows and their vectors, (rows, WIDTH), unit length."""
    rng = np.random.default_rng(0)
    for first in range(0, count, PART):
        rows = range(first, min(count, first + PART))
        yield rows, drawn(rng, len(rows), clustered=clustered)


def drawn(rng: np.random.Generator, count: int, *, clustered: bool) -> NDArray[np.float32]:
    """Draw unit vectors: in all directions, or about CLUSTERS of them (cosine to it .7)."""
    vectors = rng.standard_normal((count, WIDTH), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if clustered:
        centres = np.random.default_rng(7).standard_normal((CLUSTERS, WIDTH), np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        vectors += centres[rng.integers(CLUSTERS, size=count)]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def fill(database: Database, folder: Path, count: int, *, clustered: bool = False) -> None:
    """Write `count` cases as the library would have, but many at once."""
    folder.mkdir()
    with (folder / f"{BUNDLE}.f16").open("wb") as file, database.writing() as connection:
        connection.execute(insert(case_rows).values(bundle=BUNDLE, next=count, width=WIDTH))
        for rows, vectors in parts(count, clustered=clustered):
            file.write(vectors.astype(np.float16).tobytes())
            connection.execute(insert(cases), [columns(row) for row in rows])


def fill_postgres(library: PgVectorLibrary, url: str, count: int, *, clustered: bool) -> float:
    """Write the same cases into a new database; return how long its index took, in seconds."""
    name = library._cases.name
    asked = ["row", "study_uid", "patient", "study_date", "vendor", "found", "confirmed", "content"]
    with connect(url.replace("+psycopg", "")) as connection:
        register_vector(connection)
        connection.execute(f"DROP INDEX {name}_by_nearness")
        into = f"COPY {name} ({', '.join(asked)}, embedding) FROM STDIN (FORMAT BINARY)"
        with connection.cursor().copy(into) as copy:
            copy.set_types(["int8", *["text"] * 7, "halfvec"])
            for rows, vectors in parts(count, clustered=clustered):
                for row, vector in zip(rows, vectors, strict=True):
                    case = columns(row)
                    copy.write_row([*(case[each] for each in asked), HalfVector(vector)])
        connection.execute(
            "SELECT setval(pg_get_serial_sequence(%s, 'row'), %s)", (name, count - 1)
        )
    began = time.perf_counter()
    with library._database.writing() as session:
        _create_index(session, name)
    return time.perf_counter() - began


def columns(row: int) -> dict[str, object]:
    content = {"study_uid": f"1.2.{row}", "patient": f"p{row // 2}"}
    return {
        "bundle": BUNDLE,
        "row": row,
        "study_date": f"{2000 + row % 25}0101",
        "vendor": ("siemens", "ge", "philips")[row % 3],
        "found": "|lge|" if row % 10 == 0 else "",
        "confirmed": "",
        "content": json.dumps(content),
        **content,
    }


def median_ms(call: Callable[[], object], times: int = 15) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * MS)
    return float(np.median(taken))


def resident() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("count", [200_000, 1_000_000])
def test_search(tmp_path: Path, count: int) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    fill(database, tmp_path / "cases", count)
    asked: Embedding = np.random.default_rng(1).standard_normal(WIDTH, np.float32)
    asked /= np.float32(np.linalg.norm(asked))
    before, began = resident(), time.perf_counter()
    library = ExactLibrary(database, tmp_path / "cases", BUNDLE, WIDTH)
    library.find_nearest(asked, 10)
    loading_s = time.perf_counter() - began
    nearest = median_ms(lambda: library.find_nearest(asked, 10))
    raw = count * WIDTH * 2
    memory = (resident() - before) / raw
    other = median_ms(lambda: library.find_nearest(asked, 10, Filter(other_than="p0")))
    lge = median_ms(
        lambda: library.find_nearest(asked, 10, Filter(finding="lge", since="20150101"))
    )
    began = time.perf_counter()
    library.add(Case("new", "p"), asked)
    (found,) = library.find_nearest(asked, 1)
    added = (time.perf_counter() - began) * MS
    assert found.case.study_uid == "new"
    print(
        f"\n{count} cases of {WIDTH}: first query {loading_s:.2f} s, 10 nearest {nearest:.1f} ms, "
        f"of other patients {other:.1f} ms, with LGE since 2015 {lge:.1f} ms, "
        f"added and found {added:.0f} ms, memory {memory:.2f} x the raw halves"
    )
    database.close()


@pytest.mark.timeout(400)
def test_for_five_minutes_no_answer_misses_a_case(tmp_path: Path) -> None:
    looks, size = look_while_two_add(tmp_path, 300)
    print(f"{looks} searches in five minutes, {size} cases added by two: none missed")
    assert looks > 1000


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["clustered", "uniform"])
def test_search_on_postgres(tmp_path: Path, server: Postgres, kind: str) -> None:
    clustered, url = kind == "clustered", server.new_database()
    server.set("max_wal_size", "'8GB'")
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    fill(database, tmp_path / "cases", CASES, clustered=clustered)
    embedded = ExactLibrary(database, tmp_path / "cases", BUNDLE, WIDTH)
    by_index = PgVectorLibrary(url, BUNDLE, WIDTH, exact_up_to=0)
    exactly = PgVectorLibrary(url, BUNDLE, WIDTH, exact_up_to=10**9)
    built_s = fill_postgres(by_index, url, CASES, clustered=clustered)
    queries = drawn(np.random.default_rng(1), 50, clustered=clustered)
    wheres = {
        "10 nearest": Filter(),
        "of other patients": Filter(other_than="p0"),
        "with LGE since 2015": Filter(finding="lge", since="20150101"),
        "of one patient": Filter(patient="p7"),
    }
    print(
        f"\n{CASES} {kind} cases of {WIDTH} on PostgreSQL: index of {in_mib(by_index, 'indexes')} "
        f"MiB built in {built_s:.0f} s, table {in_mib(by_index, 'table')} MiB, {BY_INDEX}"
    )
    for what, where in wheres.items():
        recall = [
            len(uids(by_index, asked, where) & uids(embedded, asked, where))
            / max(1, len(uids(embedded, asked, where)))
            for asked in queries
        ]
        libraries: dict[str, Library] = {
            "by index": by_index,
            "exactly": exactly,
            "embedded": embedded,
        }
        taken = ", ".join(
            f"{name} {median_ms(partial(each.find_nearest, queries[0], 10, where)):.1f} ms"
            for name, each in libraries.items()
        )
        print(f"  {what}: {taken}, recall by index {np.mean(recall):.3f}")
    began = time.perf_counter()
    by_index.add(Case("new", "p"), queries[0])
    (found,) = exactly.find_nearest(queries[0], 1)
    print(f"  added and found: {(time.perf_counter() - began) * MS:.0f} ms")
    assert found.case.study_uid == "new"
    for each in (database, by_index, exactly):
        each.close()


def uids(library: Library, asked: Embedding, where: Filter) -> set[str]:
    return {each.case.study_uid for each in library.find_nearest(asked, 10, where)}


def in_mib(library: PgVectorLibrary, what: str) -> int:
    with library._database.reading() as connection:
        size = f"SELECT pg_{what}_size('{library._cases.name}')"
        return int(connection.exec_driver_sql(size).scalar_one()) // 2**20
