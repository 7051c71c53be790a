"""What archives are asked for their word about, in the database of the ledger.

Rule: a question stands here before it goes out, and stays: an archive's word may be late, or come
twice. A delivery whose word has come is never moved back.
"""

from typing import Any

from sqlalchemy import insert, select

from triage.domain.delivery import UNDER_WAY, Delivery, DeliveryState
from triage.ports.clock import Clock
from triage.store import ledger_statements as rows
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import commitment_requests, deliveries

SOON_S = 5.0  #: whoever is killed before the question went out is soon made good for


class SqlCommitmentRequests:
    """See `ports.CommitmentRequests`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    @retry_on_conflict
    def ask(self, delivery_id: int, transaction_uid: str, answer: str | None) -> bool:
        """Remember, before it goes out, that an archive is asked; the delivery is STORED.

        The lease of whoever asks goes on.
        """
        at = self._clock.now()
        values = {"state": DeliveryState.STORED, "due_at": at + SOON_S, "changed_at": at}
        values |= {} if answer is None else {"last_answer": answer}
        stored = rows.update_delivery(delivery_id).where(deliveries.c.state.in_(UNDER_WAY))
        asked = {"transaction_uid": transaction_uid, "delivery_id": delivery_id, "asked_at": at}
        with self._database.writing() as connection:
            if connection.execute(stored.values(values)).rowcount == 0:
                return False
            asked["after_sending"] = answer is not None
            connection.execute(insert(commitment_requests).values(asked))
            return True

    @retry_on_conflict
    def wait(
        self, delivery_id: int, answer: str, again_in_s: float, *, unreachable: bool = False
    ) -> None:
        """Keep a STORED delivery until it is asked about again."""
        at = self._clock.now()
        free: dict[str, Any] = {"due_at": at + again_in_s, "lease_until": 0.0, "queued_at": 0.0}
        said = {"last_answer": answer, "changed_at": at, "unreachable": unreachable}
        free |= {"unreachable_since": rows.silent_since(at, unreachable)}
        waiting = rows.update_delivery(delivery_id).where(
            deliveries.c.state == DeliveryState.STORED
        )
        with self._database.writing() as connection:
            connection.execute(waiting.values(free | said))

    def is_asked_twice(self, delivery_id: int) -> bool:
        """Tell whether the last question was not that which followed a sending."""
        asked = commitment_requests.c
        query = select(asked.after_sending).where(asked.delivery_id == delivery_id)
        with self._database.reading() as connection:
            last = connection.scalars(query.order_by(asked.id.desc()).limit(1)).first()
            return last is False

    def about(self, transaction_uid: str) -> tuple[Delivery, bool] | None:
        """Return which delivery was asked about, and whether nothing was asked since."""
        asked = commitment_requests.c
        known = select(asked.id, asked.delivery_id).where(asked.transaction_uid == transaction_uid)
        with self._database.reading() as connection:
            row = connection.execute(known).one_or_none()
            if row is None:
                return None
            later = select(asked.id).where(asked.delivery_id == row.delivery_id, asked.id > row.id)
            is_last = connection.execute(later.limit(1)).first() is None
            (delivery,) = rows.find_deliveries(connection, deliveries.c.id == row.delivery_id)
            return delivery, is_last
