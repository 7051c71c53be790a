"""What all our associations share: statuses by name, packets at once, answers that arrive, ciphers.

PS3.7 annex C, PS3.4 B.2.3, PS3.15 B.12. Rule: no bare status number elsewhere. 0xC210 is not 0x210.
"""

import socket
import threading
from enum import IntEnum
from typing import Any

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.dsutils import encode

#: Of TLS 1.2: the forward-secret AEAD suites of RFC 9325 4.2 (PS3.15 B.12).
SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)


class Status(IntEnum):
    """What we answer to a C-STORE or C-ECHO."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    TOO_LARGE = 0xC001  #: of the range 0xCxxx, whose last digits are ours


class Action(IntEnum):
    """What we answer to an N-ACTION (PS3.7 10.1.4.1.10)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


class Told(IntEnum):
    """What we answer to an N-EVENT-REPORT (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    NO_SUCH_INSTANCE = 0x0112
    NO_SUCH_EVENT = 0x0113
    INVALID_ARGUMENT = 0x0115
    RESOURCE_LIMITATION = 0x0213


class Step(IntEnum):
    """What we answer to an N-CREATE or N-SET (PS3.7 10.1.3.1.9, 10.1.5.1.6)."""

    SUCCESS = 0x0000
    INVALID_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    MISSING_ATTRIBUTE = 0x0120
    RESOURCE_LIMITATION = 0x0213


#: PS3.4 table B.2-1: the instance was stored, with a remark worth keeping.
WARNINGS = {
    0xB000: "Coercion of data elements",
    0xB006: "Elements discarded",
    0xB007: "Data set does not match SOP class",
}
#: PS3.4 table B.2-1: failures, by the digits that are fixed.
FAILURES = {
    0xA700: "Out of resources",
    0xA900: "Data set does not match SOP class",
    0xC000: "Cannot understand",
}


def encoded(asked: Dataset) -> bytes:
    """Return a query as it may go over the wire, in Implicit VR Little Endian."""
    return encode(asked, is_implicit_vr=True, is_little_endian=True) or b""


def is_stored(status: int) -> bool:
    """Tell whether a C-STORE response says that the peer has the instance."""
    return status == Status.SUCCESS or status in WARNINGS


def in_words(status: int) -> str:
    """Return a C-STORE status as people read it, e.g. "0xA700 Out of resources"."""
    if status == Status.SUCCESS:
        return "0x0000 Success"
    known = WARNINGS.get(status)
    known = known or FAILURES.get(status & 0xFF00) or FAILURES.get(status & 0xF000)
    return f"0x{status:04X} {known or 'a status that PS3.4 does not name'}"


class Turnstile(threading.Event):
    """Where pynetdicom's own thread of an association rests while somebody waits for an answer.

    Whoever sends a request clears pynetdicom's event, and goes on when the thread says that it is
    paused. A thread that has just passed has not taken that word back yet, and takes away the
    answer: "unexpected service message", then silence until the time-out, then an abort. Seen once
    in some thousand C-STOREs on a busy machine (pynetdicom 3.0, `Association._run_reactor`). Here
    nobody passes without taking it back.
    """

    def __init__(self, association: Any) -> None:
        super().__init__()
        self._association = association
        self._passing = threading.Lock()
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Pass when nobody waits for an answer."""
        while True:
            # Whoever rests here is paused, whatever was said before: a release would wait for ever.
            self._association._is_paused = True  # noqa: SLF001 - it has no public way
            if not super().wait(timeout):
                return False
            with self._passing:
                if self.is_set():
                    self._association._is_paused = False  # noqa: SLF001 - as above
                    return True

    def clear(self) -> None:
        """Let nobody pass any more; who has passed has taken back that it is paused."""
        with self._passing:
            super().clear()


def opened(event: evt.Event) -> None:
    """Let small packets leave at once, and answers arrive; bind it to EVT_CONN_OPEN.

    Waiting for a fuller packet makes C-STORE 50 times slower (measured with DCMTK and pynetdicom).
    """
    association: Any = event.assoc
    connection: Any = association.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if association.is_requestor:  # its thread has not begun
        association._reactor_checkpoint = Turnstile(association)  # noqa: SLF001 - as above


#: For `associate` and `start_server`.
AT_ONCE = (evt.EVT_CONN_OPEN, opened)
