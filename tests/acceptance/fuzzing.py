"""Malformed conversations with a real receiver, and the checks after each round of them.

The receiver is a process of its own, so that its memory, descriptors and log are its own. A failed
round writes its conversations beside the receiver's log.
"""

import json
import socket
import struct
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from hypothesis import given, settings
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.acceptance.floods import Flooded
from tests.acceptance.site import CALLED, CALLING
from tests.builders.bent import ABORT, PLAIN_RQ, RELEASE_RQ, Conversation, conversations
from tests.builders.images import image
from tests.parser_fuzzing import GENERATE_ONLY
from tests.waiting import HOST, wait_until
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger

#: Settings of the receiver: silent senders are soon disconnected.
BOUNDS = {"artim_s": 2.0, "idle_s": 2.0}
ROUND = 25  #: conversations
PROMPT_S = 10.0  #: for an echo and an instance, on a machine that has other things to do
GIVEN_UP_S = 30.0  #: for the threads and descriptors of a round to be gone
LEAK_MB = 40.0
#: What an open database costs in descriptors: its file, its log and the log's index, each once for
#: every connection of the pool.
POOL_DESCRIPTORS = 30

#: Where an error may have been raised that the log tells of. pynetdicom has a thread of its own for
#: what it reads of each association; bytes that are no PDU, no item or no command set end it there,
#: in pydicom's parsers too, and with it that association alone: its connection is closed, and its
#: threads are counted after each round. The last is our own word for a PDU beyond the bounds.
FORESEEN = ("pynetdicom/", "pydicom/", "c_store/guard.py")


@dataclass(frozen=True)
class Holding:
    """The resources of a receiver without senders."""

    threads: int
    connections: int
    descriptors: int
    megabytes: float

    @classmethod
    def of(cls, receiver: Flooded) -> "Holding":
        process = psutil.Process(receiver.process.pid)
        return cls(
            process.num_threads(),
            len(process.net_connections()),
            process.num_fds(),
            process.memory_info().rss / 1e6,
        )

    def is_back_at(self, before: "Holding") -> bool:
        return self.threads <= before.threads and self.connections <= before.connections


