"""Dead letters: deliveries that were given up, in the ledger's database.

Only a person takes up a delivery again. One that its destination has acknowledged is no dead
letter; see `resending`.
Nothing is assessed again: the stored bytes are sent under their existing UIDs. If a later revision
was made for the same destination, an earlier one is sent only when it is named explicitly, because
a receiver that shows the newest message would then show the older one.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, select, update

from triage.domain.delivery import DeadLetter, DeliveryState
from triage.domain.reasons import ReasonCode, because
from triage.domain.study import Event, State
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.ledger_statements.studies import find_study, move_study
from triage.store.schema import deliveries, products

IS_GIVEN_UP = deliveries.c.state == DeliveryState.FAILED


class SqlDeadLetters:
    """Deliveries that were given up, and their replay."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def count(self) -> int:
        """Return how many deliveries were given up."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(IS_GIVEN_UP)) or 0

    def list_newest(self, count: int) -> Sequence[DeadLetter]:
        """Return the deliveries that were given up last, newest first."""
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
        query = select(*columns).join_from(deliveries, products).where(IS_GIVEN_UP)
        query = query.order_by(known.changed_at.desc(), known.id.desc()).limit(count)
        with self._database.reading() as connection:
            return [DeadLetter(*row) for row in connection.execute(query)]

    @retry_on_conflict
    def replay(
        self, *, ids: Collection[int] = (), study_uid: str = "", destination: str = ""
    ) -> int:
        """Make given-up deliveries due again. Returns how many.

        Selects the deliveries in `ids`; without ids all of them, or those of one study or to one
        destination.
        """
        at = self._clock.now()
        with self._database.writing() as connection:
            found = connection.execute(_select_given_up(ids, study_uid, destination)).all()
            if found:
                make_due(connection, [row.id for row in found], at)
            for study, revision in {(row.study_uid, row.revision) for row in found}:
                known = find_study(connection, study, revision)
                if known is not None and known.state is State.FAILED:
                    move_study(
                        connection, known, Event.RESENT, str(because(ReasonCode.REPLAYED)), at
                    )
        return len(found)


def _select_given_up(ids: Collection[int], study_uid: str, destination: str) -> Any:
    where = [IS_GIVEN_UP, func.length(products.c.content) > 0]  # 0: removed by retention
    if ids:
        where.append(deliveries.c.id.in_(ids))
    else:
        where.append(~_is_outdated())
    if study_uid:
        where.append(deliveries.c.study_uid == study_uid)
    if destination:
        where.append(deliveries.c.destination == destination)
    query = select(deliveries.c.id, deliveries.c.study_uid, deliveries.c.revision)
    return query.join_from(deliveries, products).where(*where)


def make_due(connection: Connection, ids: Collection[int], at: float) -> None:
    """Make deliveries due now, as if none had been tried."""
    due = {
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "due_at": at,
        "lease_until": 0.0,
        "queued_at": 0.0,
        "unreachable": False,
        "unreachable_since": 0.0,
        "unclear_attempts": None,
        "changed_at": at,
    }
    again = update(deliveries).where(deliveries.c.id == bindparam("its_id"))
    connection.execute(again.values(due), [{"its_id": delivery_id} for delivery_id in ids])


def _is_outdated() -> ColumnElement[bool]:
    """Return the condition "a later revision has the same product for the same destination"."""
    later, later_product = deliveries.alias(), products.alias()
    same = (
        later.c.study_uid == deliveries.c.study_uid,
        later.c.destination == deliveries.c.destination,
        later.c.revision > deliveries.c.revision,
        later.c.sop_instance_uid == later_product.c.sop_instance_uid,
        later_product.c.kind == products.c.kind,
    )
    return exists().where(*same)
