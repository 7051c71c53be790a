"""Deliveries that a person has sent again, although their destination acknowledged them.

A destination that was configured after the study was reported gets deliveries of the same reports.
The stored bytes are sent under their existing UIDs, as a PACS that lost its data needs them. The
history of the study records it, and the audit trail records each transfer.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import and_, exists, func, or_, select, update

from triage.domain.delivery import DeliveryState, Product, ReportedRevision, SentDelivery
from triage.domain.study import Event
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.dead_letters import make_due
from triage.store.ledger_statements.deliveries import open_delivery, store_product, to_product
from triage.store.ledger_statements.studies import find_study, has_passed, move_study
from triage.store.schema import deliveries, products


class SqlResending:
    """Makes deliveries due again, in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def list_sent(self, study_uid: str) -> Sequence[SentDelivery]:
        """Return the deliveries of the latest revision that has any, without superseded ones."""
        known = deliveries.c
        latest = select(func.max(known.revision)).where(known.study_uid == study_uid)
        is_kept = func.length(products.c.content) > 0  # 0: removed by retention
        query = select(known.id, known.revision, known.destination, is_kept).where(
            known.study_uid == study_uid,
            known.revision == latest.scalar_subquery(),
            known.state != DeliveryState.SUPERSEDED,
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.join_from(deliveries, products).order_by(known.id))
            return [SentDelivery(*row) for row in rows]

    def find_reported(self, study_uid: str) -> ReportedRevision | None:
        """Return the latest revision that has reports, without superseded ones."""
        mine, its = products.c, deliveries.c
        latest = select(func.max(mine.revision)).where(mine.study_uid == study_uid)
        here = its.sop_instance_uid == mine.sop_instance_uid
        superseded = its.state == DeliveryState.SUPERSEDED
        is_replaced = and_(exists().where(here, superseded), ~exists().where(here, ~superseded))
        query = select(products).where(
            mine.study_uid == study_uid,
            mine.revision == latest.scalar_subquery(),
            mine.alternative_to == "",
            ~is_replaced,
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(mine.made_at, mine.sop_instance_uid)).all()
        if not rows:
            return None
        by_kind = {row.kind: to_product(row) for row in rows}
        return ReportedRevision(study_uid, rows[0].revision, tuple(by_kind.values()))

    @retry_on_conflict
    def open_deliveries(
        self, reported: ReportedRevision, destination: str, made: Sequence[Product], reason: str
    ) -> int:
        """Open a delivery for each product of a revision, storing it; return how many.

        None is opened while the revision is being assessed.
        """
        at = self._clock.now()
        with self._database.writing() as connection:
            study = find_study(connection, reported.study_uid, reported.revision)
            if study is None or not move_study(connection, study, Event.RESENT, reason, at):
                return 0
            for product in made:
                store_product(connection, study, product, at)
                open_delivery(connection, study, product, destination, at)
        return len(made)

    @retry_on_conflict
    def resend(self, study_uid: str, revision: int, ids: Collection[int], reason: str) -> None:
        """Make deliveries of a revision due again; its history gets the reason."""
        at = self._clock.now()
        with self._database.writing() as connection:
            study = find_study(connection, study_uid, revision)
            make_due(connection, ids, at)
            if study is not None:
                move_study(connection, study, Event.RESENT, reason, at)

    @retry_on_conflict
    def hasten(self, destination: str) -> int:
        """Make every delivery that waits for a destination due now; return how many.

        While it does not answer, only the one that probes it is tried.
        """
        at = self._clock.now()
        state, silent = deliveries.c.state, deliveries.c.unreachable
        waits = or_(state == DeliveryState.PENDING, and_(state == DeliveryState.STORED, silent))
        idle = has_passed(deliveries.c.lease_until, at)
        now = update(deliveries).where(deliveries.c.destination == destination, waits, idle)
        with self._database.writing() as connection:
            return connection.execute(now.values(due_at=at, queued_at=0.0)).rowcount
