"""The case library: what is known of a case in the ledger's database, its vector in a file beside.

Rule: a case is there from the moment that its transaction ends, to every process. Its vector is
written within the transaction and before its end, in a row that no other case ever has; so a crash
leaves a row that nobody knows, and the next case takes it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from triage.cases.typical import Known, TypicalSimilarity
from triage.cases.vectors import VectorFile, similarities
from triage.domain.case import EVERY, Case, Filter, Neighbour
from triage.ports.encoder import Embedding
from triage.store.case_columns import CASE, case_values, filter_conditions, is_dated_before
from triage.store.database import Database
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import case_rows, cases

AT_ONCE = 64  #: candidates looked up in the database together
FOREMOST = 8  #: so many times; with fewer matches among them the filter is a narrow one


class ExactLibrary:
    """See `ports.Library`; exact search over all cases of one bundle."""

    def __init__(
        self, database: Database, folder: Path, bundle: str, width: int, threads: int = 0
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = database
        self._folder = folder
        self._width = width
        self._bundle = bundle
        self._vectors = VectorFile(folder / f"{bundle}.f16", width)
        self._threads = threads
        self._typical = TypicalSimilarity()

    def add(self, case: Case, embedding: Embedding) -> None:
        """Keep a case; one that is known is replaced, and one of a forgotten patient left out.

        With the same vector, what is known of the case changes in its place.
        """
        known = (self._ours, cases.c.study_uid == case.study_uid)
        with self._database.writing() as connection:
            if is_forgotten(connection, [case.patient]):
                return
            left = connection.scalar(select(cases.c.row).where(*known))
            if left is not None and self._vectors.holds(left, embedding):
                connection.execute(update(cases).where(*known).values(**case_values(case)))
                return
            connection.execute(delete(cases).where(*known))
            row = self._next_row(connection)
            self._vectors.write(row, embedding)
            connection.execute(
                insert(cases).values(bundle=self._bundle, row=row, **case_values(case))
            )
        if left is not None:
            self._vectors.erase(left)

    def nearest(
        self, embedding: Embedding, count: int, where: Filter = EVERY
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, the nearest first; of equals the one added first."""
        with self._database.reading() as connection:
            vectors = self._vectors.first(self._next(connection))
            cosines = similarities(vectors, embedding, self._threads)
            foremost = islice(_falling(cosines, count), FOREMOST)
            found = self._found(connection, foremost, count, where)
            if len(found) < count:  # few match: ask which, and sort those alone
                rows = self._rows(connection, where)
                matching = (rows[places] for places in _falling(cosines[rows], count))
                found = self._found(connection, matching, count, where)
            return [Neighbour(case, float(cosines[row])) for row, case in found]

    def case(self, study_uid: str) -> Case | None:
        """Return a case."""
        with self._database.reading() as connection:
            content = connection.scalar(
                select(cases.c.content).where(self._ours, cases.c.study_uid == study_uid)
            )
            return None if content is None else CASE.validate_json(content)

    def size(self) -> int:
        """Return how many cases there are."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(self._ours)) or 0

    def embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding of a case, to the precision that it is kept with."""
        with self._database.reading() as connection:
            row = connection.scalar(
                select(cases.c.row).where(self._ours, cases.c.study_uid == study_uid)
            )
            return None if row is None else self._vectors.first(row + 1)[row].astype(np.float32)

    def study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""
        with self._database.reading() as connection:
            yield from connection.scalars(
                select(cases.c.study_uid).where(self._ours).order_by(cases.c.row)
            )

    def elsewhere(self) -> Iterator[str]:
        """Yield the Study UID of every case that other bundles have and this one has not."""
        ours = select(cases.c.study_uid).where(self._ours)
        query = select(cases.c.study_uid).distinct().where(cases.c.study_uid.not_in(ours))
        with self._database.reading() as connection:
            yield from connection.scalars(query.order_by(cases.c.study_uid))

    def case_elsewhere(self, study_uid: str) -> Case | None:
        """Return a case as another bundle has it."""
        query = select(cases.c.content).where(cases.c.study_uid == study_uid, ~self._ours)
        with self._database.reading() as connection:
            content = connection.scalar(query.limit(1))
            return None if content is None else CASE.validate_json(content)

    def typical(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, rising."""
        with self._database.reading() as connection:
            rows = self._next(connection)
            return self._typical.of(rows, partial(self._known, connection))

    def forget(self, patient: str) -> int:
        """Remove a patient's cases, those of other bundles too; return how many there were."""
        with self._database.writing() as connection:
            remember_forgotten(connection, patient)
            left = self._removed(connection, cases.c.patient == patient)
        self._database.shred()
        return left

    def _removed(self, connection: Connection, which: ColumnElement[bool]) -> int:
        """Remove cases of all bundles, and what nobody knows of; return how many."""
        query = select(cases.c.bundle, cases.c.row, case_rows.c.width).where(
            which, cases.c.bundle == case_rows.c.bundle
        )
        left = connection.execute(query).all()
        for each in left:  # before the rows that know of them are gone
            VectorFile(self._folder / f"{each.bundle}.f16", each.width).erase(each.row)
        connection.execute(delete(cases).where(which))
        self._erase_nobodys(connection)
        return len(left)

    def older(self, date: str) -> int:
        """Return how many cases, of all bundles, are of a study from before a date (VR DA)."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(is_dated_before(cases, date))) or 0

    def remove_older(self, date: str) -> int:
        """Remove these cases with their vectors; return how many there were."""
        with self._database.writing() as connection:
            left = self._removed(connection, is_dated_before(cases, date))
        self._database.shred()
        return left

    def _erase_nobodys(self, connection: Connection) -> None:
        """Erase what a crash has left in rows that no case has: whose it was is not known."""
        for bundle in connection.execute(select(case_rows)).all():
            query = select(cases.c.row).where(cases.c.bundle == bundle.bundle)
            owned = np.fromiter(connection.scalars(query), np.int64)
            vectors = VectorFile(self._folder / f"{bundle.bundle}.f16", bundle.width)
            vectors.erase_but(owned, bundle.next)

    @property
    def _ours(self) -> ColumnElement[bool]:
        return cases.c.bundle == self._bundle

    def _next(self, connection: Connection) -> int:
        query = select(case_rows.c.next).where(case_rows.c.bundle == self._bundle)
        return connection.scalar(query) or 0

    def _next_row(self, connection: Connection) -> int:
        taken = (
            update(case_rows)
            .where(case_rows.c.bundle == self._bundle)
            .values(next=case_rows.c.next + 1)
            .returning(case_rows.c.next)
        )
        after: int | None = connection.scalar(taken)
        if after is None:
            connection.execute(
                insert(case_rows).values(bundle=self._bundle, next=1, width=self._width)
            )
            return 0
        return after - 1

    def _rows(self, connection: Connection, where: Filter) -> NDArray[np.int64]:
        matching = select(cases.c.row).where(self._ours, *filter_conditions(cases, where))
        query = matching.order_by(cases.c.row)
        return np.fromiter(connection.scalars(query), np.int64)

    def _found(
        self,
        connection: Connection,
        rows: Iterable[NDArray[np.int64]],
        count: int,
        where: Filter,
    ) -> list[tuple[int, Case]]:
        """Return the first cases that match, of rows by falling nearness, with their rows."""
        found: list[tuple[int, Case]] = []
        for part in rows:
            query = select(cases.c.row, cases.c.content).where(
                self._ours, cases.c.row.in_(part.tolist()), *filter_conditions(cases, where)
            )
            known = {each.row: each.content for each in connection.execute(query)}
            found += [
                (row, CASE.validate_json(known[row])) for row in part.tolist() if row in known
            ]
            if len(found) >= count:
                break
        return found[:count]

    def _known(self, connection: Connection, rows: Sequence[int]) -> Known:
        vectors = self._vectors.first(self._next(connection))
        some = select(cases.c.row, cases.c.patient)
        return {
            each.row: (each.patient, vectors[each.row])
            for first in range(0, len(rows), AT_ONCE)
            for each in connection.execute(
                some.where(self._ours, cases.c.row.in_(rows[first : first + AT_ONCE]))
            )
        }


def _falling(cosines: NDArray[np.float64], count: int) -> Iterator[NDArray[np.int64]]:
    """Yield the places of all cosines, the highest first, some at once; equals in their order.

    The foremost are sorted first, then eight times as many: sorting all takes long.
    """
    taken, wanted = 0, count + AT_ONCE
    while taken < len(cosines):
        wanted = min(len(cosines), wanted)
        level = np.partition(cosines, -wanted)[-wanted]
        near = np.flatnonzero(cosines >= level)  # with all that are equal to the last
        ordered = near[np.argsort(-cosines[near], kind="stable")]
        yield from np.split(ordered[taken:], range(AT_ONCE, len(ordered) - taken, AT_ONCE))
        taken, wanted = len(ordered), 8 * wanted
