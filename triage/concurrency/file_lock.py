"""File locks that the kernel releases when their holder ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.domain.errors import ConfigurationError

RECEIVER = "receiver.lock"


def acquire_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until closed; None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock; nothing is created."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def hold_receiver_lock(state_dir: Path) -> Iterator[None]:
    """Reserve the state folder for one receiver; raise ConfigurationError if it has another."""
    descriptor = acquire_lock(state_dir / RECEIVER)
    if descriptor is None:
        raise ConfigurationError(
            f"another receiver works on {state_dir}: end it, or choose another state_dir"
        )
    try:
        yield
    finally:
        os.close(descriptor)
