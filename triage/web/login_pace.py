"""Spaces password checks of one name, and of one network, however many addresses guess.

The wait of `login_throttle` is for one name at one address; an attacker may have many addresses.
Here the checks of a name are spaced after some failures, wherever they come from. No user is locked
out: a check waits for its turn, and a peer that has logged in lately does not wait.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from triage.ports.clock import Clock
from triage.web.login_throttle import LoginDelayed

FREE = 8  #: failures of a name or a network without spacing
SPACE_S = 1.0  #: between two checks of a name or a network after them
LONGEST_S = 20.0  #: a check that would wait longer is refused
FORGOTTEN_S = 3600.0  #: failures are forgotten so long after the last one
MOST = 10_000  #: names and networks that are remembered; the oldest are dropped
PENDING_MAX = 32  #: checks that wait or run at once
PENDING_OF_NETWORK_MAX = 16


@dataclass
class PacedFailures:
    """The failures of one name or network."""

    count: int = 0
    last_at: float = 0.0
    next_at: float = 0.0  #: the earliest time of the next check


class LoginPace:
    """The turns of password checks, in memory. Not thread-safe: call it in the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, PacedFailures] = OrderedDict()
        self._pending: Counter[str] = Counter()

    @contextmanager
    def reserve(self, name: str, network: str) -> Iterator[float]:
        """Yield the seconds that a check must wait; it is pending until the block ends.

        Raises LoginDelayed if too many are pending, or the wait would be too long.
        """
        wait_s = self._wait_s(name, network)
        is_full = self._pending.total() >= PENDING_MAX
        if is_full or self._pending[network] >= PENDING_OF_NETWORK_MAX or wait_s > LONGEST_S:
            raise LoginDelayed(max(1, ceil(wait_s)))
        at = self._clock.now() + wait_s
        for paced in self._paced(name, network):
            paced.next_at = at + SPACE_S
        self._pending[network] += 1
        try:
            yield wait_s
        finally:
            self._pending[network] -= 1
            if not self._pending[network]:
                del self._pending[network]

    def count_failure(self, name: str, network: str) -> None:
        """Count a wrong password."""
        now = self._clock.now()
        for key in _keys(name, network):
            failures = self._failures.pop(key, PacedFailures())
            if failures.last_at + FORGOTTEN_S < now:
                failures = PacedFailures()
            failures.count += 1
            failures.last_at = now
            self._failures[key] = failures
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def _wait_s(self, name: str, network: str) -> float:
        now = self._clock.now()
        return max(0.0, *(paced.next_at - now for paced in self._paced(name, network)), 0.0)

    def _paced(self, name: str, network: str) -> list[PacedFailures]:
        """Return the failures of a name and a network that have had too many lately."""
        since = self._clock.now() - FORGOTTEN_S
        found = [self._failures.get(key) for key in _keys(name, network)]
        return [each for each in found if each and each.count >= FREE and each.last_at >= since]


def _keys(name: str, network: str) -> tuple[str, str]:
    return f"name {name}", f"network {network}"
