"""Received instances: record and replace them, open or extend study revisions."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from triage.domain.errors import StudyBeingRemoved
from triage.domain.incident import IncidentKind, describe_correction
from triage.domain.instance import Identity, Receipt, ReceiptOutcome, Source
from triage.domain.reasons import Reason, ReasonCode, because
from triage.domain.study import ENDED, OPEN, Event, State, StudyRevision
from triage.store.ledger_statements.incidents import count_incident
from triage.store.ledger_statements.studies import (
    add_history,
    find_study,
    move_study,
    to_revision,
    update_study,
)
from triage.store.schema import instances, studies

# These statements run once per instance, so they are built once.
COUNT_INSTANCE = (
    update(studies)
    .where(
        studies.c.study_uid == bindparam("its_study"),
        studies.c.revision == bindparam("its_revision"),
    )
    .values(instances=bindparam("instances"), last_instance_at=bindparam("last_instance_at"))
)
EVERY_REVISION = studies.alias()
LATEST_REVISION = (
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
OTHER_STUDY = (
    select(instances.c.study_uid)
    .where(
        instances.c.sop_instance_uid == bindparam("its_instance"),
        instances.c.study_uid != bindparam("its_study"),
    )
    .order_by(instances.c.received_at)
    .limit(1)
)
INSERT_INSTANCE = insert(instances)


def record_instance(
    connection: Connection, receipt: Receipt, source: Source, at: float
) -> StudyRevision:
    """Record an instance in its study's open revision, or open the next one.

    Raises:
        StudyBeingRemoved: before anything is written; see `find_latest_revision`.
    """
    identity = receipt.identity
    study, is_known = find_latest_revision(connection, receipt)
    if study is not None and is_known:
        return note_duplicate(connection, study, at)
    study = join_study(connection, study, identity, at)
    report_same_uid_elsewhere(connection, identity, source, at)
    values = {"revision": study.revision, "received_at": at}
    connection.execute(INSERT_INSTANCE, _instance_values(receipt, source) | values)
    return study


def replace_instance(
    connection: Connection, receipt: Receipt, source: Source, at: float
) -> StudyRevision:
    """Record an instance in place of a known one with other content; see `ports.instances`.

    The replaced file stays where it is. An assessment that runs may read it to its end.

    Raises:
        StudyBeingRemoved: before anything is written; see `find_latest_revision`.
    """
    identity = receipt.identity
    study, is_known = find_latest_revision(connection, receipt)
    if study is None or not is_known:
        return record_instance(connection, receipt, source, at)
    itself = (
        instances.c.study_uid == identity.study_uid,
        instances.c.sop_instance_uid == identity.sop_instance_uid,
    )
    if connection.scalar(select(instances.c.path).where(*itself)) == receipt.path:
        return note_duplicate(connection, study, at)
    reason = because(ReasonCode.CORRECTED_INSTANCES)
    study = join_study(connection, study, identity, at, correction=reason)
    values = _instance_values(receipt, source) | {"revision": study.revision, "received_at": at}
    connection.execute(update(instances).where(*itself).values(values))
    kind, detail = IncidentKind.CORRECTED_STUDY, describe_correction(identity.study_uid)
    count_incident(
        connection,
        kind,
        f"{detail}; the later ones are assessed",
        source,
        1,
        at,
        identity.study_uid,
    )
    return study


def _instance_values(receipt: Receipt, source: Source) -> dict[str, Any]:
    identity = receipt.identity
    return {
        "study_uid": identity.study_uid,
        "sop_instance_uid": identity.sop_instance_uid,
        "series_uid": identity.series_uid,
        "sop_class_uid": identity.sop_class_uid,
        "modality": identity.modality[:16],
        "path": receipt.path,
        "digest": receipt.digest,
        "calling_ae": source.calling_ae,
        "address": source.address,
        "cardiac_images": identity.cardiac_images,
        "place": identity.place,
    }


def find_latest_revision(
    connection: Connection, receipt: Receipt
) -> tuple[StudyRevision | None, bool]:
    """Return the newest revision of a study, locked, and whether the instance is known.

    Raises:
        StudyBeingRemoved: if the study's images are being removed, or if the receipt may be out of
            date: the spool found the file already present, but the ledger has no row for it, so
            the file may have been removed since.
    """
    identity = receipt.identity
    same = {"its_study": identity.study_uid, "its_instance": identity.sop_instance_uid}
    row = connection.execute(LATEST_REVISION, same).one_or_none()
    if row is None:
        return None, False
    is_stale = (
        receipt.outcome is ReceiptOutcome.DUPLICATE and row.ever_pruned_at and not row.is_known
    )
    if row.pruning or is_stale:
        raise StudyBeingRemoved(
            "older images of this study are being removed: send the instance again"
        )
    return to_revision(row), bool(row.is_known)


def report_same_uid_elsewhere(
    connection: Connection, identity: Identity, source: Source, at: float
) -> None:
    """Report an instance with a UID that another study has; it belongs to both studies.

    A SOP Instance UID identifies one instance for ever (PS3.5 9), so one of the two is wrong, but
    the worker cannot decide which. A PACS that corrects a study sends all instances again under a
    new Study Instance UID; the new study must be assessed, although the report on the first one
    has been delivered.
    """
    same = {"its_study": identity.study_uid, "its_instance": identity.sop_instance_uid}
    other = connection.scalar(OTHER_STUDY, same)
    if other is not None:
        detail = (
            f"study {identity.study_uid} has SOP Instance UIDs of study {other}; "
            "both are kept, and both are assessed"
        )
        folder = identity.study_uid
        count_incident(connection, IncidentKind.CONFLICTING_INSTANCE, detail, source, 1, at, folder)


def note_duplicate(connection: Connection, study: StudyRevision, at: float) -> StudyRevision:
    """Postpone completeness for a duplicate: it adds nothing, but the sender is still sending."""
    if study.state is State.RECEIVING:
        seen = update_study(study.study_uid, study.revision).values(last_instance_at=at)
        connection.execute(seen)
    return study


def join_study(
    connection: Connection,
    study: StudyRevision | None,
    identity: Identity,
    at: float,
    correction: Reason | None = None,
) -> StudyRevision:
    """Add an instance to the study's open revision, or open the next one.

    With `correction` the instance replaces a known one, for this reason.

    An object that is not an image joins a closed revision without opening another one. Otherwise a
    report that the PACS sends back, above all our own, would cause the next report, without end.
    """
    study_uid = identity.study_uid
    if study is not None and study.state not in OPEN and not identity.is_image:
        if study.state in ENDED:  # retention counts the study's age from its last instance
            touched = update_study(study_uid, study.revision).values(last_instance_at=at)
            connection.execute(touched)
        return study
    if study is None or study.state not in OPEN:
        study = _open_revision(connection, study, identity, at, correction)
    if study.state is not State.RECEIVING:
        reason = str(correction or because(ReasonCode.LATE_INSTANCE))
        move_study(connection, study, Event.INSTANCE_RECEIVED, reason, at)
        moved = find_study(connection, study_uid, study.revision)
        assert moved is not None  # noqa: S101 - it was written in this transaction
        study = moved
    added = 0 if correction else 1
    study = replace(study, instances=study.instances + added, last_instance_at=at)
    key = {"its_study": study_uid, "its_revision": study.revision}
    # The revision is locked, so its count is still valid.
    counted: dict[str, Any] = {"instances": study.instances, "last_instance_at": at}
    connection.execute(COUNT_INSTANCE, key | counted)
    return study


def _opening_reason(last: StudyRevision | None) -> Reason:
    if last is None:
        return because(ReasonCode.INSTANCES_ARRIVE)
    if not last.pruned_at:
        return because(ReasonCode.LATE_INSTANCES, revision=last.revision)
    removed = because(ReasonCode.EARLIER_IMAGES_REMOVED, instances=last.instances)
    return because(ReasonCode.LATE_INSTANCES, removed, revision=last.revision)


def _open_revision(
    connection: Connection,
    last: StudyRevision | None,
    identity: Identity,
    at: float,
    correction: Reason | None,
) -> StudyRevision:
    study = StudyRevision(
        study_uid=identity.study_uid,
        revision=last.revision + 1 if last else 1,
        state=State.RECEIVING,
        reason=str(correction or _opening_reason(last)),
        first_instance_at=at,
        last_instance_at=at,
        instances=last.instances if last and not last.pruned_at else 0,
        attempts=0,
        changed_at=at,
        holder="",
        accession_number=identity.accession_number or (last.accession_number if last else ""),
    )
    connection.execute(insert(studies).values(vars(study)))
    add_history(connection, study, Event.INSTANCE_RECEIVED)
    return study
