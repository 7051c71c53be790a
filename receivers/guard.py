"""Bounds on what a peer may send: a PDU's length and time, and an instance's size.

Rule: nothing is given memory beyond its bound. A PDU that is too long ends the association with an
A-ABORT (PS3.8 9.3.8, invalid PDU parameter value); of an instance that is too long the rest is read
and dropped, so that the sender is told its status and the association goes on.
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
PROVIDER, INVALID_VALUE = 0x02, 0x06  #: source and reason of an A-ABORT, PS3.8 table 9-26
COMMAND = 0x01  #: bit 0 of the message control header, PS3.8 E.2


class GuardedSocket(AssociationSocket):
    """A connection of which no PDU is longer, or takes longer, than it may.

    `pdu_bytes` is the length that we announce as maximum (PS3.8 D.1).
    """

    def __init__(self, association: Association, connection: Any, pdu_bytes: int) -> None:
        super().__init__(association, client_socket=connection)
        self._pdu_bytes = pdu_bytes

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, or fewer where the connection ends; raise OSError beyond bounds."""
        self._check(nr_bytes)
        connection = cast(Any, self.socket)
        waits_s = connection.gettimeout()
        until = None if waits_s is None else time.monotonic() + waits_s
        received = bytearray()
        while len(received) < nr_bytes:
            chunk = connection.recv(min(CHUNK_BYTES, nr_bytes - len(received)))
            if not chunk:
                break
            received += chunk
            if until is not None and time.monotonic() > until:
                raise TimeoutError("a PDU that trickles in")
        return received

    def _shutdown_socket(self) -> None:
        """Close the connection, though the peer was first; pynetdicom would leave it open then."""
        connection = self.socket
        super()._shutdown_socket()
        if connection is not None:
            connection.close()

    def _check(self, length: int) -> None:
        most = self._pdu_bytes if self.assoc.is_established else ASSOCIATE_RQ_BYTES
        if length <= most:
            return
        abort = A_ABORT_RQ()
        abort.source = PROVIDER
        abort.reason_diagnostic = INVALID_VALUE
        self.send(abort.encode())
        raise ConnectionAbortedError("a PDU that is longer than we said")


class InstanceLimit:
    """The size of what each association is sending; `listen` to every PDU."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._received: WeakKeyDictionary[Association, int] = WeakKeyDictionary()

    @property
    def why(self) -> str:
        """What an administrator is told of an instance that is too large."""
        return f"larger than receiver.instance_bytes, {self.most_bytes}"

    def listen(self, event: evt.Event) -> None:
        """Count a data set's bytes, and empty the fragments beyond the limit; for EVT_PDU_RECV."""
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
            if size > self.most_bytes:
                item.presentation_data_value = fragment[:1]

    def is_exceeded(self, association: Association) -> bool:
        """Tell whether the instance that an association has just sent was cut."""
        return self._received.get(association, 0) > self.most_bytes
