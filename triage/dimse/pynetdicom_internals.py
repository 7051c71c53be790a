"""Private parts of pynetdicom that this project uses; no other module reads or writes them.

pynetdicom has no public interface for what is needed here: pausing the thread that reads an
association, checking that this thread is between two messages, learning why it ends a connection,
ending both threads of an association together, and registering a server of our own class.
`tests/unit/dimse/test_pynetdicom_internals.py` fails when the installed version is not in
`KNOWN_VERSIONS` or when one of these names is missing. After an upgrade, read the code behind every
function of this module again, then add the version.
"""

import select
import ssl
import threading
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Any, cast

import structlog
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.fsm import TRANSITION_TABLE, StateMachine
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    A_P_ABORT,
    SOPClassCommonExtendedNegotiation,
)
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import _STORAGE_CLASSES, uid_to_service_class
from pynetdicom.transport import AssociationServer, AssociationSocket

log = structlog.get_logger(__name__)

#: Versions that this module was compared with, by reading their source.
KNOWN_VERSIONS = frozenset({"3.0.4"})
#: UIDs of the storage SOP classes that pynetdicom knows, by keyword. `register_uid` adds to it.
STORAGE_CLASSES: dict[str, str] = _STORAGE_CLASSES
STORAGE_SERVICE = UID("1.2.840.10008.4.2")  #: Storage Service Class (PS3.6 A)
#: State of the upper layer state machine in which data is transferred (PS3.8 table 9-10).
ESTABLISHED = "Sta6"
#: States and events of PS3.8 tables 9-1 to 9-10.
AWAITS_REQUEST, TIMER_EXPIRED, ABORT_REQUESTED = "Sta2", "Evt18", "Evt15"
#: Actions with which an invalid or unexpected PDU is answered; AA-1 also sends our own abort.
ABORTING_ACTIONS = frozenset({"AA-1", "AA-8"})
#: Actions that decode a message of the peer (PS3.7 6.3); they fail if it cannot be decoded.
MESSAGE_ACTIONS = frozenset({"DT-2", "AR-6"})
ABORT = bytes.fromhex("07 00 00000004 0000 02 00")  #: provider, no reason (PS3.8 table 9-26)
#: Seconds that the thread which waits for a request waits longer than the connection lives. The
#: connection ends first, and `_end_wait` ends the thread.
WAIT_MARGIN_S = 5.0


