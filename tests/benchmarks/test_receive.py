"""How many instances a second are received, against the peers, with the peers' own sender.

Rule: one run is one table: every receiver gets the same files from DCMTK `storescu`, with
TCP_NODELAY=1 on both sides, and only ratios within a run mean anything. Durable means fsync for
us, file and folder, and a row in the ledger; the table says what the others do. How dear an fsync
is stands above the table: at one association nobody who waits for two of them can be faster.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

import pytest

from tests.benchmarks.c_store_speed import (
    ASSOCIATIONS,
    FRAME_BYTES,
    FRAMES,
    INSTANCES,
    SIDE,
    Running,
    enhanced,
    fsync_ms,
    ours,
    peak_mb,
    plain,
    rate,
    send,
)
from tests.builders.images import image, part10
from tests.integration.servers import orthanc
from tests.peers import peer
from tests.waiting import listens, wait_until
from triage.cli.demo_site import find_free_port

ROUNDS = 3  #: the table has their median
MEMORY_MB = 200  #: of ours, at most, whatever comes


Server = Callable[[Path], AbstractContextManager[Running]]


@pytest.fixture(scope="session")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a folder of files for each association; together they are one study."""
    folders = []
    pixels = os.urandom(SIDE * SIDE * 2)
    for series in range(max(ASSOCIATIONS)):
        folder = tmp_path_factory.mktemp("sent")
        for number in range(INSTANCES):
            one = image("study", f"series {series}", number, Rows=SIDE, Columns=SIDE)
            one.PixelData = pixels
            (folder / f"{number}.dcm").write_bytes(part10(one))
        folders.append(folder)
    return folders


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[Running]:
    port = find_free_port()
    command = [peer("storescp"), *options, "--max-pdu", "131072", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port), what="storescp")
            yield Running(port)
        finally:
            process.terminate()


@contextmanager
def forking(folder: Path) -> Iterator[Running]:
    with storescp(folder, "--fork") as running:
        yield running


@contextmanager
def orthanc_pacs(folder: Path) -> Iterator[Running]:
    with orthanc(folder) as running:
        yield Running(running.dicom_port)


OURS = "ours (fast: true)"
#: What ours is to reach, as a multiple of each, at 1 and at 4 associations.
GOALS = {
    "storescp": (1.0, 1.2),
    "storescp --fork": (0.8, 0.8),
    "Orthanc": (2.0, 2.0),
    "pynetdicom (fast: false)": (4.0, 4.0),
}
SERVERS: dict[str, tuple[Server, str]] = {
    "storescp": (storescp, "no sync"),
    "storescp --fork": (forking, "no sync"),
    "Orthanc": (orthanc_pacs, "no sync by default; SQLite index"),
    "pynetdicom (fast: false)": (plain, "fsync, ledger"),
    OURS: (ours, "fsync, ledger"),
}


@pytest.mark.timeout(1800)
def test_instances_a_second(
    tmp_path: Path, sent: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCP_NODELAY", "1")
    rates: dict[tuple[str, int], list[float]] = {}
    memory = {}
    for turn in range(ROUNDS):
        for name, (server, _) in SERVERS.items():
            for count in ASSOCIATIONS:
                folder = tmp_path / f"{turn} {name} {count}"
                folder.mkdir()
                with server(folder) as running:
                    rates.setdefault((name, count), []).append(rate(running.port, sent[:count]))
                    if running.pid is not None:
                        memory[name] = peak_mb(running.pid)
    print(f"\nan fsync takes {fsync_ms(tmp_path):.1f} ms on this disk")
    for name, (_, durable) in SERVERS.items():
        middle = [median(rates[name, count]) for count in ASSOCIATIONS]
        held = f", at most {memory[name]:.0f} MB" if name in memory else ""
        figures = " / ".join(f"{each:6.0f}" for each in middle)
        print(f"{name:26} {figures} instances a second ({durable}{held})")
    for name, goals in GOALS.items():
        ratios = [
            f"{median(rates[OURS, count]) / median(rates[name, count]):.2f} (goal {goal})"
            for count, goal in zip(ASSOCIATIONS, goals, strict=True)
        ]
        print(f"ours / {name:26} {' / '.join(ratios)}")


def test_an_enhanced_instance_of_a_gigabyte_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCP_NODELAY", "1")
    (tmp_path / "sent").mkdir()
    path = enhanced(tmp_path / "sent")
    with ours(tmp_path) as running:
        assert running.pid is not None
        idle, began = peak_mb(running.pid), time.perf_counter()
        assert send(running.port, path.parent).wait() == 0
        taken, held = time.perf_counter() - began, peak_mb(running.pid)
    (kept,) = (tmp_path / "spool").glob("*/*.dcm")
    size = kept.stat().st_size
    print(
        f"\n{size / 1e9:.2f} GB in {taken:.1f} s; at most {held:.0f} MB held, {idle:.0f} MB before"
    )
    assert size >= FRAMES * FRAME_BYTES
    assert held < MEMORY_MB
