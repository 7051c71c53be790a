"""A DICOM receiver with the settings of a test, its resource use, and misbehaving senders."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pynetdicom import AE
from pynetdicom.association import Association

import receivers.c_store
from tests.builders.images import image, part10
from tests.fakes import FakeClock
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.pynetdicom_internals import read_answer
from triage.pipeline.intake import Intake
from triage.pipeline.memory_budget import MemoryBudget
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

CALLED = "CMRTRIAGE"


@dataclass(frozen=True)
class ListeningReceiver:
    """A receiver with its ledger and state folder."""

    settings: ReceiverSettings
    intake: Intake
    ledger: SqlLedger
    state: Path

    @property
    def port(self) -> int:
        return self.settings.plain_port()

    @property
    def tls_port(self) -> int:
        assert self.settings.tls is not None
        return self.settings.tls.port

    def files(self) -> list[Path]:
        """Return the files of kept and of refused instances."""
        folders = (self.state / "spool", self.state / "quarantine")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def list_incidents(self, times: int = 0) -> list[tuple[str, str, int]]:
        """Return reason, AE title and count of every incident, when their sum is `times`."""
        wait_until(
            lambda: sum(count for *_, count in self._read_incidents()) >= times,
            what="the incidents",
        )
        return self._read_incidents()

    def _read_incidents(self) -> list[tuple[str, str, int]]:
        self.intake.flush_incidents()
        rows = self.ledger.incidents(1000)
        return [(row.detail, row.calling_ae, row.times) for row in rows]


@contextmanager
def run_receiver(state: Path, **settings: Any) -> Iterator[ListeningReceiver]:
    """Run a receiver until the block ends; by default PACS may send."""
    ledger = SqlLedger.in_folder(state, FakeClock())
    given = {"port": find_free_port(), "calling": ["PACS"], **settings}
    receiver = ReceiverSettings.model_validate(given)
    intake = Intake(FileSpool(state), ledger, memory=MemoryBudget(receiver.memory_bytes))
    receiving = receivers.c_store.start(intake, receiver)
    try:
        yield ListeningReceiver(receiver, intake, ledger, state)
    finally:
        receiving.end()
        ledger.close()


def request_association(
    port: int, *contexts: Any, calling: str = "PACS", called: str = CALLED
) -> Association:
    """Return an association, established or not."""
    ae = AE(ae_title=calling)
    for sop_class, syntaxes in contexts or [("1.2.840.10008.1.1", None)]:
        ae.add_requested_context(sop_class, syntaxes)
    return ae.associate(HOST, port, ae_title=called, evt_handlers=[CONNECTION_SETUP])


def read_rejection(association: Association) -> tuple[int, int, int]:
    """Return result, source and reason of the A-ASSOCIATE-RJ of an association."""
    primitive: Any = read_answer(association)
    return primitive.result, primitive.result_source, primitive.diagnostic


def connect_silently(port: int) -> socket.socket:
    """Return a connection on which nothing is sent."""
    return socket.create_connection((HOST, port), timeout=60)


def is_closed(connection: socket.socket, within_s: float = 60) -> bool:
    """Return True if the peer closes a connection in time; received bytes are ignored."""
    deadline = time.monotonic() + within_s
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(4096):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


@dataclass(frozen=True)
class ResourceUse:
    """The resources that this process uses."""

    threads: int
    descriptors: int
    megabytes: float


def measure_resources() -> ResourceUse:
    """Return the resource use of this process after a garbage collection."""
    gc.collect()
    process = psutil.Process()
    memory = process.memory_info().rss / 1e6
    return ResourceUse(threading.active_count(), process.num_fds(), memory)


def write_study(folder: Path, count: int) -> Path:
    """Return a folder with `count` instances of one study."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.dcm").write_bytes(part10(image(number=number)))
    return folder
