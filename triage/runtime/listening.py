"""Opens the addresses of a site on trial, and marks those on which its processes listen.

A process holds a lock file for each port on which it listens. So a worker that starts waits for
the processes of an earlier one that still end, but not for a program of others, and `triage check`
can distinguish the two.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from triage.concurrency.file_lock import acquire_lock, is_locked
from triage.config import ListeningAddress, Settings
from triage.config.listening import list_receiving, list_web, metrics_address
from triage.domain.errors import ConfigurationError

END_S = 40.0  #: longest time in which the processes of an earlier worker end
POLL_S = 0.1


def list_addresses(settings: Settings) -> list[ListeningAddress]:
    """Return every address on which `triage serve` listens."""
    metrics = metrics_address(settings.metrics)
    return [
        *list_receiving(settings),
        *list_web(settings),
        *([] if metrics is None else [metrics]),
    ]


def require_free(settings: Settings, addresses: Sequence[ListeningAddress]) -> None:
    """Raise ConfigurationError if an address cannot be opened.

    Waits for the processes of an earlier worker on this state folder, which still end.
    """
    until = time.monotonic() + END_S
    for address in addresses:
        while is_locked(_lock_of(settings, address)) and time.monotonic() < until:
            time.sleep(POLL_S)
        address.open(1).close()


def try_address(settings: Settings, address: ListeningAddress) -> str:
    """Return whether an address is free, or used by the running worker.

    Raises ConfigurationError if it cannot be opened.
    """
    try:
        address.open(1).close()
    except ConfigurationError:
        if is_locked(_lock_of(settings, address)):
            return "the running worker listens"
        raise
    return "free"


@contextmanager
def mark_listening(settings: Settings, addresses: Sequence[ListeningAddress]) -> Iterator[None]:
    """Hold the lock files of addresses until the block ends.

    Raises ConfigurationError if an earlier process does not end.
    """
    with ExitStack() as held:
        for address in addresses:
            held.callback(os.close, _acquire(settings, address))
        yield


def _acquire(settings: Settings, address: ListeningAddress) -> int:
    until = time.monotonic() + END_S
    while (descriptor := acquire_lock(_lock_of(settings, address))) is None:
        if time.monotonic() > until:
            raise ConfigurationError(f"an earlier process of this site still listens on {address}")
        time.sleep(POLL_S)
    return descriptor


def _lock_of(settings: Settings, address: ListeningAddress) -> Path:
    return settings.state_dir / f"port-{address.port}.lock"
