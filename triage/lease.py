"""Keep a lease alive while its holder works, from a thread of its own.

Rule: a worker that still breathes keeps its study however long the model takes; one that was
killed loses it within a lease.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from triage.domain.errors import LedgerUnavailable

log = structlog.get_logger(__name__)


@contextmanager
def kept_alive(renew: Callable[[], object], every_s: float) -> Iterator[None]:
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
