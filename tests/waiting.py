"""The loopback address, and waiting for events."""

import socket
import time
from collections.abc import Callable

HOST = "127.0.0.1"


def wait_until(true: Callable[[], object], seconds: float = 240, what: str = "it") -> None:
    """Wait until a condition holds; raise TimeoutError when it does not.

    The limit is for failures alone: a busy machine may take many times as long as an idle one.
    """
    deadline, pause_s = time.monotonic() + seconds, 0.01
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)


def listens(port: int) -> bool:
    """Return whether a server listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
