"""Single steps of the ledger's transactions; each takes the connection of one that is under way.

Rule: a state changes in `move` alone, through `domain.study.advance`, and leaves a line of
history. A row that will be written was read with its lock (FOR UPDATE; SQLite holds the whole
database), so what was read still holds. A study is locked before its deliveries are counted or
changed: of two that end at the same moment, the second then sees that the first has ended.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from triage.crash_points import mark_reached
from triage.domain.delivery import (
    LONGEST_WAIT_S,
    UNDER_WAY,
    Delivery,
    DeliveryState,
    Outage,
    Product,
    Route,
)
from triage.domain.errors import StudyBeingRemoved
from triage.domain.instance import Identity, Receipt, ReceiptOutcome, Source
from triage.domain.study import ENDED, OPEN, Event, IllegalTransition, State, StudyRevision, advance
from triage.store.database import lock_until_commit
from triage.store.schema import deliveries, history, incidents, instances, products, studies

#: Made once: it is executed for each instance.
GROW = (
    update(studies)
    .where(
        studies.c.study_uid == bindparam("its_study"),
        studies.c.revision == bindparam("its_revision"),
    )
    .values(instances=bindparam("instances"), last_instance_at=bindparam("last_instance_at"))
)
EVERY_REVISION = studies.alias()
LATEST = (
    select(
        studies,
        exists()
        .where(
            instances.c.study_uid == bindparam("its_study"),
            instances.c.sop_instance_uid == bindparam("its_instance"),
        )
        .label("is_known"),
        select(func.max(EVERY_REVISION.c.pruned_at))
        .where(EVERY_REVISION.c.study_uid == bindparam("its_study"))
        .scalar_subquery()
        .label("ever_pruned_at"),
    )
    .where(studies.c.study_uid == bindparam("its_study"))
    .with_for_update()
    .order_by(studies.c.revision.desc())
    .limit(1)
)
ELSEWHERE = (
    select(instances.c.study_uid)
    .where(
        instances.c.sop_instance_uid == bindparam("its_instance"),
        instances.c.study_uid != bindparam("its_study"),
    )
    .order_by(instances.c.received_at)
    .limit(1)
)

REMEMBER = insert(instances)

CLOCKS_APART_S = 60.0  #: of two machines, and while one waits for a lock
#: Within so many seconds the same incident is one row.
SAME_S = 86_400.0


def same_study(study_uid: str, revision: int) -> tuple[Any, Any]:
    """Return the condition that picks one revision."""
    return studies.c.study_uid == study_uid, studies.c.revision == revision


def update_study(study_uid: str, revision: int) -> Any:
    """Return an update of one revision, to be given values."""
    return update(studies).where(*same_study(study_uid, revision))


def update_delivery(delivery_id: int) -> Any:
    """Return an update of one delivery, to be given values."""
    return update(deliveries).where(deliveries.c.id == delivery_id)


def unsent(queued_at: Any, at: float, forgotten_after_s: float | None) -> Any:
    """Return the condition of what the broker never got, or has forgotten."""
    never = queued_at == 0
    if forgotten_after_s is None:
        return never
    return or_(never, queued_at < at - forgotten_after_s, queued_at > at)


def is_over(moment: Any, at: float) -> Any:
    """Return the condition of moments that have passed, by a clock that may have been set back.

    Nobody waits longer than `LONGEST_WAIT_S`: what is to come later was written before that. Who
    asks may have read the time a little before who wrote, and then waited for the lock.
    """
    return or_(moment <= at, moment > at + LONGEST_WAIT_S + CLOCKS_APART_S)


def is_due(at: float) -> Any:
    """Return the condition of deliveries that something is to be done about, and by nobody yet.

    An archive's word is waited for longer than anything else; where the clock was set back
    since, it is asked again.
    """
    word, due_at = deliveries.c.state == DeliveryState.STORED, deliveries.c.due_at
    pending = and_(deliveries.c.state == DeliveryState.PENDING, is_over(due_at, at))
    silent = and_(word, or_(due_at <= at, deliveries.c.changed_at > at + LONGEST_WAIT_S))
    return and_(or_(pending, silent), is_over(deliveries.c.lease_until, at), reachable())


def revision_of(row: Row[Any]) -> StudyRevision:
    """Return the domain's value of a row."""
    return StudyRevision(
        study_uid=row.study_uid,
        revision=row.revision,
        state=State(row.state),
        reason=row.reason,
        first_instance_at=row.first_instance_at,
        last_instance_at=row.last_instance_at,
        instances=row.instances,
        attempts=row.attempts,
        changed_at=row.changed_at,
        holder=row.holder,
        orphaned=row.orphaned,
        pruned_at=row.pruned_at,
    )


