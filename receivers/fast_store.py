"""C-STORE without detours: from the socket to the file, and a prepared answer.

pynetdicom keeps associations, negotiation and every other service. It reads all that a peer sends
through an `AssociationSocket`, in one thread an association; ours looks at each message first. A
C-STORE of the usual form is served here, in that thread. Anything else stays in the buffer, and
pynetdicom reads it from there as if nobody had looked: a release, an abort, a C-ECHO, a command set
in pieces, a closed connection.

Rule: a message is either served here or pynetdicom's, from its first byte to its last; what breaks
off in the middle of one ends the association. Success is answered when `Intake.accept_file` has
returned. Bytes are untrusted: a PDU, a command set and a wait are bounded, a file is removed
whatever happens; the bounds are those of `guard`. Associations that may ask for storage commitment
are pynetdicom's altogether, for its reports pause them as we do. What is used of pynetdicom beyond
its documentation stands in `attach_fast_path`, `_may_serve` and `_paused`.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import structlog
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pynetdicom.association import Association
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    uid_to_service_class,
)

from receivers.command_set import (
    COMMAND_BYTES_MAX,
    StoreRequest,
    encode_file_meta,
    encode_response,
    is_command,
    read_request,
)
from receivers.guard import GuardedSocket, InstanceLimit
from receivers.listener import AssociationListener
from triage.dimse.pynetdicom_internals import (
    is_between_messages,
    pause_reader,
    restart_idle_timer,
    resume_reader,
)
from triage.dimse.statuses import StoreStatus
from triage.domain.errors import OutOfResources
from triage.domain.instance import Source
from triage.pipeline.intake import Intake
from triage.ports.spool import StagedFile

log = structlog.get_logger(__name__)

P_DATA_TF = 0x04
PDU_HEADER = struct.Struct(">BxL")  #: type, length (PS3.8 9.3.1)
PDV_HEADER = struct.Struct(">LBB")  #: length, context, control (PS3.8 9.3.5.1, E.2)
COMMAND, LAST = 0x01, 0x02  #: bits of the control header
ABORT_PDU = bytes.fromhex("07 00 00000004 0000 02 06")  #: by the provider, invalid parameter
HANDLER_FAILED = 0xC211  #: pynetdicom's status for a handler that failed
#: What a peer must take for our answers to go in one piece (its limit; 0 is none).
RESPONSE_PDU_BYTES = 512
#: How long a peer is waited for between two instances before pynetdicom looks after it; seconds.
POLL_S = 0.5
#: A transfer syntax that needs all bytes at once to be judged, or is of another byte order.
SLOW_PATH_SYNTAXES = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}

#: Takes a call that keeps an instance; returns the status to answer with.
StoreAttempt = Callable[[Callable[[], object]], int]


def attach_fast_path(
    server: AssociationListener, intake: Intake, answer: StoreAttempt, limit: InstanceLimit
) -> None:
    """Have all associations of a server, from now on, serve C-STORE here."""
    plain: Any = server.RequestHandlerClass
    taking = _FastStoreContext(intake, answer, limit, server.pdu_bytes)

    class FastRequestHandler(plain):  # type: ignore[misc]
        def _create_association(self) -> Association:
            association = cast(Association, super()._create_association())
            association.dul.event_queue.get_nowait()  # the next line announces the connection anew
            association.dul.socket = FastSocket(association, self.request, taking)
            return association

    server.RequestHandlerClass = FastRequestHandler


@dataclass(frozen=True)
class _FastStoreContext:
    """What the associations of a server have in common."""

    intake: Intake
    answer: StoreAttempt
    limit: InstanceLimit
    pdu_bytes: int


class _NotFastPath(Exception):
    """A message that pynetdicom should read."""


class _AbortPending(Exception):
    """Pynetdicom has something to send in the middle of a message: our own abort."""


class _ProtocolError(Exception):
    """Bytes in the middle of a message that cannot belong there."""


@dataclass(frozen=True)
class _Fragment:
    """A presentation data value (PS3.8 9.3.5.1), still in the buffer."""

    context: int
    control: int
    value: memoryview


class _ReceiveBuffer:
    """The bytes that have arrived and were not taken yet; one buffer, used again and again."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @cached_property
    def _buffer(self) -> bytearray:
        return bytearray(2 * self._longest)  # not for who never gets so far as to send

    @cached_property
    def _view(self) -> memoryview:
        return memoryview(self._buffer)

    def fill(self, connection: socket.socket, count: int) -> None:
        """Take what has arrived; there is room for `count` bytes in all, and perhaps for more."""
        if self._start + count > len(self._buffer):
            self._buffer[: len(self)] = self._buffer[self._start : self._end]
            self._start, self._end = 0, len(self)
        got = connection.recv_into(self._view[self._end :])
        if not got:
            raise ConnectionError("the peer closed the connection")
        self._end += got

    def peek(self, start: int, stop: int) -> memoryview:
        """Return bytes that stay; valid until the next `fill`."""
        return self._view[self._start + start : self._start + stop]

    def take(self, count: int) -> bytes:
        """Return at most `count` bytes and let go of them."""
        taken = bytes(self.peek(0, min(count, len(self))))
        self.drop(len(taken))
        return taken

    def drop(self, count: int) -> None:
        """Let go of what was looked at."""
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0


