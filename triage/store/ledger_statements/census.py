"""How much is where: the ledger in numbers."""

from sqlalchemy import Connection, func, select

from triage.domain.census import Census
from triage.domain.delivery import UNFINISHED, DeliveryState
from triage.domain.health import HungReason
from triage.domain.incident import IncidentKind
from triage.domain.study import State
from triage.store.schema import deliveries, incidents, products, studies


def read_census(connection: Connection) -> Census:
    """Return the counts of studies and deliveries by state, and the oldest and newest times."""
    by_state = [
        select(table.c.state, func.count()).group_by(table.c.state)
        for table in (studies, deliveries)
    ]
    by_study, by_delivery = (connection.execute(query).all() for query in by_state)
    waiting = select(func.min(studies.c.last_instance_at)).where(studies.c.state == State.READY)
    arriving = select(func.min(studies.c.first_instance_at)).where(
        studies.c.state == State.RECEIVING
    )
    undelivered = select(func.min(products.c.made_at)).join(
        deliveries, deliveries.c.sop_instance_uid == products.c.sop_instance_uid
    )
    return Census(
        {State(state): count for state, count in by_study},
        {DeliveryState(state): count for state, count in by_delivery},
        waiting_since=connection.scalar(waiting),
        undelivered_since=connection.scalar(undelivered.where(deliveries.c.state.in_(UNFINISHED))),
        arriving_since=connection.scalar(arriving),
        changed_at=connection.scalar(select(func.max(studies.c.changed_at))),
        killed=_count_killed(connection),
    )


def _count_killed(connection: Connection) -> dict[HungReason, int]:
    """Return how many processes were killed for each reason, as far as incidents are kept."""
    reasons = {reason.incident: reason for reason in HungReason}
    kind, times = incidents.c.kind, func.sum(incidents.c.times)
    query = select(kind, times).where(kind.in_(reasons)).group_by(kind)
    return {reasons[IncidentKind(kind)]: int(count) for kind, count in connection.execute(query)}