def find_study(connection: Connection, study_uid: str, revision: int) -> StudyRevision | None:
    """Return one revision, locked until the transaction ends."""
    query = select(studies).where(*same_study(study_uid, revision)).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else revision_of(row)


def lock_revisions(connection: Connection, study_uid: str) -> None:
    """Lock every revision of a study until the transaction ends, the first one first."""
    every = select(studies.c.revision).where(studies.c.study_uid == study_uid)
    connection.execute(every.order_by(studies.c.revision).with_for_update()).all()


def latest_revision(connection: Connection, receipt: Receipt) -> tuple[StudyRevision | None, bool]:
    """Return the newest revision of an instance's study, locked, and whether it is known there.

    Raises StudyBeingRemoved where images of the study go, or what the spool said of this one may be out
    of date: a file that was there already, and of which nobody knows, may have gone since.
    """
    identity = receipt.identity
    same = {"its_study": identity.study_uid, "its_instance": identity.sop_instance_uid}
    row = connection.execute(LATEST, same).one_or_none()
    if row is None:
        return None, False
    is_stale = (
        receipt.outcome is ReceiptOutcome.DUPLICATE and row.ever_pruned_at and not row.is_known
    )
    if row.pruning or is_stale:
        raise StudyBeingRemoved("older images of its study are being removed: send it again")
    return revision_of(row), bool(row.is_known)


def record(connection: Connection, receipt: Receipt, source: Source, at: float) -> StudyRevision:
    """Remember an instance; it opens a study, joins it, or opens its next revision.

    Raises StudyBeingRemoved before anything is written.
    """
    identity = receipt.identity
    study, is_known = latest_revision(connection, receipt)
    if study is not None and is_known:
        return seen_again(connection, study, at)
    study = join_study(connection, study, identity, at)
    values = {
        "study_uid": identity.study_uid,
        "sop_instance_uid": identity.sop_instance_uid,
        "series_uid": identity.series_uid,
        "sop_class_uid": identity.sop_class_uid,
        "modality": identity.modality[:16],
        "path": receipt.path,
        "digest": receipt.digest,
        "revision": study.revision,
        "calling_ae": source.calling_ae,
        "address": source.address,
        "received_at": at,
        "cardiac_images": identity.cardiac_images,
        "place": identity.place,
    }
    report_elsewhere(connection, identity, source, at)
    connection.execute(REMEMBER, values)
    return study


def report_elsewhere(connection: Connection, identity: Identity, source: Source, at: float) -> None:
    """Report an instance that another study has already; it belongs to both.

    A UID names one instance for ever (PS3.5 9), so one of the two is wrong, but only people can
    say which: a PACS that corrects a study sends all of it again under a new Study UID, and that
    one has to be assessed; so was the first, whose report stands where it was sent.
    """
    same = {"its_study": identity.study_uid, "its_instance": identity.sop_instance_uid}
    other = connection.scalar(ELSEWHERE, same)
    if other is not None:
        detail = (
            f"study {identity.study_uid} has SOP Instance UIDs of study {other}; "
            "both are kept, and both are assessed"
        )
        report_again(connection, "conflicting instance", detail, source, 1, at)


def report_again(  # noqa: PLR0913, PLR0917 - the columns of a row
    connection: Connection,
    kind: str,
    detail: str,
    source: Source,
    times: int,
    at: float,
    path: str = "",
) -> None:
    """Remember an incident, or that the same happened again within a day."""
    what = {"kind": kind, "detail": detail, "path": path}
    what |= {"calling_ae": source.calling_ae[:16], "address": source.address}
    same = (incidents.c[name] == value for name, value in what.items())
    recent = incidents.c.at > at - SAME_S
    lock_until_commit(connection, f"report {kind}")  # or each of two would make a row
    more = {"times": incidents.c.times + times, "at": at}
    if not connection.execute(update(incidents).where(*same, recent).values(more)).rowcount:
        connection.execute(insert(incidents).values({**what, "at": at, "times": times}))


