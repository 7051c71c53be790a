"""Who owns a state folder: a lock that ends with its holder's process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.domain.errors import ConfigurationError

RECEIVER = "receiver.lock"


def acquire_lock(path: Path) -> int | None:
    """Return the descriptor that holds the lock until it is closed; None where another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def hold_receiver_lock(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for one receiver; raise ConfigurationError where there is another."""
    held = acquire_lock(state_dir / RECEIVER)
    if held is None:
        raise ConfigurationError(
            f"another receiver works on {state_dir}: end it, or choose another state_dir"
        )
    try:
        yield
    finally:
        os.close(held)
