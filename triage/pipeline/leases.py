"""Keep a lease alive while its holder works, from a thread of its own.

Rule: a worker that still breathes keeps its study however long the model takes; one that was
killed loses it within a lease. Who could not say so, for the ledger was away, has as long again.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from triage.domain.errors import LedgerUnavailable

log = structlog.get_logger(__name__)


class LeaseWatch:
    """Since when somebody has looked at leases without a break; times are seconds since the epoch.

    Where the ledger was away, the machine slept or its clock was set forward, leases are over whose
    holders work on: they have one lease's time to say so.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._looked_at = math.inf  # at the start nothing is known of a break
        self._since = -math.inf

    def note_outage(self) -> None:
        """Note that the ledger was not reached."""
        self._looked_at = -math.inf

    def check_steady(self, now: float) -> bool:
        """Note a look, and tell whether there was no break for the time of a lease."""
        if now - self._looked_at > self._lease_s:
            self._since = now
        self._looked_at = now
        self._since = min(self._since, now)  # by a clock that was set back meanwhile
        return now - self._since >= self._lease_s


@contextmanager
def keep_alive(renew: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `renew` every `every_s` seconds until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            try:
                renew()
            except LedgerUnavailable as error:  # the next beat may still come in time
                log.warning("lease not renewed", error=str(error))

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
