"""How many instances a second are received, against the peers, with the peers' own sender.

Rule: one run is one table: every receiver gets the same files from DCMTK `storescu`, with
TCP_NODELAY=1 on both sides, and only ratios within a run mean anything. Durable means fsync for
us, file and folder, and a row in the ledger; the table says what the others do. How dear an fsync
is stands above the table: at one association nobody who waits for two of them can be faster.
"""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median

import pytest
from pydicom.uid import EnhancedMRImageStorage

import receivers.c_store
from tests.builders.images import image, part10
from tests.integration.servers import orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.pipeline.intake import Intake
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

SIDE = 256  #: pixels; an instance has 131 kB
INSTANCES = 500  #: of one association
ASSOCIATIONS = (1, 4)
ROUNDS = 3  #: the table has their median
AE_TITLE = "CMRTRIAGE"
KB = 1024
MEMORY_MB = 200  #: of ours, at most, whatever comes


@dataclass(frozen=True)
class Running:
    """A receiver that listens."""

    port: int
    pid: int | None = None  #: where its memory is asked for


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


def serve(state: Path, port: int, ended: Event, *, fast: bool) -> None:
    """Receive in this process, as `triage receive` does, until `ended`."""
    ledger = SqlLedger.in_folder(state, SystemClock())
    settings = ReceiverSettings(ae_title=AE_TITLE, port=port, calling=("PACS",), fast=fast)
    server = receivers.c_store.start(Intake(FileSpool(state), ledger), settings)
    ended.wait()
    server.end()


@contextmanager
def ours(state: Path, *, fast: bool = True) -> Iterator[Running]:
    context, port = multiprocessing.get_context("spawn"), find_free_port()
    ended = context.Event()
    process = context.Process(target=serve, args=(state, port, ended), kwargs={"fast": fast})
    process.start()
    try:
        wait_until(lambda: listens(port), what="the receiver")
        yield Running(port, process.pid)
    finally:
        ended.set()
        process.join(20)


@contextmanager
def plain(state: Path) -> Iterator[Running]:
    with ours(state, fast=False) as running:
        yield running


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


def send(port: int, folder: Path, title: str = AE_TITLE) -> "subprocess.Popen[bytes]":
    command = [peer("storescu"), "-aet", "PACS", "-aec", title, "-R", "--max-pdu", "131072"]
    return subprocess.Popen([*command, HOST, str(port), "+sd", str(folder)])


def rate(port: int, folders: list[Path]) -> float:
    """Return how many instances a second arrive when each folder has its own association."""
    began = time.perf_counter()
    senders = [send(port, folder) for folder in folders]
    assert [sender.wait() for sender in senders] == [0] * len(folders)
    return len(folders) * INSTANCES / (time.perf_counter() - began)


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever held (proc(5), VmHWM), in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (held,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(held) * KB / 1e6


def fsync_ms(folder: Path) -> float:
    """Return what it costs to make one new file of an instance's size durable, without its name."""
    taken = []
    for number in range(20):
        with (folder / f"fsync{number}").open("wb") as file:
            file.write(bytes(SIDE * SIDE * 2))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


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
    print(f"\nan fsync takes {fsync_ms(tmp_path):.1f} ms on this disk")  # noqa: T201
    for name, (_, durable) in SERVERS.items():
        middle = [median(rates[name, count]) for count in ASSOCIATIONS]
        held = f", at most {memory[name]:.0f} MB" if name in memory else ""
        figures = " / ".join(f"{each:6.0f}" for each in middle)
        print(f"{name:26} {figures} instances a second ({durable}{held})")  # noqa: T201
    for name, goals in GOALS.items():
        ratios = [
            f"{median(rates[OURS, count]) / median(rates[name, count]):.2f} (goal {goal})"
            for count, goal in zip(ASSOCIATIONS, goals, strict=True)
        ]
        print(f"ours / {name:26} {' / '.join(ratios)}")  # noqa: T201


FRAMES = 2000
FRAME_BYTES = 512 * 512 * 2


def enhanced(folder: Path) -> Path:
    """Write an Enhanced MR instance of 1.05 GB, whose pixels are a hole in the file."""
    one = image(Rows=512, Columns=512, NumberOfFrames=FRAMES, SOPClassUID=EnhancedMRImageStorage)
    one.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    one.PixelData = bytes(2)
    head, size = part10(one)[:-6], FRAMES * FRAME_BYTES
    path = folder / "enhanced.dcm"
    with path.open("wb") as file:
        file.write(head + size.to_bytes(4, "little"))
        file.truncate(len(head) + 4 + size)
    return path


def test_12_an_enhanced_instance_of_a_gigabyte_is_not_held_in_memory(
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
    print(  # noqa: T201
        f"\n{size / 1e9:.2f} GB in {taken:.1f} s; at most {held:.0f} MB held, {idle:.0f} MB before"
    )
    assert size >= FRAMES * FRAME_BYTES
    assert held < MEMORY_MB
