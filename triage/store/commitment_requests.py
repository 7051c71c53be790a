"""Storage commitment requests sent to archives (`ports.CommitmentRequests`).

A request is stored in the ledger's database before it is sent and is never deleted, because the
archive's report may be late or arrive twice. A delivery with a report never moves back.
"""

from typing import Any

from sqlalchemy import insert, select

from triage.domain.delivery import UNFINISHED, Delivery, DeliveryState
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.ledger_statements.deliveries import (
    find_deliveries,
    unreachable_since,
    update_delivery,
)
from triage.store.schema import commitment_requests, deliveries

SOON_S = 5.0  #: a worker killed before it sent the request is replaced after this time


class SqlCommitmentRequests:
    """Storage commitment requests to archives, in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    @retry_on_conflict
    def record_request(self, delivery_id: int, transaction_uid: str, answer: str | None) -> bool:
        """Store a request before it is sent, and move the delivery to STORED.

        The caller keeps its lease. `answer` is the archive's C-STORE response, None if the product
        was not sent again. Returns False if the delivery is no longer under way.
        """
        at = self._clock.now()
        values = {"state": DeliveryState.STORED, "due_at": at + SOON_S, "changed_at": at}
        values |= {} if answer is None else {"last_answer": answer}
        stored = update_delivery(delivery_id).where(deliveries.c.state.in_(UNFINISHED))
        asked = {"transaction_uid": transaction_uid, "delivery_id": delivery_id, "asked_at": at}
        with self._database.writing() as connection:
            if connection.execute(stored.values(values)).rowcount == 0:
                return False
            asked["after_sending"] = answer is not None
            connection.execute(insert(commitment_requests).values(asked))
            return True

    @retry_on_conflict
    def postpone(
        self, delivery_id: int, answer: str, again_in_s: float, *, unreachable: bool = False
    ) -> None:
        """Release a STORED delivery until its next request is due."""
        at = self._clock.now()
        free: dict[str, Any] = {"due_at": at + again_in_s, "lease_until": 0.0, "queued_at": 0.0}
        result = {"last_answer": answer, "changed_at": at, "unreachable": unreachable}
        free |= {"unreachable_since": unreachable_since(at, unreachable)}
        waiting = update_delivery(delivery_id).where(deliveries.c.state == DeliveryState.STORED)
        with self._database.writing() as connection:
            connection.execute(waiting.values(free | result))

    def was_asked_again(self, delivery_id: int) -> bool:
        """Return whether the last request repeated an earlier one without sending the product."""
        requests = commitment_requests.c
        query = select(requests.after_sending).where(requests.delivery_id == delivery_id)
        with self._database.reading() as connection:
            last = connection.scalars(query.order_by(requests.id.desc()).limit(1)).first()
            return last is False

    def find_request(self, transaction_uid: str) -> tuple[Delivery, bool] | None:
        """Return the delivery of a request, and whether this request is the delivery's latest.

        Returns None if no request has this Transaction UID.
        """
        requests = commitment_requests.c
        known = select(requests.id, requests.delivery_id).where(
            requests.transaction_uid == transaction_uid
        )
        with self._database.reading() as connection:
            row = connection.execute(known).one_or_none()
            if row is None:
                return None
            later = select(requests.id).where(
                requests.delivery_id == row.delivery_id, requests.id > row.id
            )
            is_latest = connection.execute(later.limit(1)).first() is None
            (delivery,) = find_deliveries(connection, deliveries.c.id == row.delivery_id)
            return delivery, is_latest
