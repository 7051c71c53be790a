"""Limits for what a peer sends: length and duration of a PDU, and size of an instance.

Memory use is bounded by these limits. A PDU that is too long ends the association with an A-ABORT
(PS3.8 9.3.8, invalid PDU parameter value). If an instance is too large, the rest of it is read and
dropped, so that the sender gets a status and the association continues.
"""

import time
from typing import Any, cast
from weakref import WeakKeyDictionary

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ABORT_RQ, P_DATA_TF
from pynetdicom.transport import AssociationSocket

#: The longest A-ASSOCIATE-RQ; 128 presentation contexts of 45 transfer syntaxes are 200 kB.
ASSOCIATE_RQ_BYTES = 1 << 20
CHUNK_BYTES = 65_536
PROVIDER, INVALID_VALUE = 0x02, 0x06  #: source and reason of an A-ABORT (PS3.8 table 9-26)
COMMAND = 0x01  #: bit 0 of the message control header (PS3.8 E.2)


class GuardedSocket(AssociationSocket):
    """A connection that limits the length of each PDU and the time in which it must arrive.

    `pdu_bytes` is the maximum length that we announce (PS3.8 D.1).
    """

    def __init__(self, association: Association, connection: Any, pdu_bytes: int) -> None:
        super().__init__(association, client_socket=connection)
        self._pdu_bytes = pdu_bytes

    def recv(self, nr_bytes: int) -> bytearray:
        """Return this many bytes, or fewer if the connection ends; raise OSError beyond limits."""
        self._check_length(nr_bytes)
        connection = cast(Any, self.socket)
        timeout_s = connection.gettimeout()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        received = bytearray()
        while len(received) < nr_bytes:
            chunk = connection.recv(min(CHUNK_BYTES, nr_bytes - len(received)))
            if not chunk:
                break
            received += chunk
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError("a PDU arrives too slowly")
        return received

    def _shutdown_socket(self) -> None:
        """Close the connection; pynetdicom leaves it open if the peer closed it first."""
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:
            connection.close()

    def _check_length(self, length: int) -> None:
        """Abort the association and raise OSError if a PDU of this length is not allowed."""
        limit = self._pdu_bytes if self.assoc.is_established else ASSOCIATE_RQ_BYTES
        if length <= limit:
            return
        abort = A_ABORT_RQ()
        abort.source = PROVIDER
        abort.reason_diagnostic = INVALID_VALUE
        self.send(abort.encode())
        raise ConnectionAbortedError("a PDU exceeds the announced maximum length")


class InstanceLimit:
    """Limits the size of the instance that each association is sending."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
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
                self._received[event.assoc] = 0
                continue
            size = self._received.get(event.assoc, 0) + len(fragment) - 1
            self._received[event.assoc] = size
            if size > self.limit_bytes:
                item.presentation_data_value = fragment[:1]

    def is_exceeded(self, association: Association) -> bool:
        """Return True if the last instance of an association was cut."""
        return self._received.get(association, 0) > self.limit_bytes
