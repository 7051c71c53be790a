"""Study revisions: find, lock, move to another state; and conditions on times."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from triage.crash_points import mark_reached
from triage.domain.assessment import Flag
from triage.domain.delivery import LONGEST_WAIT_S
from triage.domain.study import Event, IllegalTransition, State, StudyRevision, advance
from triage.store.schema import history, studies

#: Tolerance for the clocks of two machines, and for the time a transaction waits for a lock.
CLOCKS_APART_S = 60.0


def is_revision(study_uid: str, revision: int) -> tuple[Any, Any]:
    """Return the conditions that select one revision."""
    return studies.c.study_uid == study_uid, studies.c.revision == revision


def update_study(study_uid: str, revision: int) -> Any:
    """Return an UPDATE of one revision, without values."""
    return update(studies).where(*is_revision(study_uid, revision))


def is_unsent(queued_at: Any, at: float, forgotten_after_s: float | None) -> Any:
    """Return the condition "never queued, or queued so long ago that the broker lost it".

    `forgotten_after_s` None means that the broker never loses a task.
    """
    never = queued_at == 0
    if forgotten_after_s is None:
        return never
    return or_(never, queued_at < at - forgotten_after_s, queued_at > at)


def has_passed(moment: Any, at: float) -> Any:
    """Return the condition "`moment` is in the past", safe against a clock that was set back.

    No wait is longer than `LONGEST_WAIT_S`, so a later moment was written before the clock was set
    back. The tolerance covers a reader that took the time shortly before the writer did and then
    waited for a lock.
    """
    return or_(moment <= at, moment > at + LONGEST_WAIT_S + CLOCKS_APART_S)


def to_revision(row: Row[Any]) -> StudyRevision:
    """Return a row of `studies` as a domain value."""
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
        accession_number=row.accession_number,
        flag=None if row.flag is None else Flag(row.flag),
    )


def find_study(connection: Connection, study_uid: str, revision: int) -> StudyRevision | None:
    """Return one revision, locked until the transaction ends; None if it does not exist."""
    query = select(studies).where(*is_revision(study_uid, revision)).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else to_revision(row)


def lock_revisions(connection: Connection, study_uid: str) -> None:
    """Lock every revision of a study in ascending order until the transaction ends."""
    every = select(studies.c.revision).where(studies.c.study_uid == study_uid)
    connection.execute(every.order_by(studies.c.revision).with_for_update()).all()


def move_study(
    connection: Connection, study: StudyRevision, event: Event, reason: str, at: float
) -> bool:
    """Apply an event. Returns False if it is not possible in the study's state."""
    if event is Event.REPLAYED and study.pruned_at:  # no image is left to assess
        return False
    try:
        state = advance(study.state, event)
    except IllegalTransition:
        return False
    attempts = 0 if event is Event.REPLAYED else study.attempts
    orphaned = 0 if event is Event.REPLAYED else study.orphaned + (event is Event.ORPHANED)
    changes: Mapping[str, Any] = {
        "state": state,
        "reason": reason,
        "changed_at": at,
        "holder": "",
    }
    changed = update_study(study.study_uid, study.revision)
    counters = {"attempts": attempts, "orphaned": orphaned, "queued_at": 0.0}
    connection.execute(changed.values({**changes, **counters}))
    add_history(connection, replace(study, **changes), event)
    return True


def open_ready_revision(
    connection: Connection, latest: StudyRevision, reason: str, at: float
) -> bool:
    """Open the revision after `latest`, with the same images; False if that has changed."""
    lock_revisions(connection, latest.study_uid)
    mine = select(studies).where(studies.c.study_uid == latest.study_uid)
    row = connection.execute(mine.order_by(studies.c.revision.desc()).limit(1)).one_or_none()
    if row is None or row.pruning or to_revision(row) != latest:
        return False
    again = replace(
        latest,
        revision=latest.revision + 1,
        state=State.READY,
        reason=reason,
        first_instance_at=at,
        last_instance_at=at,
        changed_at=at,
        attempts=0,
        orphaned=0,
        flag=None,
    )
    connection.execute(insert(studies).values(vars(again)))
    add_history(connection, again, Event.REPLAYED)
    return True


def add_history(connection: Connection, study: StudyRevision, event: Event) -> None:
    """Add a line to the history of a revision that has just changed."""
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