def seen_again(connection: Connection, study: StudyRevision, at: float) -> StudyRevision:
    """A duplicate changes nothing, but it shows that the sender is still at it."""
    if study.state is State.RECEIVING:
        seen = update_study(study.study_uid, study.revision).values(last_instance_at=at)
        connection.execute(seen)
    return study


def join_study(
    connection: Connection, study: StudyRevision | None, identity: Identity, at: float
) -> StudyRevision:
    """Let one more instance join the study's open revision, or open the next one.

    What is no image joins a closed revision without opening another: a report that comes back to
    us, our own above all, would otherwise make the next report, without end.
    """
    study_uid = identity.study_uid
    if study is not None and study.state not in OPEN and not identity.is_image:
        if study.state in ENDED:  # by which its age counts
            touched = update_study(study_uid, study.revision).values(last_instance_at=at)
            connection.execute(touched)
        return study
    if study is None or study.state not in OPEN:
        study = _opened(connection, study, study_uid, at)
    event = Event.INSTANCE_RECEIVED
    if study.state is not State.RECEIVING:
        move(connection, study, event, "a late instance", at)
        moved = find_study(connection, study_uid, study.revision)
        assert moved is not None  # noqa: S101 - it was written in this transaction
        study = moved
    study = replace(study, instances=study.instances + 1, last_instance_at=at)
    values = {"its_study": study_uid, "its_revision": study.revision}
    # Its row is locked: what was counted still holds.
    connection.execute(GROW, values | {"instances": study.instances, "last_instance_at": at})
    return study


def _opened(
    connection: Connection, last: StudyRevision | None, study_uid: str, at: float
) -> StudyRevision:
    reason = f"late instances after revision {last.revision}" if last else "instances arrive"
    if last is not None and last.pruned_at:
        reason += f", whose {last.instances} instances were removed as `retention` says"
    study = StudyRevision(
        study_uid=study_uid,
        revision=last.revision + 1 if last else 1,
        state=State.RECEIVING,
        reason=reason,
        first_instance_at=at,
        last_instance_at=at,
        instances=last.instances if last and not last.pruned_at else 0,
        attempts=0,
        changed_at=at,
        holder="",
    )
    connection.execute(insert(studies).values(vars(study)))
    _remember(connection, study, Event.INSTANCE_RECEIVED)
    return study


def move(
    connection: Connection, study: StudyRevision, event: Event, reason: str, at: float
) -> bool:
    """Apply an event, if it can happen in the study's state."""
    if event is Event.REPLAYED and study.pruned_at:  # nothing is left to look at
        return False
    try:
        state = advance(study.state, event)
    except IllegalTransition:
        return False
    attempts = 0 if event is Event.REPLAYED else study.attempts
    orphaned = 0 if event is Event.REPLAYED else study.orphaned + (event is Event.ORPHANED)
    changes: dict[str, Any] = {"state": state, "reason": reason, "changed_at": at, "holder": ""}
    changed = update_study(study.study_uid, study.revision)
    tries = {"attempts": attempts, "orphaned": orphaned, "queued_at": 0.0}
    connection.execute(changed.values(changes | tries))
    _remember(connection, replace(study, **changes), event)
    return True


def _remember(connection: Connection, study: StudyRevision, event: Event) -> None:
    values = {
        "study_uid": study.study_uid,
        "revision": study.revision,
        "at": study.changed_at,
        "event": event,
        "state": study.state,
        "reason": study.reason,
    }
    connection.execute(insert(history).values(values))
    mark_reached(event)


def store_product(
    connection: Connection, study: StudyRevision, product: Product, at: float
) -> None:
    """Store a product; under a known UID the first bytes stay.

    The UID comes from the product's inputs, so a second one says the same, and whatever was sent
    under a UID is never replaced.
    """
    same = products.c.sop_instance_uid == product.sop_instance_uid
    known = connection.scalar(select(func.length(products.c.content)).where(same))
    if known == 0:  # removed, as retention says; made again, it says the same
        connection.execute(update(products).where(same).values(content=product.content, made_at=at))
    if known is not None:
        return
    owner = {"study_uid": study.study_uid, "revision": study.revision, "made_at": at}
    connection.execute(insert(products).values(vars(product) | owner))


