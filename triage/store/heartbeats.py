"""Heartbeats in the ledger's database (`ports.Heartbeats`).

In the ledger and not in files, because all machines of a site share the ledger, and not their state
folders: `triage health` on one machine sees the processes of all. While the ledger does not answer,
the site is ill whatever its processes do.
"""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from triage.domain.health import FORGOTTEN_S, Heartbeat, Role
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import heartbeats


class SqlHeartbeats:
    """Heartbeats of all processes of a site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retry_on_conflict
    def beat(self, beat: Heartbeat) -> None:
        """Record the heartbeat of a process; remove the records of those that are long missing."""
        columns = heartbeats.c
        mine = (columns.machine == beat.machine, columns.pid == beat.pid)
        with self._database.writing() as connection:
            if not connection.execute(update(heartbeats).where(*mine).values(vars(beat))).rowcount:
                gone = columns.beat_at < beat.beat_at - FORGOTTEN_S
                connection.execute(delete(heartbeats).where(gone))
                connection.execute(insert(heartbeats).values(vars(beat)))

    @retry_on_conflict
    def remove(self, machine: str, pid: int) -> None:
        """Remove the record of a process that ends."""
        mine = (heartbeats.c.machine == machine, heartbeats.c.pid == pid)
        with self._database.writing() as connection:
            connection.execute(delete(heartbeats).where(*mine))

    def list_beats(self) -> Sequence[Heartbeat]:
        """Return the last heartbeat of every process, by machine and process id."""
        query = select(heartbeats).order_by(heartbeats.c.machine, heartbeats.c.pid)
        with self._database.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [Heartbeat(**{**row, "role": Role(row["role"])}) for row in rows]
