"""Serve C-STORE without pynetdicom's message loop: from the socket to the staging file.

pynetdicom handles associations, negotiation and every other service. It reads all that a peer sends
through an `AssociationSocket`, in one thread for each association. `FastSocket` inspects each
message first. It serves a C-STORE of the usual form itself, in that thread, and sends a prepared
response. Any other message stays in the buffer, and pynetdicom reads it from there: a release, an
abort, a C-ECHO, a fragmented command set, a closed connection.

A message is served either here or by pynetdicom, from its first byte to its last; if one breaks off
in the middle, the association ends. Success is sent after `Intake.accept_file` has returned. The
bytes are untrusted: PDUs, command sets and waiting times are limited as in `guard`, and the staging
file is removed in every case. Associations with storage commitment are left to pynetdicom, because
commitment reports pause the reader thread as this module does.
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
from typing import Self

import structlog
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from receivers.c_store.arriving import PDU_HEADER
from receivers.c_store.associate_request import ABORT
from receivers.c_store.command_set import (
    COMMAND_BYTES_MAX,
    StoreRequest,
    encode_file_meta,
    encode_response,
    is_command,
    read_request,
)
from receivers.c_store.guard import (
    TOO_LONG,
    TOO_SLOW,
    GuardedSocket,
    InstanceLimit,
    ReportEnd,
)
from receivers.c_store.listener import AssociationListener
from triage.dimse.pynetdicom_internals import (
    is_between_messages,
    is_storage,
    pause_reader,
    restart_idle_timer,
    resume_reader,
)
from triage.dimse.statuses import StoreStatus
from triage.domain.errors import OutOfResources
from triage.domain.incident import RejectionReason
from triage.domain.instance import Source
from triage.pipeline.intake import Intake
from triage.ports.spool import StagedFile

log = structlog.get_logger(__name__)

P_DATA_TF = 0x04
PDV_HEADER = struct.Struct(">LBB")  #: length, context, control (PS3.8 9.3.5.1, E.2)
COMMAND, LAST = 0x01, 0x02  #: bits of the control header
HANDLER_FAILED = 0xC211  #: pynetdicom's status for a handler that failed
#: The maximum PDU length that a peer must accept for an unfragmented response; 0: no limit.
RESPONSE_PDU_BYTES = 512
#: Seconds to wait for the next instance before pynetdicom checks the association.
POLL_S = 0.5
#: Transfer syntaxes that must be inflated before they are checked, or have another byte order.
SLOW_PATH_SYNTAXES = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}

#: Calls a function that stores an instance; returns the status of the response.
StoreAttempt = Callable[[Callable[[], object]], int]


def attach_fast_path(
    server: AssociationListener, intake: Intake, attempt: StoreAttempt, limit: InstanceLimit
) -> None:
    """Give every future association of a server a `FastSocket`."""
    shared = _FastStoreContext(intake, attempt, limit)

    def make_socket(
        association: Association, connection: socket.socket, pdu_bytes: int, report: ReportEnd
    ) -> FastSocket:
        return FastSocket(association, connection, pdu_bytes, report, shared)

    server.make_socket = make_socket


@dataclass(frozen=True)
class _FastStoreContext:
    """The parts that all associations of a server share."""

    intake: Intake
    attempt: StoreAttempt
    limit: InstanceLimit


class _NotFastPath(Exception):
    """The message is left to pynetdicom."""


class _AbortPending(Exception):
    """In the middle of a message pynetdicom has something to send: our own abort."""


class _ProtocolError(Exception):
    """The bytes are not a valid message."""


@dataclass(frozen=True)
class _Fragment:
    """A presentation data value (PS3.8 9.3.5.1); `value` is a view of the buffer."""

    context: int
    control: int
    value: memoryview


class _ReceiveBuffer:
    """The bytes that have arrived and were not consumed yet, in one reused buffer."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @cached_property
    def _buffer(self) -> bytearray:
        return bytearray(2 * self._longest)  # allocated only when a peer sends

    @cached_property
    def _view(self) -> memoryview:
        return memoryview(self._buffer)

    def fill(self, connection: socket.socket, count: int) -> None:
        """Receive what has arrived; afterwards `count` bytes fit into the buffer."""
        if self._start + count > len(self._buffer):
            self._buffer[: len(self)] = self._buffer[self._start : self._end]
            self._start, self._end = 0, len(self)
        got = connection.recv_into(self._view[self._end :])
        if not got:
            raise ConnectionError("the peer closed the connection")
        self._end += got

    def peek(self, start: int, stop: int) -> memoryview:
        """Return a view of these bytes, valid until the next `fill`."""
        return self._view[self._start + start : self._start + stop]

    def take(self, count: int) -> bytes:
        """Return and remove at most `count` bytes."""
        taken = bytes(self.peek(0, min(count, len(self))))
        self.drop(len(taken))
        return taken

    def drop(self, count: int) -> None:
        """Remove `count` bytes."""
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0


