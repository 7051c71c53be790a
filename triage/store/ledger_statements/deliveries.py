"""Products, their deliveries to destinations, and outages of destinations."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from triage.domain.delivery import (
    LONGEST_WAIT_S,
    UNFINISHED,
    Delivery,
    DeliveryState,
    Outage,
    Product,
    Route,
)
from triage.domain.reasons import ReasonCode, because
from triage.domain.study import Event, StudyRevision
from triage.store.ledger_statements.studies import find_study, has_passed, move_study
from triage.store.schema import deliveries, products


def update_delivery(delivery_id: int) -> Any:
    """Return an UPDATE of one delivery, without values."""
    return update(deliveries).where(deliveries.c.id == delivery_id)


def is_due(at: float) -> Any:
    """Return the condition "has to be worked on now, and no worker holds its lease".

    A storage commitment report may take longer than any other wait, so a STORED delivery with a
    distant time is due only if the clock was set back since it changed.
    """
    stored, due_at = deliveries.c.state == DeliveryState.STORED, deliveries.c.due_at
    pending = and_(deliveries.c.state == DeliveryState.PENDING, has_passed(due_at, at))
    unreported = and_(stored, or_(due_at <= at, deliveries.c.changed_at > at + LONGEST_WAIT_S))
    return and_(or_(pending, unreported), has_passed(deliveries.c.lease_until, at), may_be_tried())


def store_product(
    connection: Connection, study: StudyRevision, product: Product, at: float
) -> None:
    """Store a product. If its UID is known, the first bytes stay, and the time of their making.

    The UID is derived from the product's inputs, so a second product has the same content, and
    bytes that were sent under a UID are never replaced.
    """
    same = products.c.sop_instance_uid == product.sop_instance_uid
    known = connection.scalar(select(func.length(products.c.content)).where(same))
    if known == 0:  # removed by retention; made again, its content is the same
        connection.execute(update(products).where(same).values(content=product.content))
    if known is not None:
        return
    made_at = at if product.made_at is None else product.made_at
    owner = {"study_uid": study.study_uid, "revision": study.revision, "made_at": made_at}
    connection.execute(insert(products).values(vars(product) | owner))


def open_deliveries(
    connection: Connection, study: StudyRevision, routes: Sequence[Route], at: float
) -> Sequence[int]:
    """Open a delivery per route, and supersede the replaced ones. Returns the new ids."""
    opened = (open_delivery(connection, study, *route, at) for route in routes)
    due = [delivery_id for delivery_id in opened if delivery_id is not None]
    supersede_others(connection, study, due, at)
    supersede_earlier_messages(connection, study, routes, at)
    end_study(connection, study.study_uid, study.revision, at)
    return due


def open_delivery(
    connection: Connection, study: StudyRevision, product: Product, destination: str, at: float
) -> int | None:
    """Return the id of a product's delivery, None if the destination already acknowledged it.

    A delivery that was given up becomes due again: that is the purpose of a replay. It keeps the
    alternative that it chose earlier, because that one may have arrived.
    """
    same = _is_delivery_of(product.sop_instance_uid, destination)
    fresh = {"state": DeliveryState.PENDING, "due_at": at, "changed_at": at}
    fresh |= {"attempts": 0, "unclear_attempts": None}
    known = connection.execute(select(deliveries).where(*same)).one_or_none()
    if known is not None and known.state == DeliveryState.DELIVERED:
        return None
    if known is not None and known.state == DeliveryState.STORED:
        return int(known.id)  # it has arrived; its storage commitment report is outstanding
    if known is not None:
        again = {**fresh, "lease_until": 0.0, "queued_at": 0.0}
        connection.execute(update_delivery(known.id).values(again))
        return int(known.id)
    key = {"study_uid": study.study_uid, "revision": study.revision, "destination": destination}
    values = {"sop_instance_uid": product.sop_instance_uid, **key, **fresh}
    opened = insert(deliveries).values(values).returning(deliveries.c.id)
    return int(connection.execute(opened).scalar_one())


def _is_delivery_of(uid: str, destination: str) -> tuple[Any, Any]:
    """Return the conditions "delivers this product, or an alternative to it, there"."""
    alternative = select(products.c.sop_instance_uid).where(products.c.alternative_to == uid)
    return (
        or_(deliveries.c.sop_instance_uid == uid, deliveries.c.sop_instance_uid.in_(alternative)),
        deliveries.c.destination == destination,
    )


def supersede_others(
    connection: Connection,
    study: StudyRevision,
    due: Sequence[int],
    at: float,
) -> None:
    """Supersede the revision's undelivered deliveries, except those that are due."""
    needless = update(deliveries).where(
        deliveries.c.study_uid == study.study_uid,
        deliveries.c.revision == study.revision,
        deliveries.c.state != DeliveryState.DELIVERED,
        deliveries.c.id.not_in(due),
    )
    connection.execute(needless.values(state=DeliveryState.SUPERSEDED, changed_at=at))


