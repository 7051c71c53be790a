"""How many instances a second a spool takes and gives back: files, and an object store beside us.

Rule: one run is one table, and only ratios within a run mean anything: the object store is on the
same machine, takes part of its two cores and syncs nothing, where another one is across a network.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median

import psutil
import pytest

from tests.builders.images import image, part10
from tests.integration.object_store import ObjectStore, object_store
from triage.dicom.header import read_identity
from triage.domain.instance import Identity, ReceiptOutcome
from triage.ports.spool import Spool
from triage.store.bucket import Bucket
from triage.store.object_spool import ObjectSpool
from triage.store.spool import FileSpool

SIDE = 256  #: pixels; an instance has 131 kB
INSTANCES = 400
AT_ONCE = (1, 4)
ROUNDS = 3
LARGE = 1_000_000_000  #: bytes
MB = 1_000_000

Instance = tuple[Identity, bytes]
Measured = tuple[float, float]  #: kept and read, each a second


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


def instances(round_: int) -> list[Instance]:
    pixels = os.urandom(SIDE * SIDE * 2)
    made = []
    for number in range(INSTANCES):
        one = image(f"study {round_}", "series", number, Rows=SIDE, Columns=SIDE, PixelData=pixels)
        content = part10(one)
        made.append((read_identity(content), content))
    return made


def measured(spool: Spool, sent: Sequence[Instance], at_once: int) -> Measured:
    with ThreadPoolExecutor(at_once) as threads:
        began = time.perf_counter()
        receipts = list(threads.map(lambda each: spool.keep(*each), sent))
        kept = time.perf_counter()
        assert {each.outcome for each in receipts} == {ReceiptOutcome.NEW}
        sizes = sum(threads.map(lambda each: len(spool.read(each.path)), receipts))
        read = time.perf_counter()
    assert sizes == sum(len(content) for _, content in sent)
    return len(sent) / (kept - began), len(sent) / (read - kept)


def test_instances_a_second(store: ObjectStore, tmp_path: Path) -> None:
    def files(name: str) -> Spool:
        return FileSpool(tmp_path / name)

    def objects(name: str) -> Spool:
        return ObjectSpool(Bucket(store.settings(name)), tmp_path / name)

    opened: dict[str, Callable[[str], Spool]] = {"files": files, "objects": objects}
    rows: dict[tuple[str, int], list[Measured]] = {}
    for round_ in range(ROUNDS):
        sent = instances(round_)
        for at_once in AT_ONCE:
            for kind, spool in opened.items():
                found = measured(spool(f"{kind}-{round_}-{at_once}"), sent, at_once)
                rows.setdefault((kind, at_once), []).append(found)
    said = [
        f"\n{INSTANCES} instances of {len(sent[0][1]) // 1000} kB, median of {ROUNDS}, a second:"
    ]
    said.append("spool     at once    kept    read")
    for (kind, at_once), each in rows.items():
        kept, read = median(one for one, _ in each), median(one for _, one in each)
        said.append(f"{kind:10}{at_once:7}{kept:8.0f}{read:8.0f}")
    sys.stdout.write("\n".join(said) + "\n")


def test_a_large_instance(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    digest = sha256()
    with path.open("wb") as file:
        for _ in range(LARGE // MB):
            file.write(piece := os.urandom(MB))
            digest.update(piece)
    bucket = Bucket(store.settings("large"))
    bucket.check_reachable()
    process = psutil.Process()
    before = process.memory_info().rss
    highest = before

    def look(_piece: bytes) -> None:
        nonlocal highest
        highest = max(highest, process.memory_info().rss)

    put = partial(bucket.put, "large", path, digest.hexdigest())
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as aside:
        sending = aside.submit(put)
        while not sending.done():
            look(b"")
            time.sleep(0.05)
    assert sending.result()
    sent = time.perf_counter()
    bucket.read("large", look)
    read = time.perf_counter()
    sys.stdout.write(
        f"\n{LARGE // MB} MB: sent in {sent - began:.1f} s, read in {read - sent:.1f} s, "
        f"with {(highest - before) // MB} MB of memory\n"
    )
