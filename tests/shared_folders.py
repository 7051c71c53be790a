"""Folders that one process of a test run fills and all its processes read."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def fill_once(folder: Path, fill: Callable[[Path], object]) -> Path:
    """Return `folder`, filled by the process that comes first; the others wait for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            fill(partial)
            partial.rename(folder)
    return folder