def is_overtaken(
    connection: Connection, study: StudyRevision, product: Product, destination: str
) -> bool:
    """Return whether a later revision has a message of this kind for the same destination.

    A receiver shows the message that arrives last, so it would show an outdated one; see
    `supersede_earlier_messages`. DICOM objects are never overtaken.
    """
    if product.sop_class_uid:
        return False
    later = (
        deliveries.c.study_uid == study.study_uid,
        deliveries.c.revision > study.revision,
        deliveries.c.destination == destination,
        deliveries.c.sop_instance_uid == products.c.sop_instance_uid,
        products.c.kind == product.kind,
    )
    return bool(connection.scalar(select(exists().where(*later))))


def supersede_earlier_messages(
    connection: Connection, study: StudyRevision, routes: Sequence[Route], at: float
) -> None:
    """Supersede undelivered messages of earlier revisions that newer messages replace.

    A PACS keeps the documents of all revisions side by side. A receiver of messages uses the one
    that arrives last, and that must not be an old message after a retry.
    """
    for message, destination in routes:
        if message.sop_class_uid:
            continue
        replaced = update(deliveries).where(*_is_earlier_message(study, message, destination))
        ended = replaced.values(state=DeliveryState.SUPERSEDED, changed_at=at)
        for revision in set(connection.scalars(ended.returning(deliveries.c.revision))):
            end_study(connection, study.study_uid, revision, at)


def _is_earlier_message(study: StudyRevision, message: Product, destination: str) -> list[Any]:
    """Return the conditions "an undelivered message of this kind of an earlier revision"."""
    same_kind = select(products.c.sop_instance_uid).where(
        products.c.study_uid == study.study_uid, products.c.kind == message.kind
    )
    return [
        deliveries.c.study_uid == study.study_uid,
        deliveries.c.revision < study.revision,
        deliveries.c.destination == destination,
        deliveries.c.state.in_(UNFINISHED),
        deliveries.c.sop_instance_uid.in_(same_kind),
    ]


def may_be_tried() -> Any:
    """Return the condition "its destination answers, or it is the one that probes it".

    The probe of a destination that did not answer is the oldest delivery that found it so. The
    others wait for its result; otherwise each would occupy a worker until its timeout.
    """
    silent = (deliveries.c.state.in_(UNFINISHED), deliveries.c.unreachable)
    probes = select(func.min(deliveries.c.id)).where(*silent).group_by(deliveries.c.destination)
    blocked = select(deliveries.c.destination).where(*silent)
    return or_(deliveries.c.destination.not_in(blocked), deliveries.c.id.in_(probes))


def unreachable_since(at: float, unreachable: bool) -> Any:  # noqa: FBT001 - a column's value
    """Return the value of the column `unreachable_since`; 0 if the destination answers."""
    if not unreachable:
        return 0.0
    known = deliveries.c.unreachable_since
    return case((known > 0, known), else_=at)


def describe_failure(at: float, *, unreachable: bool, unclear: bool) -> dict[str, Any]:
    """Return the columns that a failed attempt changes besides its answer and the next time."""
    since = unreachable_since(at, unreachable)
    outage = {"unreachable": unreachable, "unreachable_since": since}
    return {**outage, **count_unclear(unclear)}


def postpone_delivery(delivery_id: int) -> Any:
    """Return an UPDATE of a delivery that is tried again; it holds no lease and no task.

    It changes nothing if a storage commitment report has ended the delivery meanwhile.
    """
    again = update_delivery(delivery_id).where(deliveries.c.state.in_(UNFINISHED))
    return again.values(state=DeliveryState.PENDING, lease_until=0.0, queued_at=0.0)


def find_outages(connection: Connection) -> list[Outage]:
    """Return the destinations that do not answer, ordered by name."""
    silent = _select_unreachable().subquery()
    others = deliveries.alias()
    to_it = (others.c.state.in_(UNFINISHED), others.c.destination == silent.c.destination)
    waiting = select(func.count()).select_from(others).where(*to_it).scalar_subquery()
    probe = (deliveries.c.last_answer, deliveries.c.due_at, waiting.label("waiting"))
    query = select(silent.c.destination, silent.c.since, *probe).join_from(
        silent, deliveries, deliveries.c.id == silent.c.probe
    )
    return [Outage(*row) for row in connection.execute(query.order_by(silent.c.destination))]


def _select_unreachable() -> Select[Any]:
    """Return the query for unreachable destinations: name, probing delivery, start."""
    known = deliveries.c.unreachable_since
    # Rows of an earlier release have no such time: the last attempt is used.
    since = case((known > 0, known), else_=deliveries.c.changed_at)
    return (
        select(
            deliveries.c.destination,
            func.min(deliveries.c.id).label("probe"),
            func.min(since).label("since"),
        )
        .where(deliveries.c.state.in_(UNFINISHED), deliveries.c.unreachable)
        .group_by(deliveries.c.destination)
    )


