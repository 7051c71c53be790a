"""What the ledger forgets of studies that have ended, and how it remembers that it did.

Rule: images go between two words of the ledger. First it says that a study's images go; from then
on nothing of that study is taken in, promised or replayed. Then files and rows go together, some at
a time: the files within the transaction that forgets them and before its end, so that a crash
leaves rows without files under that first word, never files or promises that nobody knows of.
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

from triage.domain.delivery import UNDER_WAY
from triage.domain.retention import EndedStudy
from triage.domain.study import ENDED, State
from triage.ports.clock import Clock
from triage.store.database import Database, retry_on_conflict
from triage.store.schema import deliveries, history, incidents, instances, products, studies

AT_ONCE = 100  #: files that go within one transaction; an object store takes 2 s for them
REMOVED = "images removed"
REPORTS_REMOVED = "reports removed"
WHY = "as `retention` of the settings says"

Remove = Callable[[Collection[str]], None]


class SqlRetention:
    """See `ports.RetentionLedger`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def with_images(self) -> Sequence[EndedStudy]:
        """Return the studies that have ended and whose images are here."""
        here = exists().where(instances.c.study_uid == studies.c.study_uid)
        return self._ended(_ended().where(here))

    def with_products(self) -> Sequence[EndedStudy]:
        """Return the studies that have ended and whose reports are here."""
        said = select(products.c.study_uid).where(func.length(products.c.content) > 0)
        return self._ended(_ended().where(studies.c.study_uid.in_(said)))

    @retry_on_conflict
    def mark(self, chosen: Collection[EndedStudy]) -> Sequence[str]:
        """Say that the images of studies go; return of which: some may have begun or ended anew."""
        in_order = sorted(chosen, key=lambda each: each.study_uid)  # as receivers lock them
        with self._database.writing() as connection:
            marked = [each.study_uid for each in in_order if _is_still(connection, each)]
            for uid in marked:
                said = {"pruning": True, "pruned_at": self._clock.now()}
                connection.execute(update(studies).where(studies.c.study_uid == uid).values(said))
        self._database.settle()  # before the first file goes
        return marked

    def marked(self) -> Sequence[str]:
        """Return the studies whose images go, and are not all gone."""
        query = select(studies.c.study_uid).where(studies.c.pruning).distinct()
        with self._database.reading() as connection:
            return connection.scalars(query.order_by(studies.c.study_uid)).all()

    def remove_images(self, study_uid: str, remove: Remove) -> int:
        """Remove the images of a marked study with `remove`; return how many instances it had."""
        removed, more = 0, True
        while more:
            some, more = self._some_removed(study_uid, remove)
            removed += some
        return removed

    @retry_on_conflict
    def _some_removed(self, study_uid: str, remove: Remove) -> tuple[int, bool]:
        mine = instances.c.study_uid == study_uid
        query = select(instances.c.sop_instance_uid, instances.c.path).where(mine).limit(AT_ONCE)
        with self._database.writing() as connection:
            if not any(row.pruning for row in _locked(connection, study_uid)):
                return 0, False  # another one was faster
            some = connection.execute(query).all()
            remove([row.path for row in some])
            gone = instances.c.sop_instance_uid.in_([row.sop_instance_uid for row in some])
            connection.execute(delete(instances).where(mine, gone))
            if len(some) == AT_ONCE:
                return len(some), True
            at = self._clock.now()
            done = update(studies).where(studies.c.study_uid == study_uid)
            connection.execute(done.values(pruning=False, pruned_at=at))
            _remember(connection, study_uid, REMOVED, at)
            return len(some), False

    def product_bytes(self, study_uid: str) -> int:
        """Return how long the reports on a study are, all together."""
        query = select(func.sum(func.length(products.c.content)))
        with self._database.reading() as connection:
            return connection.scalar(query.where(products.c.study_uid == study_uid)) or 0

    @retry_on_conflict
    def remove_products(self, chosen: EndedStudy) -> bool:
        """Remove what is said in the reports on a study; that there were some stays known.

        So a later report still names the one that it replaces. False where the study began anew,
        or ended anew.
        """
        study_uid = chosen.study_uid
        mine = products.c.study_uid == study_uid
        with self._database.writing() as connection:
            if not _is_still(connection, chosen):
                return False
            connection.execute(update(products).where(mine).values(content=b""))
            summary = update(studies).where(studies.c.study_uid == study_uid)
            connection.execute(summary.values(summary=None))
            _remember(connection, study_uid, REPORTS_REMOVED, self._clock.now())
            return True

    def count_records(self, before: float) -> int:
        """Return how many lines of history and incidents are older than a moment."""
        with self._database.reading() as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(table).where(old)) or 0
                for table, old in _records(before)
            )

    @retry_on_conflict
    def remove_records(self, before: float) -> int:
        """Remove the history of studies that have ended, and incidents, from before a moment."""
        with self._database.writing() as connection:
            return sum(
                connection.execute(delete(table).where(old)).rowcount
                for table, old in _records(before)
            )

    def shred(self) -> None:
        """Leave nothing in the database's files of what was removed."""
        self._database.shred()

    def _ended(self, query: Select[tuple[str, float, float]]) -> Sequence[EndedStudy]:
        with self._database.reading() as connection:
            found = connection.execute(query).all()
            states = _states_of(connection)
        return sorted(
            (
                EndedStudy(row.study_uid, states[row.study_uid], max(row.changed, row.arrived))
                for row in found
            ),
            key=lambda each: each.since,
        )


