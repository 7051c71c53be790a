"""How long a search among past cases takes, and what it costs in memory.

pytest --override-ini addopts= -s tests/benchmarks/test_library.py
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import insert

from tests.unit.store.test_exact_library import look_while_two_add
from triage.domain.case import Case, Filter
from triage.ports import Embedding
from triage.store.database import Database
from triage.store.library import ExactLibrary
from triage.store.schema import case_rows, cases

WIDTH = 512  #: of the published model
BUNDLE = "a" * 64
PART = 50_000
MS = 1e3


def fill(database: Database, folder: Path, count: int) -> None:
    """Write `count` cases as the library would have, but many at once."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / f"{BUNDLE}.f16").open("wb") as file, database.writing() as connection:
        connection.execute(insert(case_rows).values(bundle=BUNDLE, next=count, width=WIDTH))
        for first in range(0, count, PART):
            rows = range(first, min(count, first + PART))
            drawn = rng.standard_normal((len(rows), WIDTH), np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            file.write(drawn.astype(np.float16).tobytes())
            connection.execute(insert(cases), [columns(row) for row in rows])


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
    library.nearest(asked, 10)
    loading_s = time.perf_counter() - began
    nearest = median_ms(lambda: library.nearest(asked, 10))
    raw = count * WIDTH * 2
    memory = (resident() - before) / raw
    other = median_ms(lambda: library.nearest(asked, 10, Filter(other_than="p0")))
    lge = median_ms(lambda: library.nearest(asked, 10, Filter(finding="lge", since="20150101")))
    began = time.perf_counter()
    library.add(Case("new", "p"), asked)
    (found,) = library.nearest(asked, 1)
    added = (time.perf_counter() - began) * MS
    assert found.case.study_uid == "new"
    print(  # noqa: T201
        f"\n{count} cases of {WIDTH}: first query {loading_s:.2f} s, 10 nearest {nearest:.1f} ms, "
        f"of other patients {other:.1f} ms, with LGE since 2015 {lge:.1f} ms, "
        f"added and found {added:.0f} ms, memory {memory:.2f} x the raw halves"
    )
    database.close()


@pytest.mark.timeout(400)
def test_6_for_five_minutes_no_answer_misses_a_case(tmp_path: Path) -> None:
    looks, size = look_while_two_add(tmp_path, 300)
    print(f"{looks} searches in five minutes, {size} cases added by two: none missed")  # noqa: T201
    assert looks > 1000
