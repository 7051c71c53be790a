"""A PACS that sends a study until every instance of it is answered with Success."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from tests.acceptance.site import CALLED, CALLING
from tests.builders.small_studies import SmallStudy
from tests.waiting import HOST, listens
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus

GIVEN_UP_S = 90.0
PAUSE_S = 0.3


@dataclass
class Sending:
    """A study on its way, in a thread of its own."""

    study: SmallStudy
    port: int
    answered: int = 0  #: with Success
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(GIVEN_UP_S)

    def join(self) -> None:
        self._thread.join(GIVEN_UP_S)

    def _send(self) -> None:
        left, until = self.study.datasets(), time.monotonic() + GIVEN_UP_S
        while left and time.monotonic() < until:
            if listens(self.port):  # pynetdicom leaves a socket open that could not connect
                self._send_some(left)
            if left:
                time.sleep(PAUSE_S)

    def _send_some(self, left: list[Dataset]) -> None:
        """Send on one association until there is nothing left, or something is wrong."""
        association = _associated(self.port)
        while left and association.is_established:
            if _status(association, left[0]) != StoreStatus.SUCCESS:
                break
            left.pop(0)
            self.answered += 1
        if association.is_established:
            association.release()
        _close(association)


def _associated(port: int) -> Association:
    ae = AE(ae_title=CALLING)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = 5
    return ae.associate(HOST, port, ae_title=CALLED, evt_handlers=[CONNECTION_SETUP])


def _close(association: Association) -> None:
    """Close what pynetdicom leaves open where the peer was the first to end."""
    if association.ident is not None:  # else it could not connect, and has no thread
        association.join(GIVEN_UP_S)
    connection: Any = association.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.close()


def _status(association: Association, dataset: Dataset) -> int | None:
    try:
        answer: Any = association.send_c_store(dataset)
    except (RuntimeError, ValueError):  # the association went, or nothing was accepted on it
        return None
    status: int | None = answer.get("Status")
    return status