def open_delivery(
    connection: Connection, study: StudyRevision, product: Product, destination: str, at: float
) -> int | None:
    """Return the delivery of a product, None where the destination has taken it before.

    One that was given up becomes due again: that is what a replay is for. What it has chosen from
    the product and its alternatives it keeps, for that may have arrived.
    """
    uid = product.sop_instance_uid
    instead = select(products.c.sop_instance_uid).where(products.c.alternative_to == uid)
    same = (
        or_(deliveries.c.sop_instance_uid == uid, deliveries.c.sop_instance_uid.in_(instead)),
        deliveries.c.destination == destination,
    )
    fresh = {"state": DeliveryState.PENDING, "due_at": at, "attempts": 0, "changed_at": at}
    known = connection.execute(select(deliveries).where(*same)).one_or_none()
    if known is not None and known.state == DeliveryState.DELIVERED:
        return None
    if known is not None and known.state == DeliveryState.STORED:
        return int(known.id)  # it has arrived; the archive's word is waited for
    if known is not None:
        again = {**fresh, "lease_until": 0.0, "queued_at": 0.0}
        connection.execute(update_delivery(known.id).values(again))
        return int(known.id)
    key = {"study_uid": study.study_uid, "revision": study.revision, "destination": destination}
    values = {"sop_instance_uid": product.sop_instance_uid, **key, **fresh}
    opened = insert(deliveries).values(values).returning(deliveries.c.id)
    return int(connection.execute(opened).scalar_one())


