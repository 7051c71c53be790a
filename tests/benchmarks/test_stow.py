"""How many instances a second come in over STOW-RS, and what one large instance takes in memory.

Rule: one run is one table: the same files go to us over STOW-RS, to us over C-STORE, and to Orthanc
over STOW-RS, and only ratios within a run mean anything. Ours are durable (fsync, ledger); Orthanc
syncs nothing by default. The sender is one that reads the files from disk and does nothing else.
"""

import http.client
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median

import pytest

import receivers.stow
from receivers.stow.access import hash_token
from tests.benchmarks import c_store_speed as c_store
from tests.builders.images import image, part10
from tests.integration.servers import orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings, StowSettings
from triage.pipeline.intake import Intake
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

INSTANCES = 500  #: of one request
REQUESTS = (1, 4)  #: at once
ROUNDS = 3  #: the table has their median
TOKEN = "of 32 random bytes"
BOUNDARY = "b0undary"
PIECE = 1 << 18
MEMORY_MB = 200  #: of ours, at most, whatever comes
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a folder of files for each request; together they are one study."""
    folders = []
    pixels = os.urandom(c_store.SIDE * c_store.SIDE * 2)
    for series in range(max(REQUESTS)):
        folder = tmp_path_factory.mktemp("sent")
        for number in range(INSTANCES):
            one = image(
                "study", f"series {series}", number, Rows=c_store.SIDE, Columns=c_store.SIDE
            )
            one.PixelData = pixels
            (folder / f"{number}.dcm").write_bytes(part10(one))
        folders.append(folder)
    return folders


def serve(state: Path, port: int, ended: Event) -> None:
    """Receive in this process, as `triage receive` does, until `ended`."""
    ledger = SqlLedger.in_folder(state, SystemClock())
    stow = StowSettings.model_validate(
        {"port": port, "senders": {"MR1": {"token": hash_token(TOKEN)}}}
    )
    serving = receivers.stow.start(
        Intake(FileSpool(state), ledger), ReceiverSettings(stow=stow), stow
    )
    ended.wait()
    serving.end()


@contextmanager
def ours(state: Path) -> Iterator[tuple[int, str, int]]:
    """Yield port, path and process of a receiver of ours."""
    context, port = multiprocessing.get_context("spawn"), find_free_port()
    ended = context.Event()
    process = context.Process(target=serve, args=(state, port, ended))
    process.start()
    try:
        wait_until(lambda: listens(port), what="the receiver")
        yield port, "/studies", process.pid or 0
    finally:
        ended.set()
        process.join(20)


@contextmanager
def orthanc_pacs(folder: Path) -> Iterator[tuple[int, str, int]]:
    with orthanc(folder, Plugins=[peer(PLUGIN)], DicomWeb={"Enable": True}) as running:
        yield running.http_port, "/dicom-web/studies", 0


def message(files: Sequence[Path]) -> Iterator[bytes]:
    """Yield a multipart message of files, in pieces."""
    for path in files:
        yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def post(port: int, path: str, files: Sequence[Path]) -> int:
    """Send files in one request; return the status."""
    connection = http.client.HTTPConnection(HOST, port, timeout=600)
    length = sum(map(len, message([]))) + sum(
        path.stat().st_size + len(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n\r\n")
        for path in files
    )
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
        "Content-Length": str(length),
        "Authorization": f"Bearer {TOKEN}",
    }
    connection.request("POST", path, message(files), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def rate(port: int, path: str, folders: list[Path]) -> float:
    """Return how many instances a second arrive when each folder has its own request."""
    files = [sorted(folder.iterdir()) for folder in folders]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(folders)) as senders:
        statuses = [*senders.map(lambda each: post(port, path, each), files)]
    assert statuses == [200] * len(folders)
    return len(folders) * INSTANCES / (time.perf_counter() - began)


@pytest.mark.timeout(1800)
def test_instances_a_second_over_stow(
    tmp_path: Path, sent: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCP_NODELAY", "1")
    rates: dict[tuple[str, int], list[float]] = {}
    held = 0.0
    for turn in range(ROUNDS):
        for count in REQUESTS:
            for name, server in (("STOW-RS, ours", ours), ("STOW-RS, Orthanc", orthanc_pacs)):
                folder = tmp_path / f"{turn} {name} {count}"
                folder.mkdir()
                with server(folder) as (port, path, pid):
                    rates.setdefault((name, count), []).append(rate(port, path, sent[:count]))
                    held = max(held, c_store.peak_mb(pid) if pid else 0.0)
            for name, c_store_server in (
                ("C-STORE, ours (fast: false)", c_store.plain),
                ("C-STORE, ours (fast: true)", c_store.ours),
            ):
                folder = tmp_path / f"{turn} {name} {count}"
                folder.mkdir()
                with c_store_server(folder) as running:
                    taken = c_store.rate(running.port, sent[:count])
                    rates.setdefault((name, count), []).append(taken)
    print(f"\nan fsync takes {c_store.fsync_ms(tmp_path):.1f} ms on this disk")
    names = dict.fromkeys(name for name, _ in rates)
    for name in names:
        figures = " / ".join(f"{median(rates[name, count]):6.0f}" for count in REQUESTS)
        print(f"{name:28} {figures} instances a second")
    print(f"ours over STOW-RS held at most {held:.0f} MB")
    assert held < MEMORY_MB


def test_an_instance_of_a_gigabyte_is_not_held_in_memory(tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    path = c_store.enhanced(tmp_path / "sent")
    with ours(tmp_path) as (port, where, pid):
        idle, began = c_store.peak_mb(pid), time.perf_counter()
        assert post(port, where, [path]) == 200
        taken, held = time.perf_counter() - began, c_store.peak_mb(pid)
    (kept_file,) = (tmp_path / "spool").glob("*/*.dcm")
    size = kept_file.stat().st_size
    print(
        f"\n{size / 1e9:.2f} GB in {taken:.1f} s; at most {held:.0f} MB held, {idle:.0f} MB before"
    )
    assert size == path.stat().st_size
    assert held < MEMORY_MB
