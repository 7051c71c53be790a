"""Leases: a worker renews its lease from a thread of its own while it works.

A worker that is alive keeps its study however long the model takes; a killed worker loses it within
one lease period. If renewal fails because the ledger is down, the lease is honoured for one further
lease period.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from triage.domain.errors import LedgerUnavailable

log = structlog.get_logger(__name__)


class LeaseWatch:
    """Decides whether expired leases can be trusted; times are seconds since the epoch.

    While the ledger is down, the machine sleeps, or the clock is set forward, leases expire whose
    holders still work. After such a break, leases count as expired only after one lease period
    without another break.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._checked_at = math.inf  # at the start no break is known
        self._steady_since = -math.inf

    def note_outage(self) -> None:
        """Note that the ledger did not answer."""
        self._checked_at = -math.inf

    def check_steady(self, now: float) -> bool:
        """Note this check; return whether there was no break for one lease period."""
        if now - self._checked_at > self._lease_s:
            self._steady_since = now
        self._checked_at = now
        self._steady_since = min(self._steady_since, now)  # the clock may have been set back
        return now - self._steady_since >= self._lease_s


@contextmanager
def keep_alive(renew: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `renew` every `every_s` seconds until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            try:
                renew()
            except LedgerUnavailable as error:  # the next renewal may still come in time
                log.warning("lease not renewed", error=str(error))

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
