"""Limits for what a peer sends: its request, length and duration of a PDU, size of an instance.

Memory use is bounded by these limits. A PDU that is too long ends the association with an A-ABORT
(PS3.8 9.3.8, invalid PDU parameter value). If an instance is too large, the rest of it is read and
dropped, so that the sender gets a status and the association continues. Each connection that is
ended here is reported with its reason.
"""

import time
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.transport import AssociationSocket

from receivers.c_store.arriving import CHUNK_BYTES, PDU_HEADER
from receivers.c_store.associate_request import (
    ABORT,
    ASSOCIATE_RQ,
    RefusedRequest,
    normalize_request,
)
from triage.dimse.pynetdicom_internals import is_readable
from triage.domain.incident import RejectionReason
from triage.pipeline.memory_budget import MemoryBudget

COMMAND = 0x01  #: bit 0 of the message control header (PS3.8 E.2)
TOO_LONG = "a PDU exceeds the announced maximum length"
TOO_SLOW = "a PDU arrives too slowly"

#: Reports why a connection is ended: the reason and a text for the administrator.
ReportEnd = Callable[[RejectionReason, str], None]


class GuardedSocket(AssociationSocket):
    """A connection that limits the length of each PDU and the time in which it must arrive.

    `pdu_bytes` is the maximum length that we announce (PS3.8 D.1). `begin` gives it the association
    request, which pynetdicom reads in the form that `normalize_request` gives it.
    """

    def __init__(
        self, association: Association, connection: Any, pdu_bytes: int, report: ReportEnd
    ) -> None:
        super().__init__(association, client_socket=connection)
        self._pdu_bytes = pdu_bytes
        self._report = report
        #: The association request as it has arrived; None after pynetdicom began to read it.
        self._arrived: bytes | None = b""
        self._request = bytearray()  #: the rest of the normalised request, for `recv`
        self._is_ended = False  #: pynetdicom may read on before it ends the association

    def begin(self, request: bytes) -> None:
        """Set the association request, the first PDU; call it before the threads start."""
        self._arrived = request

    @property
    def ready(self) -> bool:
        """Return whether there is something to read."""
        if self._arrived or self._request:
            return True
        return is_readable(self)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return this many bytes, or fewer if the connection ends; raise OSError beyond limits."""
        if self._is_ended:
            raise ConnectionAbortedError("the connection is ended")
        if self._arrived is not None:
            arrived, self._arrived = self._arrived, None
            self._request = self._normalize(arrived)
        if self._request:
            part = self._request[:nr_bytes]
            del self._request[:nr_bytes]
            return part
        self._check_length(nr_bytes)
        try:
            return self._receive(nr_bytes)
        except TimeoutError:
            self._report_end(RejectionReason.SLOW, TOO_SLOW)
            raise

    def _report_end(self, reason: RejectionReason, why: str) -> None:
        """Report why this connection is ended, and read nothing more of it."""
        self._is_ended = True
        self._report(reason, why)

    def _normalize(self, request: bytes) -> bytearray:
        """Return an association request in its normal form; raise OSError if it is refused."""
        try:
            normalized = normalize_request(request[PDU_HEADER.size :])
        except RefusedRequest as error:
            self.send(error.fault.answer)
            self._report_end(RejectionReason.MALFORMED, str(error))
            raise ConnectionAbortedError(str(error)) from None
        return bytearray(PDU_HEADER.pack(ASSOCIATE_RQ, len(normalized)) + normalized)

    def _receive(self, count: int) -> bytearray:
        """Return this many bytes of a later PDU, or fewer if the connection ends."""
        connection = cast(Any, self.socket)
        timeout_s = connection.gettimeout()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        received = bytearray()
        while len(received) < count:
            chunk = connection.recv(min(CHUNK_BYTES, count - len(received)))
            if not chunk:
                break
            received += chunk
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(TOO_SLOW)
        return received

    def _shutdown_socket(self) -> None:
        """Close the connection; pynetdicom leaves it open if the peer closed it first."""
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:
            connection.close()

    def _check_length(self, length: int) -> None:
        """Abort the association and raise OSError if a PDU of this length is not allowed."""
        if length <= self._pdu_bytes:
            return
        self.send(ABORT)
        self._report_end(RejectionReason.PROTOCOL, TOO_LONG)
        raise ConnectionAbortedError(TOO_LONG)


class InstanceLimit:
    """Limits the size of the instance that each association is sending.

    Its bytes that pynetdicom holds in memory are taken from a budget that all associations share.
    """

    def __init__(self, limit_bytes: int, memory: MemoryBudget) -> None:
        self.limit_bytes = limit_bytes
        self._memory = memory
        #: Associations whose current data set was cut because the budget was used up.
        self._without_memory: WeakSet[Association] = WeakSet()
        #: Bytes of the current data set.
        self._received: WeakKeyDictionary[Association, int] = WeakKeyDictionary()

    @property
    def why(self) -> str:
        """The text for the administrator about an instance that is too large."""
        return f"larger than receiver.instance_bytes, {self.limit_bytes}"

    def count(self, event: evt.Event) -> None:
        """Count the bytes of a data set and empty fragments beyond the limit; for EVT_PDU_RECV."""
        pdu: Any = event.pdu
        if not isinstance(pdu, P_DATA_TF):
            return
        for item in pdu.presentation_data_value_items:
            fragment = item.presentation_data_value or b""
            if not fragment:
                continue
            if fragment[0] & COMMAND:
                self.release(event.assoc)
                continue
            if not self._may_hold(event.assoc, len(fragment) - 1):
                item.presentation_data_value = fragment[:1]

    def _may_hold(self, association: Association, count: int) -> bool:
        size = self._received.get(association, 0) + count
        self._received[association] = size
        if size > self.limit_bytes or association in self._without_memory:
            return False
        if self._memory.reserve(id(association), count):
            return True
        self._without_memory.add(association)
        return False

    def release(self, association: Association) -> None:
        """Forget the last data set of an association; pynetdicom holds it no longer."""
        self._received[association] = 0
        self._without_memory.discard(association)
        self._memory.release(id(association))

    def lacks_memory(self, association: Association) -> bool:
        """Return True if the last instance was cut because others hold too much memory."""
        return association in self._without_memory

    def is_exceeded(self, association: Association) -> bool:
        """Return True if the last instance of an association was cut."""
        return self._received.get(association, 0) > self.limit_bytes
