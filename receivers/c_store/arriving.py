"""A connection whose TLS handshake or association request is not complete yet.

Neither blocks: the listening thread calls `advance` when something has arrived. A peer that stalls
in its handshake, or after one byte, costs no thread.
"""

import selectors
import socket
import ssl
import struct
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from receivers.c_store.associate_request import ASSOCIATE_RQ, RefusedRequest, RequestFault

Address = tuple[Any, ...]  #: host and port; for IPv6 also flow info and scope

CHUNK_BYTES = 65_536
PDU_HEADER = struct.Struct(">BxL")  #: type, length (PS3.8 9.3.1)
#: The longest A-ASSOCIATE-RQ; 128 presentation contexts of 45 transfer syntaxes are 200 kB.
ASSOCIATE_RQ_BYTES = 1 << 20


class ArrivalStage(Enum):
    """The part of a connection's beginning that it waits for."""

    FIRST_BYTE = auto()
    HANDSHAKE = auto()
    REQUEST = auto()  #: its first byte
    REST_OF_REQUEST = auto()


@dataclass(eq=False)
class ArrivingConnection:
    """A connection until its association request is complete."""

    connection: socket.socket
    address: Address
    ssl_context: ssl.SSLContext | None  #: None: no TLS
    request: bytearray = field(default_factory=bytearray)  #: the PDU, as far as it has arrived
    stage: ArrivalStage = ArrivalStage.FIRST_BYTE
    wants_to_write: bool = False  #: the handshake waits for room in the send buffer

    def __post_init__(self) -> None:
        #: Stays the same when TLS wraps the connection.
        self.descriptor = self.connection.fileno()

    @property
    def events(self) -> int:
        """The events to wait for, as `selectors` has them."""
        return selectors.EVENT_WRITE if self.wants_to_write else selectors.EVENT_READ

    @property
    def host(self) -> str:
        """The address of the peer."""
        return str(self.address[0])

    def advance(self) -> bool:
        """Read what has arrived; return True when the request is complete.

        Raises OSError if the connection has ended or its handshake fails, and RefusedRequest after
        a header that no association request has.
        """
        try:
            if self.ssl_context is not None and self.stage is not ArrivalStage.REST_OF_REQUEST:
                self._shake_hands(self.ssl_context)
            return self._read_request()
        except (BlockingIOError, ssl.SSLWantReadError):
            self.wants_to_write = False
        except ssl.SSLWantWriteError:
            self.wants_to_write = True
        return False

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        if not isinstance(self.connection, ssl.SSLSocket):
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError("closed without a byte")
            self.stage = ArrivalStage.HANDSHAKE
            self.connection = context.wrap_socket(
                self.connection, server_side=True, do_handshake_on_connect=False
            )
        if self.stage is ArrivalStage.HANDSHAKE:
            self.connection.do_handshake()
            self.stage = ArrivalStage.REQUEST

    def _read_request(self) -> bool:
        while missing := self._count_missing():
            piece = self.connection.recv(min(missing, CHUNK_BYTES))
            if not piece:
                raise ConnectionResetError("closed before the end of the request")
            self.stage = ArrivalStage.REST_OF_REQUEST
            self.request += piece
        return True

    def _count_missing(self) -> int:
        """Return how many bytes of the header, then of the PDU, have not arrived."""
        arrived = len(self.request)
        if arrived < PDU_HEADER.size:
            return PDU_HEADER.size - arrived
        kind, length = PDU_HEADER.unpack_from(self.request)
        if kind != ASSOCIATE_RQ:
            raise RefusedRequest(RequestFault.NOT_A_REQUEST)
        if length > ASSOCIATE_RQ_BYTES:
            raise RefusedRequest(RequestFault.TOO_LONG)
        return int(PDU_HEADER.size + length - arrived)
