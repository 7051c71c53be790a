"""Private parts of pynetdicom that this project uses; no other module reads or writes them.

pynetdicom has no public interface for what is needed here: pausing the thread that reads an
association, checking that this thread is between two messages, and registering a server of our
own class. `tests/unit/dimse/test_pynetdicom_internals.py` fails when the installed version is not
in `KNOWN_VERSIONS` or when one of these names is missing. After an upgrade, read the code behind
every function of this module again, then add the version.
"""

import threading
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import _STORAGE_CLASSES
from pynetdicom.transport import AssociationServer

#: Versions that this module was compared with, by reading their source.
KNOWN_VERSIONS = frozenset({"3.0.4"})
#: UIDs of the storage SOP classes that pynetdicom knows, by keyword. `register_uid` adds to it.
STORAGE_CLASSES: dict[str, str] = _STORAGE_CLASSES
#: State of the upper layer state machine in which data is transferred (PS3.8 table 9-10).
ESTABLISHED = "Sta6"


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


def register_server(ae: AE, server: AssociationServer) -> None:
    """Add a server to those that `AE.shutdown` ends, as AE.start_server does."""
    cast(list[Any], ae._servers).append(server)  # noqa: SLF001 - no public interface


def unregister_server(ae: AE, server: AssociationServer) -> None:
    """Undo `register_server`, as ThreadedAssociationServer.shutdown does."""
    cast(list[Any], ae._servers).remove(server)  # noqa: SLF001 - no public interface
