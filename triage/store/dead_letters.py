"""Deliveries that were given up, in the database of the ledger.

Rule: a person alone takes one up again, and never one that its destination has taken. Nothing is
assessed for it: the bytes that were made are sent, under the UIDs that they have. Where a later
revision was made for the same destination, an earlier one is sent only when it is named: whoever
shows the newest message would show the older one.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, exists, func, select, update

from triage.domain.delivery import DeliveryState, GivenUp
from triage.domain.study import Event, State
from triage.ports.clock import Clock
from triage.store import ledger_statements as rows
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import deliveries, products

LOST = deliveries.c.state == DeliveryState.FAILED


class SqlDeadLetters:
    """What was given up, and how it is taken up again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def count(self) -> int:
        """Return how many deliveries were given up."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(LOST)) or 0

    def newest(self, count: int) -> Sequence[GivenUp]:
        """Return those that were given up last, the newest first."""
        known = deliveries.c
        columns = (
            known.id,
            known.study_uid,
            known.revision,
            known.destination,
            products.c.kind,
            known.attempts,
            known.last_answer,
            known.changed_at,
        )
        query = select(*columns).join_from(deliveries, products).where(LOST)
        query = query.order_by(known.changed_at.desc(), known.id.desc()).limit(count)
        with self._database.reading() as connection:
            return [GivenUp(*row) for row in connection.execute(query)]

    @retry_on_conflict
    def replay(
        self, *, ids: Collection[int] = (), study_uid: str = "", destination: str = ""
    ) -> int:
        """Make deliveries due again that were given up; return how many there were.

        Those that are named, else all: of one study, to one destination, where that is given.
        """
        where = [LOST, func.length(products.c.content) > 0]  # else it was removed by retention
        if ids:
            where.append(deliveries.c.id.in_(ids))
        else:
            where.append(~_is_outdated())
        if study_uid:
            where.append(deliveries.c.study_uid == study_uid)
        if destination:
            where.append(deliveries.c.destination == destination)
        query = select(deliveries.c.id, deliveries.c.study_uid, deliveries.c.revision)
        query = query.join_from(deliveries, products).where(*where)
        at = self._clock.now()
        due = {
            "state": DeliveryState.PENDING,
            "attempts": 0,
            "due_at": at,
            "lease_until": 0.0,
            "queued_at": 0.0,
            "unreachable": False,
            "unreachable_since": 0.0,
            "changed_at": at,
        }
        again = update(deliveries).where(deliveries.c.id == bindparam("its_id"), LOST).values(due)
        with self._database.writing() as connection:
            found = connection.execute(query).all()
            if found:
                connection.execute(again, [{"its_id": row.id} for row in found])
            for study, revision in {(row.study_uid, row.revision) for row in found}:
                known = rows.find_study(connection, study, revision)
                if known is not None and known.state is State.FAILED:
                    rows.move(connection, known, Event.RESENT, "asked for by `replay`", at)
        return len(found)


def _is_outdated() -> Any:
    """Return the condition of deliveries whose place a later revision's took."""
    later, said = deliveries.alias(), products.alias()
    same = (
        later.c.study_uid == deliveries.c.study_uid,
        later.c.destination == deliveries.c.destination,
        later.c.revision > deliveries.c.revision,
        later.c.sop_instance_uid == said.c.sop_instance_uid,
        said.c.kind == products.c.kind,
    )
    return exists().where(*same)
