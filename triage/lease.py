"""Keep a lease alive while its holder works, from a thread of its own.

Rule: a worker that still breathes keeps its study however long the model takes; one that was
killed loses it within a lease.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def kept_alive(renew: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `renew` every `every_s` seconds until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            renew()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
