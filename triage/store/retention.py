"""Removes images, reports and records of ended studies (`ports.RetentionLedger`).

Images are removed in two steps. First the study is marked (`pruning`); from then on its instances
are neither accepted, committed to nor replayed. Then files and rows are removed together in
batches. The files go first, within the transaction that deletes their rows. A crash therefore
leaves rows without files in a marked study, but never files or commitments unknown to the ledger.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from triage.domain.delivery import UNFINISHED
from triage.domain.retention import EndedStudy
from triage.domain.study import ENDED, State
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import (
    deliveries,
    history,
    incidents,
    instances,
    outcomes,
    products,
    studies,
)

AT_ONCE = 100  #: files per transaction; an object store takes 2 s for them
REMOVED = "images removed"
REPORTS_REMOVED = "reports removed"
WHY = "required by the `retention` settings"

Remove = Callable[[Collection[str]], None]


class SqlRetention:
    """Retention in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_with_images(self) -> Sequence[EndedStudy]:
        """Return the ended studies that still have images, oldest first."""
        here = exists().where(instances.c.study_uid == studies.c.study_uid)
        return self._find_ended(_select_ended().where(here))

    def list_with_products(self) -> Sequence[EndedStudy]:
        """Return the ended studies that still have reports, oldest first."""
        reported = select(products.c.study_uid).where(func.length(products.c.content) > 0)
        return self._find_ended(_select_ended().where(studies.c.study_uid.in_(reported)))

    @retry_on_conflict
    def mark_for_removal(self, chosen: Collection[EndedStudy]) -> Sequence[str]:
        """Mark these studies for image removal. Returns the UIDs marked.

        Skips studies that changed since they were selected.
        """
        in_order = sorted(chosen, key=lambda study: study.study_uid)  # receivers lock in this order
        with self._database.writing() as connection:
            marked = [study.study_uid for study in in_order if _is_unchanged(connection, study)]
            for uid in marked:
                mark = {"pruning": True, "pruned_at": self._clock.now()}
                connection.execute(update(studies).where(studies.c.study_uid == uid).values(mark))
        self._database.settle()  # the mark is durable before the first file is removed
        return marked

    def list_marked(self) -> Sequence[str]:
        """Return the marked studies that still have images to remove."""
        query = select(studies.c.study_uid).where(studies.c.pruning).distinct()
        with self._database.reading() as connection:
            return connection.scalars(query.order_by(studies.c.study_uid)).all()

    def remove_images(self, study_uid: str, remove: Remove) -> int:
        """Remove the images of a marked study. Returns the number of instances removed.

        `remove` deletes the files at the given spool paths.
        """
        removed, more = 0, True
        while more:
            count, more = self._remove_batch(study_uid, remove)
            removed += count
        return removed

    @retry_on_conflict
    def _remove_batch(self, study_uid: str, remove: Remove) -> tuple[int, bool]:
        mine = instances.c.study_uid == study_uid
        query = select(instances.c.sop_instance_uid, instances.c.path).where(mine).limit(AT_ONCE)
        with self._database.writing() as connection:
            if not any(row.pruning for row in _lock(connection, study_uid)):
                return 0, False  # another process removed them
            batch = connection.execute(query).all()
            remove([row.path for row in batch])
            removed = instances.c.sop_instance_uid.in_([row.sop_instance_uid for row in batch])
            connection.execute(delete(instances).where(mine, removed))
            if len(batch) == AT_ONCE:
                return len(batch), True
            at = self._clock.now()
            done = update(studies).where(studies.c.study_uid == study_uid)
            connection.execute(done.values(pruning=False, pruned_at=at))
            _add_history(connection, study_uid, REMOVED, at)
            return len(batch), False

    def count_product_bytes(self, study_uid: str) -> int:
        """Return the total size of a study's reports in bytes."""
        query = select(func.sum(func.length(products.c.content)))
        with self._database.reading() as connection:
            return connection.scalar(query.where(products.c.study_uid == study_uid)) or 0

    @retry_on_conflict
    def remove_products(self, chosen: EndedStudy) -> bool:
        """Remove the content of a study's reports, but keep their UIDs.

        A later report still refers to the one that it replaces. Returns False if the study changed
        since it was selected.
        """
        study_uid = chosen.study_uid
        mine = products.c.study_uid == study_uid
        with self._database.writing() as connection:
            if not _is_unchanged(connection, chosen):
                return False
            connection.execute(update(products).where(mine).values(content=b""))
            summary = update(studies).where(studies.c.study_uid == study_uid)
            connection.execute(summary.values(summary=None))
            _add_history(connection, study_uid, REPORTS_REMOVED, self._clock.now())
            return True

    def count_records(self, before: float) -> int:
        """Return how many rows of history and incidents are older than `before`."""
        with self._database.reading() as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(table).where(old)) or 0
                for table, old in _records(before)
            )

    @retry_on_conflict
    def remove_records(self, before: float) -> int:
        """Remove history of ended studies, and incidents, older than `before`. Returns how many."""
        with self._database.writing() as connection:
            # The status stays, to measure the findings by; the sentence goes with the history.
            old_outcomes = update(outcomes).where(outcomes.c.at < before, outcomes.c.sentence != "")
            connection.execute(old_outcomes.values(sentence=""))
            return sum(
                connection.execute(delete(table).where(old)).rowcount
                for table, old in _records(before)
            )

    def shred(self) -> None:
        """Remove every trace of deleted rows from the database files."""
        self._database.shred()

    def _find_ended(self, query: Select[tuple[str, float, float]]) -> Sequence[EndedStudy]:
        with self._database.reading() as connection:
            found = connection.execute(query).all()
            states = _read_states(connection)
        return sorted(
            (
                EndedStudy(row.study_uid, states[row.study_uid], max(row.changed, row.arrived))
                for row in found
            ),
            key=lambda study: study.since,
        )