class FastSocket(GuardedSocket):
    """A peer's connection as pynetdicom reads it, without the C-STOREs that are served here."""

    def __init__(
        self,
        assoc: Association,
        connection: socket.socket,
        pdu_bytes: int,
        report: ReportEnd,
        shared: _FastStoreContext,
    ) -> None:
        super().__init__(assoc, connection, pdu_bytes, report)
        self._shared = shared
        self._longest = PDU_HEADER.size + pdu_bytes
        self._inbox = _ReceiveBuffer(self._longest)
        self._is_broken = False  #: a message broke off; the bytes after it are meaningless
        self._timeout_s = float(assoc.network_timeout or POLL_S)

    # -- called by pynetdicom

    @property
    def ready(self) -> bool:
        """Serve C-STOREs; return True if there is something for pynetdicom to read."""
        if self._is_broken or (not self._inbox and not super().ready):
            return False
        return self._serve() if self._may_serve() else True

    def _receive(self, count: int) -> bytearray:
        """Return bytes from the buffer, then those of the connection."""
        buffered = bytearray(self._inbox.take(count) if self._inbox else b"")
        missing = count - len(buffered)
        return buffered + super()._receive(missing) if missing else buffered

    # -- sharing the association with pynetdicom

    def _may_serve(self) -> bool:
        """Return True if a C-STORE that arrives now can be served here."""
        room = self.assoc.requestor.maximum_length or 0
        return (
            is_between_messages(self.assoc)
            and not self._may_commit
            and (room == 0 or room >= RESPONSE_PDU_BYTES)
        )

    @contextmanager
    def _pause_reader(self) -> Iterator[None]:
        """Pause pynetdicom's reader thread, and restart its idle timer at the end."""
        connection = self._connection
        pause_reader(self.assoc)
        try:
            connection.settimeout(POLL_S)
            yield
        finally:
            restart_idle_timer(self.assoc)
            resume_reader(self.assoc)
            with suppress(OSError):  # it may be closed meanwhile
                connection.settimeout(self._timeout_s)

    def _serve(self) -> bool:
        """Serve C-STOREs until nothing arrives; return True if pynetdicom has a message to read."""
        try:
            with self._pause_reader():
                while self._may_serve():
                    if not self._wait_for_message():
                        return False
                    self._serve_one()
        except _NotFastPath:
            return True
        except _AbortPending:
            self._is_broken = True
        except _ProtocolError as error:
            self._report_end(RejectionReason.PROTOCOL, str(error))
            self._close_connection(ABORT)
        except TimeoutError:  # silent for too long in the middle of a message
            self._report_end(RejectionReason.SLOW, TOO_SLOW)
            self._close_connection()
        except OSError:  # the peer closed or reset the connection
            self._close_connection()
        return False

    def _close_connection(self, last_pdu: bytes = b"") -> None:
        """Close the connection; pynetdicom notices this and ends the association."""
        with suppress(OSError):
            self._connection.sendall(last_pdu)
        self.close()

    def _wait_for_message(self) -> bool:
        """Wait up to POLL_S for the next message; return True if it begins."""
        connection = self._connection
        if self._inbox or (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            return True
        poll = select.poll()  # select.select supports no descriptor above 1023
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(POLL_S * 1000))

    # -- one instance

    def _serve_one(self) -> None:
        """Serve one C-STORE; raise _NotFastPath before any byte of it is consumed."""
        size, pdvs = self._next_pdu()
        context = pdvs[0].context
        request, syntax = self._read_request(pdvs)
        with _IncomingInstance(self._shared) as incoming:
            incoming.write(encode_file_meta(request, syntax))
            is_complete = incoming.append(pdvs[1:], context)
            self._inbox.drop(size)
            while not is_complete:
                size, pdvs = self._next_pdu()
                is_complete = incoming.append(pdvs, context)
                self._inbox.drop(size)
            status = self._store(incoming, request.sop_instance_uid)
        if status != StoreStatus.SUCCESS:
            self._shared.intake.metrics.count_refusal(f"0x{status:04X}")
        response = encode_response(request, status)
        pdv = PDV_HEADER.pack(len(response) + 2, context, COMMAND | LAST) + response
        self._connection.sendall(PDU_HEADER.pack(P_DATA_TF, len(pdv)) + pdv)

    def _store(self, incoming: "_IncomingInstance", announced_uid: str) -> int:
        """Store an instance and return the status of the response."""
        shared = self._shared
        try:
            if incoming.is_too_large:
                shared.intake.report_refused(shared.limit.why, self._source)
                return StoreStatus.TOO_LARGE
            return shared.attempt(lambda: incoming.keep(self._source, announced_uid))
        except Exception as error:  # as in pynetdicom, a defect must not end the association
            log.exception("instance not stored", exc_info=error)
            return HANDLER_FAILED

    def _read_request(self, pdvs: Sequence[_Fragment]) -> tuple[StoreRequest, str]:
        """Return the C-STORE-RQ at the start of a message, and the transfer syntax of its data."""
        command, context = pdvs[0], pdvs[0].context
        if command.control != COMMAND | LAST or len(command.value) > COMMAND_BYTES_MAX:
            raise _NotFastPath
        if not _is_data_set_part(pdvs[1:], context):
            raise _NotFastPath
        if not is_command(bytes(command.value)):  # a thread of pynetdicom would fail on it
            raise _ProtocolError("invalid command set")
        request = read_request(bytes(command.value))
        sop_class, syntax = self._contexts.get(context, ("", ""))
        if request is None or request.sop_class_uid != sop_class:
            raise _NotFastPath
        return request, syntax

    def _next_pdu(self) -> tuple[int, list[_Fragment]]:
        """Return size and fragments of the next PDU; it stays in the buffer."""
        deadline = time.monotonic() + self._timeout_s
        self._fill(PDU_HEADER.size, deadline)
        kind, length = PDU_HEADER.unpack(self._inbox.peek(0, PDU_HEADER.size))
        if kind != P_DATA_TF:
            raise _NotFastPath
        size = PDU_HEADER.size + length
        if size > self._longest:
            raise _ProtocolError(TOO_LONG)
        self._fill(size, deadline)
        return size, list(_split_pdvs(self._inbox.peek(PDU_HEADER.size, size)))

    def _fill(self, count: int, deadline: float) -> None:
        """Receive until `count` bytes are buffered; raise OSError if they do not arrive in time."""
        while len(self._inbox) < count:
            try:
                self._inbox.fill(self._connection, count)
            except TimeoutError:
                if not self.provider_queue.empty():  # our abort is to be sent
                    raise _AbortPending from None
                if time.monotonic() > deadline:
                    raise
            if len(self._inbox) < count and time.monotonic() > deadline:
                raise TimeoutError(TOO_SLOW)

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
        """Return True if storage commitment was accepted on the association."""
        accepted = (context.abstract_syntax for context in self.assoc.accepted_contexts)
        return StorageCommitmentPushModel in accepted

    @cached_property
    def _contexts(self) -> dict[int, tuple[str, str]]:
        """SOP class and transfer syntax by presentation context ID, for those served here."""
        accepted = (
            (context.context_id, str(context.abstract_syntax), context.transfer_syntax[0])
            for context in self.assoc.accepted_contexts
        )
        return {
            context_id: (sop_class, str(syntax))
            for context_id, sop_class, syntax in accepted
            if context_id is not None
            and syntax not in SLOW_PATH_SYNTAXES
            and is_storage(self.assoc, sop_class)
        }


