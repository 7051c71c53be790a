"""Records that this process runs: in the ledger, for `triage health`, and to systemd.

A thread beats every five seconds. It does not follow the rounds of the main loop: the supervisor
judges these (`triage.runtime.parent`), and `triage health` shows by the age of waiting studies when
nothing moves. Systemd gets a report only while the listeners of the receiver are alive, and
also while the ledger does not answer: a restart would not help. Under `triage serve` the supervisor
reports to systemd that the service is alive, and the receiver only that it is ready.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from triage.config import is_watchdog_for
from triage.domain.errors import LedgerUnavailable
from triage.domain.health import BEAT_S, Heartbeat, Role
from triage.ports.clock import Clock
from triage.ports.heartbeats import Heartbeats
from triage.runtime.clock import SystemClock
from triage.runtime.service_manager import ALIVE, READY, ServiceManager
from triage.store.database import Database
from triage.store.heartbeats import SqlHeartbeats

log = structlog.get_logger(__name__)

END_S = 2.0  #: to end the thread; a ledger that does not answer is not waited for
MACHINE_MAX = 64  #: characters of a host name in the ledger


class Pulse:
    """The heartbeat of this process."""

    def __init__(
        self, beats: Heartbeats, clock: Clock, role: Role, manager: ServiceManager
    ) -> None:
        self._beats = beats
        self._clock = clock
        self._manager = manager
        self._role = role
        self._started_at = clock.now()
        self._is_working: Callable[[], bool] = lambda: True
        self._working_since = 0.0
        self._is_unrecorded = False
        self._recording = threading.Lock()
        self._ended = threading.Event()

    def begin_work(self, is_working: Callable[[], bool] = lambda: True) -> None:
        """Report that the process does its work from now on, as long as `is_working`."""
        self._is_working, self._working_since = is_working, self._clock.now()
        self._manager.notify(READY)
        self.beat()

    def beat(self) -> None:
        """Report once to systemd and to the ledger."""
        if self.working_since:
            self._manager.notify(ALIVE)
        try:
            with self._recording:  # else an older state could replace a newer one
                self._beats.beat(self._describe())
        except LedgerUnavailable as error:
            if not self._is_unrecorded:
                log.warning("heartbeat not recorded", why=str(error))
            self._is_unrecorded = True
        else:
            self._is_unrecorded = False

    @property
    def working_since(self) -> float:
        """Since when the process works, in seconds since the epoch; 0.0 if it does not."""
        return self._working_since if self._working_since and self._is_working() else 0.0

    def run(self) -> None:
        """Beat until `end`."""
        while not self._ended.is_set():
            self.beat()
            self._ended.wait(BEAT_S)

    def end(self, thread: threading.Thread) -> None:
        """End the thread and remove the record of this process."""
        self._ended.set()
        thread.join(END_S)
        try:
            self._beats.remove(machine_name(), os.getpid())
        except LedgerUnavailable as error:
            log.warning("heartbeat not removed", why=str(error))

    def _describe(self) -> Heartbeat:
        listening = self.working_since if self._role is Role.RECEIVE else 0.0
        return Heartbeat(
            machine_name(), os.getpid(), self._role, self._started_at, self._clock.now(), listening
        )


def machine_name() -> str:
    """Return the name of this machine, as heartbeats have it."""
    return socket.gethostname()[:MACHINE_MAX]


@contextmanager
def beating(database: Database, role: Role, notify_address: str | None) -> Iterator[Pulse]:
    """Beat in a thread until the block ends; yield the pulse of this process.

    `notify_address` is the socket of systemd; None if another process of the service reports.
    """
    manager = ServiceManager(notify_address, is_watched=is_watchdog_for(os.getpid()))
    pulse = Pulse(SqlHeartbeats(database), SystemClock(), role, manager)
    thread = threading.Thread(target=pulse.run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        pulse.end(thread)
