"""A receiver with settings of the test's own, what it costs, and senders that misbehave."""

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
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

CALLED = "CMRTRIAGE"


@dataclass(frozen=True)
class Gate:
    """A receiver that listens."""

    settings: ReceiverSettings
    intake: Intake
    ledger: SqlLedger
    state: Path

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def tls_port(self) -> int:
        assert self.settings.tls is not None
        return self.settings.tls.port

    def files(self) -> list[Path]:
        """Return what it keeps of instances, refused ones too."""
        folders = (self.state / "spool", self.state / "quarantine")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def turned_away(self, times: int = 0) -> list[tuple[str, str, int]]:
        """Return the reason, AE title and number of every incident, once there are so many."""
        wait_until(lambda: sum(count for *_, count in self._told()) >= times, what="the incidents")
        return self._told()

    def _told(self) -> list[tuple[str, str, int]]:
        self.intake.flush_incidents()
        rows = self.ledger.incidents(1000)
        return [(row.detail, row.calling_ae, row.times) for row in rows]


@contextmanager
def gate(state: Path, **settings: Any) -> Iterator[Gate]:
    """Run a receiver until the block ends; PACS may send, unless said otherwise."""
    ledger = SqlLedger.in_folder(state, FakeClock())
    intake = Intake(FileSpool(state), ledger)
    given = {"port": find_free_port(), "calling": ["PACS"], **settings}
    receiver = ReceiverSettings.model_validate(given)
    receiving = receivers.c_store.start(intake, receiver)
    try:
        yield Gate(receiver, intake, ledger, state)
    finally:
        receiving.end()
        ledger.close()


def ask(port: int, *contexts: Any, calling: str = "PACS", called: str = CALLED) -> Association:
    """Return an association, established or not."""
    ae = AE(ae_title=calling)
    for sop_class, syntaxes in contexts or [("1.2.840.10008.1.1", None)]:
        ae.add_requested_context(sop_class, syntaxes)
    return ae.associate(HOST, port, ae_title=called, evt_handlers=[CONNECTION_SETUP])


def answer(association: Association) -> tuple[int, int, int]:
    """Return result, source and reason of the A-ASSOCIATE-RJ that an association got."""
    assert association.is_rejected
    said: Any = association.acceptor.primitive
    return said.result, said.result_source, said.diagnostic


def silent(port: int) -> socket.socket:
    """Return a connection on which nothing was said."""
    return socket.create_connection((HOST, port), timeout=60)


def is_closed(connection: socket.socket, within_s: float = 60) -> bool:
    """Tell whether the other side ends a connection soon; what it says before is not looked at."""
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
class Cost:
    """What this process holds."""

    threads: int
    descriptors: int
    megabytes: float


def cost() -> Cost:
    """Return what this process holds now, after what is due to be collected was."""
    gc.collect()
    process = psutil.Process()
    memory = process.memory_info().rss / 1e6
    return Cost(threading.active_count(), process.num_fds(), memory)


def written(folder: Path, count: int) -> Path:
    """Return a folder with so many instances of one study."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.dcm").write_bytes(part10(image(number=number)))
    return folder
