"""Which waiting connection is closed when there are too many.

A connection waits from its accept until its peer has identified itself. A newcomer is never
refused: a peer that sends its request at once is never the oldest, a silent one always becomes it.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from triage.domain.networks import single_peer

K = TypeVar("K", bound=Hashable)
#: Returns whether a peer at this address is named in the settings.
IsKnown = Callable[[str], bool]


@dataclass(frozen=True)
class WaitingLimits:
    """How many connections may wait, and for how long."""

    in_all: int
    of_one_peer: int  #: see `single_peer`
    wait_s: float  #: until a peer has identified itself


@dataclass(frozen=True)
class WaitingConnection:
    """The peer of a waiting connection."""

    host: str
    peer: str  #: as `single_peer` has it
    is_known: bool
    until: float  #: deadline in monotonic seconds


@dataclass(frozen=True)
class Eviction(Generic[K]):
    """A connection that must be closed, and why."""

    key: K
    why: str
    host: str = ""  #: empty: there were too many of all peers together


class WaitingConnections(Generic[K]):
    """The waiting connections of one port, oldest first. Not thread-safe.

    A peer beyond its own limit loses its oldest connection. Beyond the limit for all peers, the
    oldest connection from an address that the settings do not name is removed; only if there is
    none, the oldest of all.
    """

    def __init__(self, limits: WaitingLimits, is_known: IsKnown) -> None:
        self._limits = limits
        self._is_known = is_known
        self._waiting: dict[K, WaitingConnection] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[K]:
        return iter(self._waiting)

    def add(self, key: K, host: str, now: float) -> Eviction[K] | None:
        """Add a new connection; return the one that is removed for it, if there are too many."""
        peer, until = single_peer(host), now + self._limits.wait_s
        self._waiting[key] = WaitingConnection(host, peer, self._is_known(host), until)
        of_peer = [k for k, waiting in self._waiting.items() if waiting.peer == peer]
        if len(of_peer) > self._limits.of_one_peer:
            limit = f"{self._limits.of_one_peer} silent connections of one address"
            evicted = self._waiting.pop(of_peer[0])
            return Eviction(of_peer[0], f"more than {limit} at once", evicted.host)
        if len(self._waiting) > self._limits.in_all:
            return self.evict_oldest(f"more than {self._limits.in_all} silent connections at once")
        return None

    def remove(self, key: K) -> None:
        """Remove a connection that has ended, or whose peer has identified itself."""
        self._waiting.pop(key, None)

    def evict_oldest(self, why: str) -> Eviction[K] | None:
        """Remove the connection that has waited longest; None if there is none."""
        unknown = (key for key, waiting in self._waiting.items() if not waiting.is_known)
        key = next(unknown, next(iter(self._waiting), None))
        if key is None:
            return None
        del self._waiting[key]
        return Eviction(key, why)

    def evict_overdue(self, now: float) -> list[Eviction[K]]:
        """Remove the connections whose time is over."""
        overdue = [key for key, waiting in self._waiting.items() if waiting.until <= now]
        return [Eviction(key, "no request in time", self._waiting.pop(key).host) for key in overdue]

    def remove_all(self) -> list[K]:
        """Remove and return every connection."""
        keys = list(self._waiting)
        self._waiting.clear()
        return keys