class _IncomingInstance:
    """An instance that is being received into a staging file.

    All of it is read, even if the disk is full. If it is too large, the staging file is removed and
    the rest is dropped.
    """

    def __init__(self, shared: _FastStoreContext) -> None:
        self._intake = shared.intake
        self._limit_bytes = shared.limit.limit_bytes
        self._size = 0  #: of the data set, without file meta information
        self._staged: StagedFile | None = None
        self._error: Exception | None = None  #: the first error; nothing is written after it
        self._attempt(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._staged is not None:
            self._staged.discard()

    def append(self, pdvs: Sequence[_Fragment], context: int) -> bool:
        """Write fragments of the data set; return True if the last one is among them."""
        if not _is_data_set_part(pdvs, context):
            raise _ProtocolError("a data set is interrupted by another message")
        for pdv in pdvs:
            self._size += len(pdv.value)
            if not self.is_too_large:
                self.write(pdv.value)
            elif self._staged is not None:
                self._staged.discard()
        return bool(pdvs) and bool(pdvs[-1].control & LAST)

    @property
    def is_too_large(self) -> bool:
        """True if the instance exceeds its limit."""
        return self._size > self._limit_bytes

    def write(self, part: bytes | memoryview) -> None:
        """Write some bytes, unless an earlier attempt failed."""
        staged = self._staged
        if staged is not None and self._error is None:
            self._attempt(lambda: staged.write(part))

    def keep(self, source: Source, announced_uid: str) -> None:
        """Pass the instance to Intake; raise the error that prevented this."""
        if self._staged is not None and self._error is None:
            self._attempt(self._staged.close)
        if self._error is not None or self._staged is None:
            raise self._error or AssertionError
        self._intake.accept_file(self._staged, source, announced_uid)

    def _open(self) -> None:
        self._staged = self._intake.open_staging_file()

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (OutOfResources, OSError) as error:
            self._error = error


def _split_pdvs(content: memoryview) -> Iterator[_Fragment]:
    """Yield the presentation data values of a P-DATA-TF PDU (PS3.8 9.3.5)."""
    at = 0
    while at < len(content) or at == 0:
        value = at + PDV_HEADER.size
        if value > len(content):
            raise _ProtocolError("a PDU ends within the header of a presentation data value")
        length, context, control = PDV_HEADER.unpack(content[at:value])
        at = value + length - 2  # the length includes context and control
        if length < 2 or at > len(content):  # noqa: PLR2004 - context and control
            raise _ProtocolError("a presentation data value is longer than its PDU")
        yield _Fragment(context, control, content[value:at])


def _is_data_set_part(pdvs: Sequence[_Fragment], context: int) -> bool:
    """Return True if these are consecutive fragments of one data set."""
    return all(pdv.control == 0 for pdv in pdvs[:-1]) and all(
        pdv.context == context and pdv.control in {0, LAST} for pdv in pdvs
    )
