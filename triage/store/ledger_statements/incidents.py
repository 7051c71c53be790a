"""Incidents: count and find them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.store.database import lock_until_commit
from triage.store.schema import incidents

#: The same incident within this time is counted on one row.
SAME_S = 86_400.0


def count_incident(  # noqa: PLR0913, PLR0917 - the columns of a row
    connection: Connection,
    kind: IncidentKind,
    detail: str,
    source: Source,
    times: int,
    at: float,
    path: str = "",
) -> None:
    """Add an incident, or count it on the row of the same incident within a day."""
    what = {"kind": kind, "detail": detail, "path": path}
    what |= {"calling_ae": source.calling_ae[:16], "address": source.address}
    same = (incidents.c[name] == value for name, value in what.items())
    recent = incidents.c.at > at - SAME_S
    lock_until_commit(connection, f"report {kind}")  # else two transactions would add a row each
    more = {"times": incidents.c.times + times, "at": at}
    if not connection.execute(update(incidents).where(*same, recent).values(more)).rowcount:
        connection.execute(insert(incidents).values({**what, "at": at, "times": times}))


def find_incidents(
    connection: Connection,
    newest: int,
    of: Collection[str],
    but: Collection[str],
    study_uid: str,
) -> Sequence[Row[Any]]:
    """Return incidents, newest first; see `SqlLedger.incidents`."""
    query = select(incidents).order_by(incidents.c.at.desc(), incidents.c.id.desc())
    if study_uid:
        query = query.where(incidents.c.path == study_uid)
    if of:
        query = query.where(incidents.c.kind.in_(of))
    return connection.execute(query.where(incidents.c.kind.not_in(but)).limit(newest)).all()