@dataclass
class Fuzzing:
    """Rounds of conversations with a receiver."""

    receiver: Flooded
    conversations: int = 0
    rounds: int = 0
    worst_s: float = 0.0  #: for a connection, an echo and an instance
    longest_s: float = 0.0  #: until all connections of a round were closed
    answers: Counter[str] = field(default_factory=Counter)
    _staying: list[socket.socket] = field(default_factory=list)
    _round: list[Conversation] = field(default_factory=list)

    def go_on_for(self, seconds: float) -> None:
        """Have rounds of conversations until the time is over."""
        self._still_receives()  # what is opened once, is opened now
        wait_until(lambda: Holding.of(self.receiver).connections == 1, GIVEN_UP_S, "its end")
        before, until = Holding.of(self.receiver), time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                self._one_round(before)
            except BaseException:
                self._write_down()
                raise
        after = Holding.of(self.receiver)
        print(
            f"\nfast: {self.receiver.fast}; {self.conversations} conversations in {self.rounds} "
            f"rounds; at worst {self.worst_s:.2f} s for an echo and an instance after a round, "
            f"{self.longest_s:.1f} s until it had closed silent connections"
            f"\n  {dict(self.answers)}\n  before {before}\n  after  {after}"
            f"\n  in its log: {dict(errors_in(self.receiver.log()))}"
        )
        assert after.megabytes - before.megabytes < LEAK_MB
        assert after.descriptors - before.descriptors <= POOL_DESCRIPTORS

    def _one_round(self, before: Holding) -> None:
        self._round.clear()

        @settings(GENERATE_ONLY, max_examples=ROUND)
        @given(conversations())
        def converse(conversation: Conversation) -> None:
            self._round.append(conversation)
            self._converse(conversation)

        converse()
        self.rounds += 1
        began = time.monotonic()
        self._still_receives()
        self.worst_s = max(self.worst_s, time.monotonic() - began)
        assert self.worst_s < PROMPT_S
        self._gives_up_who_stays()
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        wait_until(
            lambda: Holding.of(self.receiver).is_back_at(before),
            GIVEN_UP_S,
            f"back to {before}, from {Holding.of(self.receiver)}: it",
        )
        self._keeps_nothing_by_halves()
        unforeseen = {each for each in errors_in(self.receiver.log()) if not _is_foreseen(each)}
        assert not unforeseen, unforeseen

    # -- one conversation

    def _converse(self, conversation: Conversation) -> None:
        self.conversations += 1
        connection = socket.create_connection((HOST, self.receiver.port), PROMPT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # the receiver has closed it
            connection.sendall(conversation.request)
            if conversation.waits:
                plain = conversation.request == PLAIN_RQ
                self._hear(connection, PROMPT_S if plain else 0.1)
            for part in conversation.parts:
                connection.sendall(part)
            self._hear(connection, 0.03)
            if conversation.end == "release":
                connection.sendall(RELEASE_RQ)
                self._hear(connection, 0.1)
            elif conversation.end == "abort":
                connection.sendall(ABORT)
            elif conversation.end == "half":
                connection.shutdown(socket.SHUT_WR)
        if conversation.end in {"half", "stay"}:
            self._staying.append(connection)
        else:
            connection.close()

    def _hear(self, connection: socket.socket, seconds: float) -> None:
        """Count the answers that come soon, by the type of their PDUs."""
        connection.settimeout(seconds)
        try:
            while head := connection.recv(6, socket.MSG_WAITALL):
                kind, length = struct.unpack(">BxL", head)
                connection.recv(length, socket.MSG_WAITALL)
                self.answers[f"PDU {kind}"] += 1
                connection.settimeout(0.03)
        except (TimeoutError, ConnectionError, struct.error):
            pass

    # -- what must hold after a round

    def _still_receives(self) -> None:
        """Have an echo answered, and an instance kept."""
        ae = AE(ae_title=CALLING)
        ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        ae.add_requested_context(Verification)
        port = self.receiver.port
        association = ae.associate(HOST, port, ae_title=CALLED, evt_handlers=[CONNECTION_SETUP])
        assert association.is_established
        assert association.send_c_echo().Status == StoreStatus.SUCCESS
        one = image("good", "good", self.rounds)
        assert association.send_c_store(one).Status == StoreStatus.SUCCESS
        association.release()
        kept = self.receiver.state / "spool" / one.StudyInstanceUID
        assert (kept / f"{one.SOPInstanceUID}.dcm").is_file()

    def _gives_up_who_stays(self) -> None:
        """Wait until the receiver has closed every silent connection."""
        for connection in self._staying:
            connection.settimeout(GIVEN_UP_S)
            with closing(connection), suppress(ConnectionError):
                while connection.recv(4096):
                    pass
        self._staying.clear()

    def _keeps_nothing_by_halves(self) -> None:
        """Compare disk and ledger: each file is recorded, as an instance or as an incident."""
        spool = self.receiver.state / "spool"
        assert not list((spool / "incoming").iterdir())
        with closing(SqlLedger.in_folder(self.receiver.state, SystemClock())) as ledger:
            reported = {row.path for row in ledger.incidents(1_000_000)}
            known = ledger.list_known_paths()
        kept = {str(path.relative_to(spool)) for path in spool.glob("[0-9]*/*")}
        assert {path for path in kept if path.endswith(".dcm")} == known
        studies = {path.partition("/")[0] for path in kept if path.endswith(".other")}
        assert studies <= reported
        quarantined = {f"quarantine/{path.name}" for path in _quarantined(self.receiver)}
        assert quarantined <= reported

    def _write_down(self) -> None:
        said = "\n".join(map(repr, self._round))
        path = self.receiver.folder / "round.txt"
        path.write_text(said)
        print(f"\nthe conversations of the round: {path}")


def _quarantined(receiver: Flooded) -> list[Path]:
    return list((receiver.state / "quarantine").iterdir())


Error = tuple[str, str, str]  #: what was logged, the exception's type and where it was raised


def errors_in(log: str) -> Counter[Error]:
    """Return the exceptions of a log, and the text that is no line of a log."""
    found: Counter[Error] = Counter()
    for line in log.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            found["not a line of a log", line, ""] += 1
            continue
        if "where" in said:
            found[said["event"], said["error"], "/".join(said["where"].split("/")[-2:])] += 1
    return found


def _is_foreseen(error: Error) -> bool:
    _, _, where = error
    return where.startswith(FORESEEN)