def find_deliveries(connection: Connection, *where: Any) -> list[Delivery]:
    """Return the deliveries that meet the conditions, with their products and alternatives."""
    joined = deliveries.join(products)
    known = {column.name for column in deliveries.c}
    columns = [*deliveries.c, *(column for column in products.c if column.name not in known)]
    query = select(*columns).select_from(joined).where(*where).order_by(deliveries.c.id)
    found = connection.execute(query).all()
    alternatives = _find_alternatives(connection, [row.sop_instance_uid for row in found])
    return [_to_delivery(row, alternatives.get(row.sop_instance_uid, ())) for row in found]


def _to_delivery(row: Row[Any], alternatives: Sequence[Product]) -> Delivery:
    return Delivery(
        id=row.id,
        study_uid=row.study_uid,
        revision=row.revision,
        destination=row.destination,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        last_answer=row.last_answer,
        due_at=row.due_at,
        product=to_product(row),
        alternatives=tuple(alternatives),
        unclear_attempts=row.unclear_attempts or 0,
    )


def find_products(connection: Connection, study_uid: str, revision: int) -> list[Product]:
    """Return the products of a study up to and including a revision, latest last."""
    mine = (products.c.study_uid == study_uid, products.c.revision <= revision)
    order = (products.c.revision, products.c.made_at, products.c.sop_instance_uid)
    query = _select_products(*mine).order_by(*order)
    return [to_product(row) for row in connection.execute(query)]


def _find_alternatives(connection: Connection, uids: Sequence[str]) -> dict[str, list[Product]]:
    """Return the alternatives of products by the product's UID, best first.

    Among SOP classes that can replace one another (PS3.4 B.5), a lower UID is an older class.
    """
    query = _select_products(products.c.alternative_to.in_(uids))
    query = query.order_by(products.c.sop_class_uid.desc())
    found: dict[str, list[Product]] = {}
    for row in connection.execute(query):
        found.setdefault(row.alternative_to, []).append(to_product(row))
    return found


def _select_products(*where: Any) -> Select[Any]:
    return select(products).where(*where)


def to_product(row: Row[Any]) -> Product:
    """Return a row of `products` as a domain value."""
    return Product(**{field.name: getattr(row, field.name) for field in fields(Product)})


def count_unclear(unclear: bool) -> dict[str, Any]:  # noqa: FBT001 - a column's value
    """Return the changed column if the destination may have accepted an attempt."""
    known = func.coalesce(deliveries.c.unclear_attempts, 0)
    return {"unclear_attempts": known + 1} if unclear else {}


def end_delivery(  # noqa: PLR0913 - each argument is stored
    connection: Connection,
    delivery_id: int,
    state: DeliveryState,
    answer: str,
    at: float,
    *,
    unclear: bool = False,
) -> None:
    """Store how a delivery ended; the last delivery also ends its study."""
    mine = select(deliveries.c.study_uid, deliveries.c.revision).where(
        deliveries.c.id == delivery_id
    )
    study_uid, revision = connection.execute(mine).one()
    # The study is locked first, as in `finish`; another order could deadlock.
    find_study(connection, study_uid, revision)
    ended = update_delivery(delivery_id)
    if state is DeliveryState.FAILED:  # a commitment report may have arrived meanwhile
        ended = ended.where(deliveries.c.state.in_(UNFINISHED))
    values = {"state": state, "last_answer": answer, "changed_at": at, **count_unclear(unclear)}
    connection.execute(ended.values(values))
    end_study(connection, study_uid, revision, at)


def end_study(connection: Connection, study_uid: str, revision: int, at: float) -> None:
    """Move a study to DELIVERED or FAILED if none of its deliveries is under way."""
    study = find_study(connection, study_uid, revision)
    mine = (deliveries.c.study_uid == study_uid, deliveries.c.revision == revision)
    may_have_arrived = func.count(case((deliveries.c.unclear_attempts > 0, 1)))
    query = select(deliveries.c.state, func.count(), may_have_arrived).where(*mine)
    rows = connection.execute(query.group_by(deliveries.c.state)).all()
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    if study is None or any(counts.get(state) for state in UNFINISHED):
        return
    if failed := counts.get(DeliveryState.FAILED):
        unclear = sum(row[2] for row in rows if row[0] == DeliveryState.FAILED)
        some = [because(ReasonCode.SOME_MAY_HAVE_ARRIVED, deliveries=unclear)] if unclear else []
        why = because(ReasonCode.DELIVERIES_GIVEN_UP, *some, deliveries=failed)
        move_study(connection, study, Event.UNDELIVERABLE, str(why), at)
        return
    acknowledged = because(
        ReasonCode.ACKNOWLEDGED, deliveries=counts.get(DeliveryState.DELIVERED, 0)
    )
    move_study(connection, study, Event.ACKNOWLEDGED, str(acknowledged), at)