def _select_ended() -> Select[tuple[str, float, float]]:
    """Return the query for studies with only ended revisions and deliveries."""
    changed = func.max(studies.c.changed_at).label("changed")
    arrived = func.max(studies.c.last_instance_at).label("arrived")
    query = select(studies.c.study_uid, changed, arrived).group_by(studies.c.study_uid)
    return query.where(studies.c.study_uid.not_in(_select_active()), ~studies.c.pruning)


def _select_active() -> Select[tuple[str]]:
    """Return the query for studies that arrive, are being assessed, or are not delivered."""
    pending = select(deliveries.c.study_uid).where(deliveries.c.state.in_(UNFINISHED))
    open_ = select(studies.c.study_uid).where(studies.c.state.not_in(ENDED))
    both = open_.union(pending).subquery()
    return select(both.c.study_uid)


def _read_states(connection: Connection) -> dict[str, frozenset[State]]:
    query = select(studies.c.study_uid, studies.c.state).where(studies.c.state.in_(ENDED))
    found: dict[str, set[State]] = {}
    for study_uid, state in connection.execute(query.distinct()):
        found.setdefault(study_uid, set()).add(State(state))
    return {uid: frozenset(states) for uid, states in found.items()}


def _lock(connection: Connection, study_uid: str) -> Sequence[Any]:
    known = (studies.c.state, studies.c.pruning, studies.c.changed_at, studies.c.last_instance_at)
    query = select(*known).where(studies.c.study_uid == study_uid).with_for_update()
    rows: Sequence[Any] = connection.execute(query).all()
    return rows


def _is_unchanged(connection: Connection, chosen: EndedStudy) -> bool:
    """Lock an ended study's rows. Returns whether it has not changed since it was selected."""
    study_uid = chosen.study_uid
    rows = _lock(connection, study_uid)
    pending = exists().where(
        deliveries.c.study_uid == study_uid, deliveries.c.state.in_(UNFINISHED)
    )
    ended = all(State(row.state) in ENDED for row in rows)
    if not rows or not ended or connection.scalar(select(pending)):
        return False
    latest: float = max(max(row.changed_at, row.last_instance_at) for row in rows)
    return latest <= chosen.since


def _add_history(connection: Connection, study_uid: str, event: str, at: float) -> None:
    """Add a line to the history of a study's last revision."""
    last = select(studies.c.revision, studies.c.state).where(studies.c.study_uid == study_uid)
    row = connection.execute(last.order_by(studies.c.revision.desc()).limit(1)).one()
    line = {"study_uid": study_uid, "revision": row.revision, "state": row.state}
    connection.execute(insert(history).values(**line, at=at, event=event, reason=WHY))


def _records(before: float) -> Sequence[tuple[Table, ColumnElement[bool]]]:
    ended = history.c.study_uid.not_in(_select_active())
    return (
        (history, (history.c.at < before) & ended),
        (incidents, incidents.c.at < before),
    )
