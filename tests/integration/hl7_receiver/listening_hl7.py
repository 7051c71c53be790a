"""An HL7 listener with the settings of a test, its ledger with one study, and a sender."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import update

from receivers.hl7 import RECEIVER
from receivers.receiver import ReceiverServices, RunningReceiver
from tests.contract.ledgers import SOURCE, numbered_receipt
from tests.fakes import FakeClock
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import Hl7Sender, Hl7Settings, ReceiverSettings, Settings
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.outcomes import SqlOutcomes
from triage.store.schema import studies
from triage.store.spool import FileSpool

STUDY, ACCESSION = "1.2.3", "A4711"
WAIT_S = 240.0
START, END = b"\x0b", b"\x1c\r"


@dataclass(frozen=True)
class ListeningHl7:
    """A listener, its ledger and outcomes."""

    port: int
    running: RunningReceiver
    ledger: SqlLedger
    outcomes: SqlOutcomes

    def read_outcomes(self) -> dict[str, str]:
        return {o.finding_id: str(o.status) for o in self.outcomes.list_outcomes(STUDY)}

    def read_incidents(self) -> dict[str, int]:
        return {each.detail: each.times for each in self.ledger.incidents()}


def store_study(state: Path) -> None:
    """Record a study with its accession number in the ledger of a folder."""
    database = SqlLedger.database_in(state)
    SqlLedger(database, FakeClock()).record_instance(numbered_receipt(STUDY, 1), SOURCE)
    with database.writing() as connection:
        connection.execute(update(studies).values(accession_number=ACCESSION))
    database.close()


@contextmanager
def listening_hl7(state: Path, port: int = 0, **values: Any) -> Iterator[ListeningHl7]:
    """Run a listener on the ledger of a folder."""
    port = port or find_free_port()
    artim_s = values.pop("artim_s", 30.0)
    senders = values.pop("senders", {"ris": Hl7Sender(application="RIS")})
    hl7 = Hl7Settings(port=port, senders=senders, **values)
    receiver = ReceiverSettings(hl7=hl7, artim_s=artim_s)
    database = SqlLedger.database_in(state)
    ledger, outcomes = SqlLedger(database, FakeClock()), SqlOutcomes(database, FakeClock())
    intake = Intake(FileSpool(state), ledger)
    settings = Settings(receiver=receiver, state_dir=state)
    running = RECEIVER.start(ReceiverServices(settings, intake, outcomes=outcomes), hl7)
    try:
        yield ListeningHl7(port, running, ledger, outcomes)
    finally:
        running.end()
        database.close()


@contextmanager
def connect(port: int, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), WAIT_S) as plain:
        if context is None:
            yield plain
            return
        with context.wrap_socket(plain, server_hostname=HOST) as secured:
            yield secured


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(START + message + END)


def receive(connection: socket.socket) -> bytes:
    """Return the next acknowledgement; empty if the connection ended."""
    received = b""
    while not received.endswith(END):
        try:
            piece = connection.recv(65_536)
        except ConnectionError:
            return b""
        if not piece:
            return b""
        received += piece
    return received.removeprefix(START).removesuffix(END)


def code_of(answer: bytes) -> str:
    """Return MSA-1 of an acknowledgement, "" without one."""
    lines = [line.split("|") for line in answer.decode().split("\r")]
    return next((line[1] for line in lines if line[0] == "MSA"), "")


def exchange(port: int, message: bytes, context: ssl.SSLContext | None = None) -> str:
    """Send a message on a connection of its own; return the code of its acknowledgement."""
    with connect(port, context) as connection:
        send(connection, message)
        return code_of(receive(connection))
