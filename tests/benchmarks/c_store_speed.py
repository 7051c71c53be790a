"""Receivers for C-STORE that run in a process of their own, and how fast they receive."""

import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median

from pydicom.uid import EnhancedMRImageStorage

import receivers.c_store
from tests.builders.images import image, part10
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
AE_TITLE = "CMRTRIAGE"
KB = 1024


@dataclass(frozen=True)
class Running:
    """A receiver that listens."""

    port: int
    pid: int | None = None  #: where its memory is asked for


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
