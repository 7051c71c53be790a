"""What all our associations share: statuses by name, packets at once, answers that arrive, ciphers.

PS3.7 annex C, PS3.4 B.2.3, PS3.15 B.12. Rule: no bare status number elsewhere. 0xC210 is not 0x210.
"""

import socket
import threading
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


def encoded(asked: Dataset) -> bytes:
    """Return a query as it may go over the wire, in Implicit VR Little Endian."""
    return encode(asked, is_implicit_vr=True, is_little_endian=True) or b""


class ReactorCheckpoint(threading.Event):
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
        association._reactor_checkpoint = ReactorCheckpoint(association)  # noqa: SLF001 - as above


#: For `associate` and `start_server`.
AT_ONCE = (evt.EVT_CONN_OPEN, opened)