class FastSocket(GuardedSocket):
    """A peer's connection, as pynetdicom reads it, less the C-STOREs that are served here."""

    def __init__(
        self, assoc: Association, connection: socket.socket, taking: _FastStoreContext
    ) -> None:
        super().__init__(assoc, connection, taking.pdu_bytes)
        self._taking = taking
        self._longest = PDU_HEADER.size + taking.pdu_bytes
        self._inbox = _ReceiveBuffer(self._longest)
        self._spoilt = False  #: a message was left in its middle: nothing after it makes sense
        self._timeout_s = float(assoc.network_timeout or POLL_S)

    # -- what pynetdicom calls

    @property
    def ready(self) -> bool:
        """Serve what can be served; return True if there is something for pynetdicom to read."""
        if self._spoilt or (not self._inbox and not super().ready):
            return False
        return self._serve() if self._may_serve() else True

    def recv(self, nr_bytes: int) -> bytearray:
        """Return bytes that were handed back, then those of the connection."""
        self._check(nr_bytes)
        held = bytearray(self._inbox.take(nr_bytes) if self._inbox else b"")
        return held if len(held) == nr_bytes else held + super().recv(nr_bytes - len(held))

    # -- between us and pynetdicom

    def _may_serve(self) -> bool:
        """Tell whether pynetdicom waits for the first byte of a message, and has nothing to say."""
        room = self.assoc.requestor.maximum_length or 0
        return (
            is_between_messages(self.assoc)
            and not self._may_commit
            and (room == 0 or room >= RESPONSE_PDU_BYTES)
        )

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Let pynetdicom's other thread of the association rest, and its idle timer begin anew."""
        connection = self._connection
        pause_reader(self.assoc)
        try:
            connection.settimeout(POLL_S)
            yield
        finally:
            restart_idle_timer(self.assoc)
            resume_reader(self.assoc)
            with suppress(OSError):  # it may be closed by now
                connection.settimeout(self._timeout_s)

    def _serve(self) -> bool:
        """Serve C-STOREs until something else comes, or nothing; return True in the first case."""
        try:
            with self._paused():
                while self._may_serve():
                    if not self._comes():
                        return False
                    self._serve_one()
        except _NotFastPath:
            return True
        except _AbortPending:
            self._spoilt = True
        except _ProtocolError as error:
            log.warning("association ended", why=str(error), calling_ae=self._source.calling_ae)
            self._give_up(ABORT_PDU)
        except OSError:  # closed, reset, or silent for too long in the middle of a message
            self._give_up()
        return False

    def _give_up(self, last_words: bytes = b"") -> None:
        """Close the connection; pynetdicom sees that it is closed, and ends the association."""
        with suppress(OSError):
            self._connection.sendall(last_words)
        self.close()

    def _comes(self) -> bool:
        """Wait a moment for the next message; tell whether it begins."""
        connection = self._connection
        if self._inbox or (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            return True
        poll = select.poll()  # select.select knows no descriptor above 1023
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(POLL_S * 1000))

    # -- one instance

    def _serve_one(self) -> None:
        """Take one C-STORE and answer it; raise _Unusual before anything of it is taken."""
        size, pieces = self._next_pdu()
        context = pieces[0].context
        request, syntax = self._request(pieces)
        with _IncomingInstance(self._taking) as arriving:
            arriving.write(encode_file_meta(request, syntax))
            ended = arriving.append(pieces[1:], context)
            self._inbox.drop(size)
            while not ended:
                size, pieces = self._next_pdu()
                ended = arriving.append(pieces, context)
                self._inbox.drop(size)
            status = self._status(arriving, request.sop_instance_uid)
        if status != StoreStatus.SUCCESS:
            self._taking.intake.metrics.count_refusal(f"0x{status:04X}")
        answer = encode_response(request, status)
        pdv = PDV_HEADER.pack(len(answer) + 2, context, COMMAND | LAST) + answer
        self._connection.sendall(PDU_HEADER.pack(P_DATA_TF, len(pdv)) + pdv)

    def _status(self, arriving: "_IncomingInstance", announced_uid: str) -> int:
        taking = self._taking
        try:
            if arriving.is_too_large:
                taking.intake.report_refused(taking.limit.why, self._source)
                return StoreStatus.TOO_LARGE
            return taking.answer(lambda: arriving.keep(self._source, announced_uid))
        except Exception as error:  # as in pynetdicom, a defect must not end the association
            log.exception("instance not taken", exc_info=error)
            return HANDLER_FAILED

    def _request(self, pieces: Sequence[_Fragment]) -> tuple[StoreRequest, str]:
        """Return the C-STORE-RQ that a message begins with, and the transfer syntax of its data."""
        command, context = pieces[0], pieces[0].context
        if command.control != COMMAND | LAST or len(command.value) > COMMAND_BYTES_MAX:
            raise _NotFastPath
        if not _is_data_set_part(pieces[1:], context):
            raise _NotFastPath
        if not is_command(bytes(command.value)):  # one of pynetdicom's threads would die of it
            raise _ProtocolError("a command set that is none")
        request = read_request(bytes(command.value))
        sop_class, syntax = self._contexts.get(context, ("", ""))
        if request is None or request.sop_class_uid != sop_class:
            raise _NotFastPath
        return request, syntax

    def _next_pdu(self) -> tuple[int, list[_Fragment]]:
        """Return the size of the next PDU and what it carries; all of it stays in the inbox."""
        deadline = time.monotonic() + self._timeout_s
        self._fill(PDU_HEADER.size, deadline)
        kind, length = PDU_HEADER.unpack(self._inbox.peek(0, PDU_HEADER.size))
        if kind != P_DATA_TF:
            raise _NotFastPath
        size = PDU_HEADER.size + length
        if size > self._longest:
            raise _ProtocolError("a PDU is longer than was agreed")
        self._fill(size, deadline)
        return size, list(_split_pdvs(self._inbox.peek(PDU_HEADER.size, size)))

    def _fill(self, count: int, deadline: float) -> None:
        """Have `count` bytes in the inbox; raise OSError where they do not come in time."""
        while len(self._inbox) < count:
            try:
                self._inbox.fill(self._connection, count)
            except TimeoutError:
                if not self.provider_queue.empty():  # an abort of ours waits to be sent
                    raise _AbortPending from None
                if time.monotonic() > deadline:
                    raise
            if len(self._inbox) < count and time.monotonic() > deadline:
                raise TimeoutError("the peer is too slow")

    @property
    def _connection(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionError("the connection was closed")
        return self.socket

    @cached_property
    def _source(self) -> Source:
        requestor = self.assoc.requestor
        name = str(requestor.ae_title).strip()
        return Source(name, str(requestor.address), id(self.assoc))

    @cached_property
    def _may_commit(self) -> bool:
        """Tell whether an association that is established has storage commitment."""
        accepted = (each.abstract_syntax for each in self.assoc.accepted_contexts)
        return StorageCommitmentPushModel in accepted

    @cached_property
    def _contexts(self) -> dict[int, tuple[str, str]]:
        """SOP class and transfer syntax of the presentation contexts that are served here."""
        accepted = (
            (each.context_id, str(each.abstract_syntax), each.transfer_syntax[0])
            for each in self.assoc.accepted_contexts
        )
        return {
            context: (sop_class, str(syntax))
            for context, sop_class, syntax in accepted
            if context is not None
            and syntax not in SLOW_PATH_SYNTAXES
            and uid_to_service_class(sop_class) is StorageServiceClass
        }


class _IncomingInstance:
    """An instance on its way into the spool; its bytes are read although the disk is full.

    Of one that is too large nothing stays there, and the rest is read and dropped too.
    """

    def __init__(self, taking: _FastStoreContext) -> None:
        self._intake = taking.intake
        self._most_bytes = taking.limit.most_bytes
        self._size = 0  #: of the data set, without file meta information
        self._aside: StagedFile | None = None
        self._error: Exception | None = None
        self._attempt(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._aside is not None:
            self._aside.discard()

    def append(self, pieces: Sequence[_Fragment], context: int) -> bool:
        """Write fragments of the data set; tell whether the last one is among them."""
        if not _is_data_set_part(pieces, context):
            raise _ProtocolError("a data set is interrupted by something else")
        for piece in pieces:
            self._size += len(piece.value)
            if not self.is_too_large:
                self.write(piece.value)
            elif self._aside is not None:
                self._aside.discard()
        return bool(pieces) and bool(pieces[-1].control & LAST)

    @property
    def is_too_large(self) -> bool:
        """Tell whether more has come than an instance may have."""
        return self._size > self._most_bytes

    def write(self, part: bytes | memoryview) -> None:
        """Write some bytes, unless an earlier attempt failed."""
        aside = self._aside
        if aside is not None and self._error is None:
            self._attempt(lambda: aside.write(part))

    def keep(self, source: Source, announced_uid: str) -> None:
        """Have it accepted; raise what stood in the way."""
        if self._aside is not None and self._error is None:
            self._attempt(self._aside.close)
        if self._error is not None or self._aside is None:
            raise self._error or AssertionError
        self._intake.accept_file(self._aside, source, announced_uid)

    def _open(self) -> None:
        self._aside = self._intake.open_staging_file()

    def _attempt(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OutOfResources, OSError) as error:
            self._error = error


def _split_pdvs(content: memoryview) -> Iterator[_Fragment]:
    """Yield the presentation data values of a P-DATA-TF PDU (PS3.8 9.3.5)."""
    at = 0
    while at < len(content) or at == 0:
        value = at + PDV_HEADER.size
        if value > len(content):
            raise _ProtocolError("a PDU ends within the header of a value")
        length, context, control = PDV_HEADER.unpack(content[at:value])
        at = value + length - 2  # the length counts context and control too
        if length < 2 or at > len(content):  # noqa: PLR2004 - those two
            raise _ProtocolError("a value is longer than its PDU")
        yield _Fragment(context, control, content[value:at])


def _is_data_set_part(pieces: Sequence[_Fragment], context: int) -> bool:
    """Tell whether these are fragments of one data set, the last one at the end or not yet here."""
    before_last = all(piece.control == 0 for piece in pieces[:-1])
    return before_last and all(
        piece.context == context and piece.control in {0, LAST} for piece in pieces
    )