def _ended() -> Select[tuple[str, float, float]]:
    """Return the query for studies of which every revision has ended, delivered as far as it is."""
    changed = func.max(studies.c.changed_at).label("changed")
    arrived = func.max(studies.c.last_instance_at).label("arrived")
    query = select(studies.c.study_uid, changed, arrived).group_by(studies.c.study_uid)
    return query.where(studies.c.study_uid.not_in(_alive()), ~studies.c.pruning)


def _alive() -> Select[tuple[str]]:
    """Return the query for studies that arrive, are worked on, or are not delivered yet."""
    pending = select(deliveries.c.study_uid).where(deliveries.c.state.in_(UNDER_WAY))
    open_ = select(studies.c.study_uid).where(studies.c.state.not_in(ENDED))
    both = open_.union(pending).subquery()
    return select(both.c.study_uid)


def _states_of(connection: Connection) -> dict[str, frozenset[State]]:
    query = select(studies.c.study_uid, studies.c.state).where(studies.c.state.in_(ENDED))
    found: dict[str, set[State]] = {}
    for study_uid, state in connection.execute(query.distinct()):
        found.setdefault(study_uid, set()).add(State(state))
    return {uid: frozenset(states) for uid, states in found.items()}


def _locked(connection: Connection, study_uid: str) -> Sequence[Any]:
    known = (studies.c.state, studies.c.pruning, studies.c.changed_at, studies.c.last_instance_at)
    query = select(*known).where(studies.c.study_uid == study_uid).with_for_update()
    rows: Sequence[Any] = connection.execute(query).all()
    return rows


def _is_still(connection: Connection, chosen: EndedStudy) -> bool:
    """Tell, with its rows locked, whether nothing has happened to a study that had ended."""
    study_uid = chosen.study_uid
    rows = _locked(connection, study_uid)
    pending = exists().where(deliveries.c.study_uid == study_uid, deliveries.c.state.in_(UNDER_WAY))
    ended = all(State(row.state) in ENDED for row in rows)
    if not rows or not ended or connection.scalar(select(pending)):
        return False
    latest: float = max(max(row.changed_at, row.last_instance_at) for row in rows)
    return latest <= chosen.since


def _remember(connection: Connection, study_uid: str, event: str, at: float) -> None:
    """Leave a line in the history of a study's last revision."""
    last = select(studies.c.revision, studies.c.state).where(studies.c.study_uid == study_uid)
    row = connection.execute(last.order_by(studies.c.revision.desc()).limit(1)).one()
    said = {"study_uid": study_uid, "revision": row.revision, "state": row.state}
    connection.execute(insert(history).values(**said, at=at, event=event, reason=WHY))


def _records(before: float) -> Sequence[tuple[Table, ColumnElement[bool]]]:
    ended = history.c.study_uid.not_in(_alive())
    return (
        (history, (history.c.at < before) & ended),
        (incidents, incidents.c.at < before),
    )