class ReactorCheckpoint(threading.Event):
    """The event at which pynetdicom's reader thread of an association pauses.

    A thread that sends a request clears this event and continues when `_is_paused` is true. In
    pynetdicom 3.0 (`Association._run_reactor`) a reader thread that has just passed the event has
    not yet reset `_is_paused`. It then consumes the response: "unexpected service message", silence
    until the time-out, then an abort. This was seen once in some thousand C-STOREs on a busy
    machine. Here the reader thread resets `_is_paused` before it can pass.
    """

    def __init__(self, association: Any) -> None:
        super().__init__()
        self._association = association
        self._passing = threading.Lock()
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Return True when no thread waits for a response, False after `timeout` seconds."""
        while True:
            # A thread at this point is paused in any case; else a release would wait for ever.
            self._association._is_paused = True  # noqa: SLF001 - no public interface
            if not super().wait(timeout):
                return False
            with self._passing:
                if self.is_set():
                    self._association._is_paused = False  # noqa: SLF001 - no public interface
                    return True

    def clear(self) -> None:
        """Stop the reader thread at its next pass; `_is_paused` is reliable from now on."""
        with self._passing:
            super().clear()


def install_checkpoint(association: Any) -> None:
    """Replace the event of an association before its reader thread starts."""
    association._reactor_checkpoint = ReactorCheckpoint(association)  # noqa: SLF001 - as above


def pause_reader(association: Any) -> None:
    """Ask the reader thread of an association to pause; `is_reader_paused` reports when it has."""
    association._reactor_checkpoint.clear()  # noqa: SLF001 - no public interface


def resume_reader(association: Any) -> None:
    """Let the reader thread of an association continue."""
    association._reactor_checkpoint.set()  # noqa: SLF001 - no public interface


def is_reader_paused(association: Any) -> bool:
    """Return True if the reader thread of an association has paused."""
    return bool(association._is_paused)  # noqa: SLF001 - no public interface


def restart_idle_timer(association: Any) -> None:
    """Start the network time-out of an association again, as if a message had arrived."""
    association.dul._idle_timer.restart()  # noqa: SLF001 - no public interface


def is_between_messages(association: Association) -> bool:
    """Return True if the next byte starts a message and pynetdicom has nothing to send."""
    dul = association.dul
    return (
        dul.state_machine.current_state == ESTABLISHED
        and association.is_established
        and association.dimse.message is None
        and dul.event_queue.empty()
        and dul.to_provider_queue.empty()
    )


def has_unread_message(association: Association) -> bool:
    """Return True if a message has arrived that the reader thread has not handled."""
    return not association.dimse.msg_queue.empty()


def read_answer(association: Association) -> A_ASSOCIATE | None:
    """Return what the peer answered to our association request; None: it did not answer.

    A peer may reject and close before pynetdicom's calling thread has seen that the connection was
    opened. It then takes the peer for one that cannot be reached, and leaves the answer unread.
    """
    answered = association.acceptor.primitive
    if isinstance(answered, A_ASSOCIATE):
        return answered
    unread = list(association.dul.to_user_queue.queue)
    return next((each for each in unread if isinstance(each, A_ASSOCIATE)), None)


def is_readable(connection: AssociationSocket) -> bool:
    """Return whether a connection has something to read; note its end (Evt17) if it has failed.

    pynetdicom calls `select`, which fails for descriptors of 1024 and more.
    """
    if connection.socket is None or not connection._is_connected:  # noqa: SLF001 - as above
        return False
    poll = select.poll()
    try:
        poll.register(connection.socket, select.POLLIN)
        is_ready = bool(poll.poll(0))
    except (OSError, ValueError):  # closed by another thread
        connection.event_queue.put("Evt17")
        return False
    if isinstance(connection.socket, ssl.SSLSocket):  # may hold bytes that `poll` does not see
        return is_ready or bool(connection.socket.pending())
    return is_ready


class EndCause(Enum):
    """Why pynetdicom ends a connection by itself."""

    NO_REQUEST = auto()  #: nothing arrived before the ARTIM time-out (PS3.8 9.1.5)
    INVALID_PDU = auto()  #: a PDU that cannot be decoded, or not in this state (PS3.8 9.2)
    IDLE = auto()  #: the association was silent for the network time-out
    DEFECT = auto()  #: one of its threads failed


class _WatchedStateMachine(StateMachine):
    """The upper layer state machine of a connection; reports what it ends by itself.

    In pynetdicom a failed action ends the reader thread and leaves the connection open.
    """

    def __init__(self, association: Association, report: Callable[[EndCause], None]) -> None:
        super().__init__(association.dul)
        self._association = association
        self._report = report

    def do_action(self, event: str) -> None:
        """Do the action of an event, as pynetdicom does, but end the connection if it fails."""
        before = (event, self.current_state)
        try:
            super().do_action(event)
        except Exception as error:  # whatever failed, the connection must not stay open
            log.exception("association ended", exc_info=error, event_and_state=before)
            self.dul.kill_dul()
            _close(self._association)
            _end_wait(self._association)
            is_message = TRANSITION_TABLE.get(before) in MESSAGE_ACTIONS
            self._report(EndCause.INVALID_PDU if is_message else EndCause.DEFECT)
            return
        if before == (TIMER_EXPIRED, AWAITS_REQUEST):
            self._report(EndCause.NO_REQUEST)
        elif event != ABORT_REQUESTED and TRANSITION_TABLE[before] in ABORTING_ACTIONS:
            self._report(EndCause.INVALID_PDU)


def watch_association(
    association: Association, request_s: float, report: Callable[[EndCause], None]
) -> None:
    """End an accepted connection with both of its threads, whatever ends it, and report why.

    Its request must arrive within `request_s` seconds. Call it before the threads start.
    """
    association.acse_timeout = request_s + WAIT_MARGIN_S
    association.dul.artim_timer.timeout = request_s
    association.dul.state_machine = _WatchedStateMachine(association, report)
    association.bind(evt.EVT_CONN_CLOSE, lambda _: _end_wait(association))
    association.bind(evt.EVT_ABORTED, lambda _: _report_idle(association, report))
    run = association.run

    def run_to_the_end() -> None:
        try:
            run()
        except Exception as error:  # as above
            log.exception("association ended", exc_info=error)
            _close(association)
            report(EndCause.DEFECT)

    association.run = run_to_the_end  # type: ignore[method-assign]


def has_request(association: Association) -> bool:
    """Return False if the connection ended before its association request."""
    return isinstance(association.requestor.primitive, A_ASSOCIATE)


def _end_wait(association: Association) -> None:
    """End the thread that waits for the association request; without effect after the request."""
    if association.requestor.primitive is None:
        association.is_aborted = True
        association.dul.to_user_queue.put(A_P_ABORT())


def _close(association: Association) -> None:
    """Abort and close the connection; a living reader thread notices this and ends."""
    connection = association.dul.socket
    if connection is not None and connection.socket is not None:
        connection.send(ABORT)
        connection.close()


def _report_idle(association: Association, report: Callable[[EndCause], None]) -> None:
    if association.dul.idle_timer_expired():
        report(EndCause.IDLE)


def serve_as_storage(association: Association, sop_class_uids: Collection[str]) -> None:
    """Let C-STORE of these classes be served as storage, on this association alone.

    pynetdicom does so for classes of a SOP Class Common Extended Negotiation (PS3.7 D.3.3.6). Call
    it between the negotiation and the first message.
    """
    for uid in sop_class_uids:
        item = SOPClassCommonExtendedNegotiation()
        item.sop_class_uid, item.service_class_uid = UID(uid), STORAGE_SERVICE
        association.acceptor._common_ext[UID(uid)] = item  # noqa: SLF001 - no public interface


def is_storage(association: Association, sop_class_uid: str) -> bool:
    """Return whether C-STORE of a class is served as storage on an association."""
    served = association.acceptor.accepted_common_extended.get(UID(sop_class_uid))
    service = uid_to_service_class(sop_class_uid if served is None else served[0])
    return service is StorageServiceClass


def register_server(ae: AE, server: AssociationServer) -> None:
    """Add a server to those that `AE.shutdown` ends, as AE.start_server does."""
    cast(list[Any], ae._servers).append(server)  # noqa: SLF001 - no public interface


def unregister_server(ae: AE, server: AssociationServer) -> None:
    """Undo `register_server`, as ThreadedAssociationServer.shutdown does."""
    cast(list[Any], ae._servers).remove(server)  # noqa: SLF001 - no public interface
