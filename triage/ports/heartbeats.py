"""Port: the heartbeats of the processes of a site, on all machines."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.health import Heartbeat


class Heartbeats(Protocol):
    """Records that processes run. Every method may raise LedgerUnavailable."""

    def beat(self, beat: Heartbeat) -> None:
        """Record the heartbeat of a process, replacing its earlier one."""

    def remove(self, machine: str, pid: int) -> None:
        """Remove the record of a process that ends."""

    def list_beats(self) -> Sequence[Heartbeat]:
        """Return the last heartbeat of every process, by machine and process id."""
