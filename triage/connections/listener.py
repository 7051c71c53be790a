"""A listening socket that counts what it has accepted.

It replaces the socket of a server with an accept loop of its own (asyncio, socketserver). A
connection waits until `admit`; if there are too many, the oldest is shut down, which its server
sees as the end of the connection. The number of descriptors is bounded, whatever peers do.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from triage.connections.waiting import IsKnown, WaitingConnections, WaitingLimits

BATCH = 256  #: connections that asyncio accepts at once
BACKLOG = 1024  #: connections that the system completes before they are accepted
#: Connections that are shut down and that their server has not closed yet; beyond it, none is
#: accepted.
ENDING_MAX = 32


@dataclass(frozen=True)
class ListenerLimits:
    """Bounds for the connections of one port."""

    waiting: WaitingLimits
    admitted: int  #: a further one stays among those that wait

    @property
    def descriptors(self) -> int:
        """Return how many descriptors the port uses at most."""
        return self.waiting.in_all + self.admitted + ENDING_MAX + 1


def knows_nobody(_host: str) -> bool:
    """Return False: the settings of a service name no addresses."""
    return False


class AcceptedSocket(socket.socket):
    """A connection that a `BoundedListener` has accepted."""

    def __init__(self, connection: socket.socket, forget: Callable[[int], None]) -> None:
        timeout_s = connection.gettimeout()
        family, kind, protocol = connection.family, connection.type, connection.proto
        super().__init__(family, kind, protocol, connection.detach())
        self.settimeout(timeout_s)
        self._forget = forget

    def close(self) -> None:
        """Close the connection; its descriptor is counted no longer."""
        if self.fileno() >= 0:
            self._forget(self.fileno())
        super().close()


class BoundedListener(socket.socket):
    """A listening socket with limits. Thread-safe.

    Descriptors are the keys of connections, because servers wrap the sockets in classes of theirs.
    """

    def __init__(
        self,
        listening: socket.socket,
        limits: ListenerLimits,
        is_known: IsKnown = knows_nobody,
        batch: int = 1,
    ) -> None:
        """Take over a listening socket.

        `batch` connections are accepted at once, and those of them for which there is no room are
        closed before the server spends time on them. The server must call `accept` until it fails.
        """
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, listening.detach())
        self.settimeout(0)
        self._batch = batch
        #: Accepted, and not passed to the server yet.
        self._fresh: dict[int, tuple[AcceptedSocket, Any]] = {}
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: WaitingConnections[int] = WaitingConnections(limits.waiting, is_known)
        #: The function that ends each open connection, by descriptor.
        self._ends: dict[int, Callable[[], object]] = {}
        self._admitted: set[int] = set()
        self._ending: set[int] = set()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection and make room for it; raise BlockingIOError if there is none."""
        if not self._fresh:
            if len(self._ending) >= ENDING_MAX:
                raise BlockingIOError("evicted connections are not closed yet")
            self._accept_one()
            with suppress(OSError):  # no more have arrived
                for _ in range(self._batch - 1):
                    self._accept_one()
        return self._fresh.pop(next(iter(self._fresh)))

    def _accept_one(self) -> None:
        connection, address = super().accept()
        accepted = AcceptedSocket(connection, self._forget)
        descriptor = accepted.fileno()
        self._fresh[descriptor] = accepted, address
        with self._lock:
            self._ends[descriptor] = lambda: accepted.shutdown(socket.SHUT_RDWR)
            evicted = self._waiting.add(descriptor, str(address[0]), time.monotonic())
        if evicted is not None:
            self._end(evicted.key)

    def set_end(self, descriptor: int, end: Callable[[], object]) -> bool:
        """Set the function that ends a connection; return False if it is ended already."""
        with self._lock:
            if descriptor in self._ending or descriptor not in self._ends:
                return False
            self._ends[descriptor] = end
            return True

    def admit(self, descriptor: int) -> None:
        """Note that the peer of a connection has identified itself."""
        with self._lock:
            if descriptor in self._waiting and len(self._admitted) < self._limits.admitted:
                self._waiting.remove(descriptor)
                self._admitted.add(descriptor)

    def end_overdue(self) -> None:
        """End the connections whose peers did not identify themselves in time."""
        with self._lock:
            overdue = self._waiting.evict_overdue(time.monotonic())
        for evicted in overdue:
            self._end(evicted.key)

    def _end(self, descriptor: int) -> None:
        if descriptor in self._fresh:
            self._fresh.pop(descriptor)[0].close()
            return
        with self._lock:
            end = self._ends.get(descriptor)
            if end is None:  # it has just been closed
                return
            self._ending.add(descriptor)
        with suppress(OSError):  # the peer has closed it
            end()

    def _forget(self, descriptor: int) -> None:
        with self._lock:
            self._waiting.remove(descriptor)
            self._admitted.discard(descriptor)
            self._ending.discard(descriptor)
            self._ends.pop(descriptor, None)