def supersede_others(
    connection: Connection,
    study: StudyRevision,
    due: Sequence[int],
    at: float,
) -> None:
    """Put an end to the revision's undelivered deliveries but those that are due."""
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
    """Tell whether a product is a message, and a later revision has one of its kind for there.

    Whoever shows the last message to come would show an old one; see `supersede_earlier_messages`.
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
    """Put an end to messages of earlier revisions that wait for where newer ones go now.

    Documents of a PACS stand beside one another, each with its place. Of messages the last one to
    come counts, and that must not be an old one which was tried once more.
    """
    of_study = deliveries.c.study_uid == study.study_uid
    for message, destination in routes:
        if message.sop_class_uid:
            continue
        same = select(products.c.sop_instance_uid).where(
            products.c.study_uid == study.study_uid, products.c.kind == message.kind
        )
        needless = update(deliveries).where(
            of_study,
            deliveries.c.revision < study.revision,
            deliveries.c.destination == destination,
            deliveries.c.state.in_(UNDER_WAY),
            deliveries.c.sop_instance_uid.in_(same),
        )
        ended = needless.values(state=DeliveryState.SUPERSEDED, changed_at=at)
        for revision in set(connection.scalars(ended.returning(deliveries.c.revision))):
            end_study(connection, study.study_uid, revision, at)


def reachable() -> Any:
    """Return the condition of deliveries that may be tried.

    Of a destination that did not answer, one may: the oldest that found it so. The others wait for
    its word, or each would hold up the healthy destinations for a time-out.
    """
    silent = (deliveries.c.state.in_(UNDER_WAY), deliveries.c.unreachable)
    probes = select(func.min(deliveries.c.id)).where(*silent).group_by(deliveries.c.destination)
    blocked = select(deliveries.c.destination).where(*silent)
    return or_(deliveries.c.destination.not_in(blocked), deliveries.c.id.in_(probes))


def silent_since(at: float, unreachable: bool) -> Any:  # noqa: FBT001 - a column's value
    """Return the value for since when a delivery finds its destination silent; 0: it is not."""
    if not unreachable:
        return 0.0
    known = deliveries.c.unreachable_since
    return case((known > 0, known), else_=at)


def find_outages(connection: Connection) -> list[Outage]:
    """Return the destinations that do not answer, by name."""
    under_way = deliveries.c.state.in_(UNDER_WAY)
    known = deliveries.c.unreachable_since
    # What an earlier version found has no moment: the last try is one.
    since = case((known > 0, known), else_=deliveries.c.changed_at)
    silent = (
        select(
            deliveries.c.destination,
            func.min(deliveries.c.id).label("probe"),
            func.min(since).label("since"),
        )
        .where(under_way, deliveries.c.unreachable)
        .group_by(deliveries.c.destination)
        .subquery()
    )
    others = deliveries.alias()
    to_it = (others.c.state.in_(UNDER_WAY), others.c.destination == silent.c.destination)
    waiting = select(func.count()).select_from(others).where(*to_it).scalar_subquery()
    probe = (deliveries.c.last_answer, deliveries.c.due_at, waiting.label("waiting"))
    query = select(silent.c.destination, silent.c.since, *probe).join_from(
        silent, deliveries, deliveries.c.id == silent.c.probe
    )
    return [Outage(*row) for row in connection.execute(query.order_by(silent.c.destination))]


def find_deliveries(connection: Connection, *where: Any) -> list[Delivery]:
    """Return the deliveries that meet the conditions, with their products."""
    joined = deliveries.join(products)
    known = {column.name for column in deliveries.c}
    columns = [*deliveries.c, *(each for each in products.c if each.name not in known)]
    query = select(*columns).select_from(joined).where(*where).order_by(deliveries.c.id)
    found = connection.execute(query).all()
    instead = _alternatives(connection, [row.sop_instance_uid for row in found])
    return [
        Delivery(
            id=row.id,
            study_uid=row.study_uid,
            revision=row.revision,
            destination=row.destination,
            state=DeliveryState(row.state),
            attempts=row.attempts,
            last_answer=row.last_answer,
            due_at=row.due_at,
            product=_product_of(row),
            alternatives=tuple(instead.get(row.sop_instance_uid, ())),
        )
        for row in found
    ]


def find_products(connection: Connection, study_uid: str, revision: int) -> list[Product]:
    """Return the products of a study up to a revision, the latest last."""
    mine = (products.c.study_uid == study_uid, products.c.revision <= revision)
    order = (products.c.revision, products.c.made_at, products.c.sop_instance_uid)
    return [_product_of(row) for row in connection.execute(_products(*mine).order_by(*order))]


def _alternatives(connection: Connection, uids: Sequence[str]) -> dict[str, list[Product]]:
    """Return by UID what may go in place of products, the best first.

    The SOP classes that stand in for one another (PS3.4 B.5) are older the lower their UID is.
    """
    query = _products(products.c.alternative_to.in_(uids)).order_by(products.c.sop_class_uid.desc())
    found: dict[str, list[Product]] = {}
    for row in connection.execute(query):
        found.setdefault(row.alternative_to, []).append(_product_of(row))
    return found


def _products(*where: Any) -> Select[Any]:
    return select(products).where(*where)


def _product_of(row: Row[Any]) -> Product:
    return Product(**{field.name: getattr(row, field.name) for field in fields(Product)})


def end_delivery(
    connection: Connection, delivery_id: int, state: DeliveryState, answer: str, at: float
) -> None:
    """Store how a delivery ended; the last one ends its study."""
    mine = select(deliveries.c.study_uid, deliveries.c.revision).where(
        deliveries.c.id == delivery_id
    )
    study_uid, revision = connection.execute(mine).one()
    # The study is locked first, as `finish` does it, or the two might wait for each other.
    find_study(connection, study_uid, revision)
    ended = update_delivery(delivery_id)
    if state is DeliveryState.FAILED:  # an archive's word may have come meanwhile
        ended = ended.where(deliveries.c.state.in_(UNDER_WAY))
    connection.execute(ended.values(state=state, last_answer=answer, changed_at=at))
    end_study(connection, study_uid, revision, at)


def end_study(connection: Connection, study_uid: str, revision: int, at: float) -> None:
    """When no delivery is pending any more, the study is delivered or has failed."""
    study = find_study(connection, study_uid, revision)
    mine = (deliveries.c.study_uid == study_uid, deliveries.c.revision == revision)
    query = select(deliveries.c.state, func.count()).where(*mine).group_by(deliveries.c.state)
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    if study is None or any(counts.get(state) for state in UNDER_WAY):
        return
    if failed := counts.get(DeliveryState.FAILED):
        why = (
            f"{failed} delivery(ies) given up; see `triage status` and `triage replay --deliveries`"
        )
        move(connection, study, Event.UNDELIVERABLE, why, at)
        return
    acknowledged = f"{counts.get(DeliveryState.DELIVERED, 0)} delivery(ies) acknowledged"
    move(connection, study, Event.ACKNOWLEDGED, acknowledged, at)
