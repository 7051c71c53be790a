"""A `triage receive` under a flood of instances, and senders that retry until all are answered.

The expected bytes of an instance follow from its number alone (`made`), so no file of the receiver
is compared with another file of the receiver.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import shake_256
from itertools import takewhile
from pathlib import Path
from typing import Self
from uuid import uuid4

import yaml
from pydicom.uid import UID
from sqlalchemy import func, select

from tests.acceptance import raw_sender
from tests.acceptance.raw_sender import PDU_BYTES
from tests.acceptance.site import CALLED, CALLING
from tests.builders.images import image, part10, uid
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.dicom.header import strip_file_meta
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger
from triage.store.schema import instances

ROOT = Path(__file__).parents[2]
OF_EACH_KIND = 4  #: senders at a time, each with one association
PER_STUDY = 500
SIDE = 32  #: pixels; an instance has 3 kB
FIRST = 1_000_000_000  #: so that all numbers have as many digits
KB = 1024
QUIET_S = 86_400  #: no study is judged complete meanwhile: this is about receiving
RESTARTED_S = 240.0  #: to listen again, and for the ledger to know what was promised


# -- what is sent


def sop_instance_uid(number: int) -> str:
    return f"{uid('flood')[:40].rstrip('.')}.{FIRST + number}"


def study_uid(number: int) -> str:
    return f"{uid('study')[:40].rstrip('.')}.{FIRST + number // PER_STUDY}"


def pixels(number: int) -> bytes:
    return shake_256(str(number).encode()).digest(SIDE * SIDE * 2)


@cache
def _pattern() -> bytes:
    one = image(Rows=SIDE, Columns=SIDE, PixelData=pixels(0))
    one.SOPInstanceUID = UID(sop_instance_uid(0))
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = study_uid(0), f"{study_uid(0)}.1"
    return part10(one)


def made(number: int) -> bytes:
    """Return an instance as a Part 10 file: small, quickly made, with pixels of its own."""
    content = _pattern().replace(sop_instance_uid(0).encode(), sop_instance_uid(number).encode())
    content = content.replace(study_uid(0).encode(), study_uid(number).encode())
    return content.replace(pixels(0), pixels(number))


def spooled(number: int) -> str:
    """Return its expected path, relative to the spool."""
    return f"{study_uid(number)}/{sop_instance_uid(number)}.dcm"


# -- who receives it


@dataclass
class Flooded:
    """A `triage receive` with a real ledger and a real spool."""

    folder: Path
    fast: bool
    port: int = field(default_factory=find_free_port)
    bounds: Mapping[str, object] = field(default_factory=dict)  #: settings of the receiver
    peak_mb: float = 0.0
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def log(self) -> str:
        return (self.folder / "receive.log").read_text(errors="replace")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "triage.yaml"
        config.write_text(yaml.safe_dump(self._settings()))
        command = [sys.executable, "-m", "triage", "--config", str(config), "receive"]
        with (self.folder / "receive.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        wait_until(lambda: listens(self.port), RESTARTED_S, "the receiver")

    def _settings(self) -> dict[str, object]:
        return {
            "state_dir": "state",
            "log": "json",
            "redis_url": f"redis://{HOST}:1/0",  # it need not be there to receive
            "receiver": {
                "ae_title": CALLED,
                "port": self.port,
                "calling": [CALLING],
                "quiet_s": QUIET_S,
                "complete": {"evidence": [], "at_most_s": QUIET_S},
                "fast": self.fast,
                **self.bounds,
            },
            "destinations": [{"name": "pacs", "ae_title": "NONE", "host": HOST, "port": 1}],
        }

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """End it as the system does that has no memory left, and start it again at once."""
        self.measure()
        self.process.kill()
        self.process.wait()
        self.start()

    def measure(self) -> None:
        """Note the most memory that it ever held (proc(5), VmHWM)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (held,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        self.peak_mb = max(self.peak_mb, int(held) * KB / 1e6)

    def end(self) -> None:
        self.measure()
        self.process.terminate()
        self.process.wait(30)

    # -- what it has

    def has(self, number: int) -> bool:
        """Return whether an instance is on disk with the bytes that were sent."""
        path = self.state / "spool" / spooled(number)
        return path.is_file() and strip_file_meta(path.read_bytes()) == strip_file_meta(
            made(number)
        )

    def known(self) -> set[str]:
        """Return what the ledger knows, as paths in the spool."""
        with closing(SqlLedger.in_folder(self.state, SystemClock())) as ledger:
            return ledger.list_known_paths()

    def rows(self) -> int:
        counted = select(func.count()).select_from(instances)
        database = SqlLedger.database_in(self.state)
        with closing(database), database.reading() as connection:
            return int(connection.scalar(counted) or 0)

    def files(self) -> set[str]:
        """Return everything that it keeps, what was not promised aside."""
        spool = self.state / "spool"
        kept = {str(path.relative_to(spool)) for path in spool.glob("[0-9]*/*")}
        return kept | {str(path) for path in (self.state / "quarantine").iterdir()}

    def left_aside(self) -> int:
        """Return how many unacknowledged files were being written when it was killed."""
        return len(list((self.state / "spool" / "incoming").iterdir()))


@contextmanager
def flooded(folder: Path, *, fast: bool, **bounds: object) -> Iterator[Flooded]:
    receiver = Flooded(folder, fast, bounds=bounds)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.end()


# -- who sends it


class Dcmtk:
    """Sends a folder over one association of a `storescu`."""

    def __init__(self, port: int) -> None:
        peers = ["-aet", CALLING, "-aec", CALLED, HOST, str(port)]
        self._command = [peer("storescu"), "-v", "-R", "--max-pdu", str(PDU_BYTES), *peers, "+sd"]

    def send(self, folder: Path) -> Iterator[str]:
        """Yield the name of each file as soon as it was answered with Success."""
        with subprocess.Popen(
            [*self._command, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TCP_NODELAY": "1"},
        ) as process:
            assert process.stdout is not None
            name = ""
            for line in process.stdout:
                if "Sending file: " in line:
                    name = Path(line.rstrip().split("Sending file: ")[1]).name
                elif "Received Store Response (Success)" in line:
                    yield name

    def end(self) -> None:
        """It has ended."""


class Pynetdicom:
    """Sends a folder over one association of a process that goes on to the next folder."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", raw_sender.__name__, HOST, str(port), CALLING, CALLED]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )

    def send(self, folder: Path) -> Iterator[str]:
        """Yield the name of each file as soon as it was answered with Success."""
        told, says = self._process.stdin, self._process.stdout
        assert told is not None
        assert says is not None
        told.write(f"{folder}\n")
        told.flush()
        lines = iter(lambda: says.readline().rstrip("\n"), raw_sender.END)
        yield from takewhile(bool, lines)

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


SENDERS = (Dcmtk, Pynetdicom)
Sender = Dcmtk | Pynetdicom


class Flood:
    """Eight senders at a time, half of them DCMTK's; each sends again what was not answered."""

    def __init__(self, port: int, folder: Path, batch: int, count: int | None = None) -> None:
        """Send `count` instances, or as many as there is time for until `enough`."""
        self.answered: set[int] = set()
        self.begun = 0  #: instances of all batches
        self.attempts = 0
        self._shares: dict[type[Sender], int] = dict.fromkeys(SENDERS, 0)
        self._port, self._folder, self._batch, self._count = port, folder, batch, count
        self._enough, self._given_up = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._senders = [kind(port) for kind in SENDERS for _ in range(OF_EACH_KIND)]
        self._slots = [
            threading.Thread(target=self._send_batches, args=(one,)) for one in self._senders
        ]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for slot in self._slots:
            slot.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()
        self.join()
        for sender in self._senders:
            sender.end()

    def enough(self) -> None:
        """Begin no more batches."""
        self._enough.set()

    def in_words(self) -> str:
        """Return the number of instances by sender."""
        shares = ", ".join(f"{count} from {each.__name__}" for each, count in self._shares.items())
        return f"{shares} over {self.attempts} associations"

    def join(self) -> float:
        """Wait until everything was answered; return the seconds it took."""
        for slot in self._slots:
            slot.join()
        return time.monotonic() - self._began

    def promised(self) -> set[int]:
        """Return what was answered with Success until now."""
        with self._lock:
            return set(self.answered)

    def wait_for_an_answer(self) -> None:
        """Wait until one more instance is answered."""
        before = len(self.answered)
        wait_until(lambda: len(self.answered) > before, RESTARTED_S, "an answer")

    def _send_batches(self, sender: Sender) -> None:
        while numbers := self._next():
            waiting = set(numbers)
            while waiting and not self._given_up.is_set():
                waiting -= self._attempt(sender, waiting)

    def _next(self) -> range:
        with self._lock:
            ended = self._enough.is_set() or self._given_up.is_set()
            left = 0 if ended else self._batch
            if self._count is not None:
                left = min(left, self._count - self.begun)
            numbers = range(self.begun, self.begun + left)
            self.begun += left
            return numbers

    def _attempt(self, sender: Sender, numbers: Iterable[int]) -> set[int]:
        wait_until(lambda: listens(self._port), RESTARTED_S, "the receiver")
        folder = self._folder / uuid4().hex
        folder.mkdir(parents=True)
        for number in numbers:
            (folder / str(number)).write_bytes(made(number))
        answered = set()
        for name in sender.send(folder):
            answered.add(int(name))
            with self._lock:
                self.answered.add(int(name))
                self._shares[type(sender)] += 1
        with self._lock:
            self.attempts += 1
        shutil.rmtree(folder)
        return answered
