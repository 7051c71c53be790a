"""The embedded case library: cases in the ledger's database, vectors in a file next to it.

A case is visible to every process when its transaction is committed. Its vector is written before
the commit, into a row that belongs to no other case. A crash therefore leaves at most an
unreferenced row, which the next case overwrites. Cases that have lost their vector, because the
file is missing or short, are set aside when the library is opened (`lost_vectors`).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from triage.cases.typical_similarity import Known, TypicalSimilarity
from triage.cases.vectors import VectorFile, similarities
from triage.domain.case import NO_FILTER, Case, Filter, Neighbour
from triage.ports.encoder import Embedding
from triage.store.case_columns import CASE, case_values, filter_conditions, is_dated_before
from triage.store.database import Database
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.lost_vectors import name_lost_bundle, set_lost_cases_aside
from triage.store.schema import case_rows, cases

AT_ONCE = 64  #: candidates per database query
FOREMOST = 8  #: queries; fewer matches among their candidates mean a narrow filter


class ExactLibrary:
    """Exact search over all cases of one bundle (`ports.Library`)."""

    def __init__(
        self, database: Database, folder: Path, bundle: str, width: int, threads: int = 0
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        set_lost_cases_aside(database, folder)
        self._database = database
        self._folder = folder
        self._width = width
        self._bundle = bundle
        self._vectors = VectorFile(folder / f"{bundle}.f16", width)
        self._threads = threads
        self._typical = TypicalSimilarity()

    def add(self, case: Case, embedding: Embedding) -> None:
        """Store or replace a case; cases of forgotten patients are ignored.

        If the vector is unchanged, only the case's database row is updated.
        """
        known = (self._ours, cases.c.study_uid == case.study_uid)
        with self._database.writing() as connection:
            if is_forgotten(connection, [case.patient]):
                return
            old_row = connection.scalar(select(cases.c.row).where(*known))
            if old_row is not None and self._vectors.holds(old_row, embedding):
                connection.execute(update(cases).where(*known).values(**case_values(case)))
                return
            connection.execute(delete(cases).where(or_(and_(*known), self._is_lost(case))))
            row = self._allocate_row(connection)
            self._vectors.write(row, embedding)
            connection.execute(
                insert(cases).values(bundle=self._bundle, row=row, **case_values(case))
            )
        if old_row is not None:
            self._vectors.erase(old_row)

    def find_nearest(
        self, embedding: Embedding, count: int, where: Filter = NO_FILTER
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, nearest first; equally near ones in order of addition."""
        with self._database.reading() as connection:
            vectors = self._vectors.first(self._row_count(connection))
            cosines = similarities(vectors, embedding, self._threads)
            foremost = islice(_sort_falling(cosines, count), FOREMOST)
            found = self._find_cases(connection, foremost, count, where)
            if len(found) < count:  # few cases match the filter: sort only these
                rows = self._find_rows(connection, where)
                matching = (rows[places] for places in _sort_falling(cosines[rows], count))
                found = self._find_cases(connection, matching, count, where)
            return [Neighbour(case, float(cosines[row])) for row, case in found]

    def get_case(self, study_uid: str) -> Case | None:
        """Return a case, None if it is not in this bundle's library."""
        with self._database.reading() as connection:
            content = connection.scalar(
                select(cases.c.content).where(self._ours, cases.c.study_uid == study_uid)
            )
            return None if content is None else CASE.validate_json(content)

    def count_cases(self) -> int:
        """Return the number of cases."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(self._ours)) or 0

    def get_embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding (D,) of a case in 16-bit precision, None if unknown."""
        with self._database.reading() as connection:
            row = connection.scalar(
                select(cases.c.row).where(self._ours, cases.c.study_uid == study_uid)
            )
            return None if row is None else self._vectors.first(row + 1)[row].astype(np.float32)

    def list_study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""
        with self._database.reading() as connection:
            yield from connection.scalars(
                select(cases.c.study_uid).where(self._ours).order_by(cases.c.row)
            )

    def list_study_uids_of_other_bundles(self) -> Iterator[str]:
        """Yield the Study UIDs of cases that other bundles have and this one lacks."""
        ours = select(cases.c.study_uid).where(self._ours)
        query = select(cases.c.study_uid).distinct().where(cases.c.study_uid.not_in(ours))
        with self._database.reading() as connection:
            yield from connection.scalars(query.order_by(cases.c.study_uid))

    def get_case_of_other_bundle(self, study_uid: str) -> Case | None:
        """Return a case from another bundle, None if no other bundle has it."""
        query = select(cases.c.content).where(cases.c.study_uid == study_uid, ~self._ours)
        with self._database.reading() as connection:
            content = connection.scalar(query.limit(1))
            return None if content is None else CASE.validate_json(content)

    def list_typical_cosines(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, ascending."""
        with self._database.reading() as connection:
            rows = self._row_count(connection)
            return self._typical.cosines(rows, partial(self._read_rows, connection))

    def forget_patient(self, patient: str) -> int:
        """Remove a patient's cases from all bundles. Returns how many."""
        with self._database.writing() as connection:
            remember_forgotten(connection, patient)
            removed = self._remove(connection, cases.c.patient == patient)
        self._database.shred()
        return removed

    def _remove(self, connection: Connection, which: ColumnElement[bool]) -> int:
        """Remove cases from all bundles, and erase unreferenced vectors. Returns how many."""
        query = select(cases.c.bundle, cases.c.row, case_rows.c.width).where(
            which, cases.c.bundle == case_rows.c.bundle
        )
        found = connection.execute(query).all()
        for case in found:  # before the database rows that refer to the vectors are deleted
            VectorFile(self._folder / f"{case.bundle}.f16", case.width).erase(case.row)
        removed = connection.execute(delete(cases).where(which)).rowcount
        self._erase_unreferenced(connection)
        return removed  # more than `found`, if cases have lost their vectors

    def count_older(self, date: str) -> int:
        """Return how many cases of all bundles are dated before `date` (VR DA)."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(is_dated_before(cases, date))) or 0

    def remove_older(self, date: str) -> int:
        """Remove the cases of all bundles dated before `date`. Returns how many."""
        with self._database.writing() as connection:
            removed = self._remove(connection, is_dated_before(cases, date))
        self._database.shred()
        return removed

    def _erase_unreferenced(self, connection: Connection) -> None:
        """Erase vectors that no case refers to; after a crash their patient is unknown."""
        for bundle in connection.execute(select(case_rows)).all():
            query = select(cases.c.row).where(cases.c.bundle == bundle.bundle)
            owned = np.fromiter(connection.scalars(query), np.int64)
            vectors = VectorFile(self._folder / f"{bundle.bundle}.f16", bundle.width)
            vectors.erase_but(owned, bundle.next)

    def _is_lost(self, case: Case) -> ColumnElement[bool]:
        lost = cases.c.bundle == name_lost_bundle(self._bundle)
        return and_(lost, cases.c.study_uid == case.study_uid)

    @property
    def _ours(self) -> ColumnElement[bool]:
        return cases.c.bundle == self._bundle

    def _row_count(self, connection: Connection) -> int:
        """Return how many rows of the vector file were ever allocated."""
        query = select(case_rows.c.next).where(case_rows.c.bundle == self._bundle)
        return connection.scalar(query) or 0

    def _allocate_row(self, connection: Connection) -> int:
        allocated = (
            update(case_rows)
            .where(case_rows.c.bundle == self._bundle)
            .values(next=case_rows.c.next + 1)
            .returning(case_rows.c.next)
        )
        after: int | None = connection.scalar(allocated)
        if after is None:
            connection.execute(
                insert(case_rows).values(bundle=self._bundle, next=1, width=self._width)
            )
            return 0
        return after - 1

    def _find_rows(self, connection: Connection, where: Filter) -> NDArray[np.int64]:
        matching = select(cases.c.row).where(self._ours, *filter_conditions(cases, where))
        query = matching.order_by(cases.c.row)
        return np.fromiter(connection.scalars(query), np.int64)

    def _find_cases(
        self,
        connection: Connection,
        rows: Iterable[NDArray[np.int64]],
        count: int,
        where: Filter,
    ) -> list[tuple[int, Case]]:
        """Return the first `count` matching cases with their rows, in the order of `rows`."""
        found: list[tuple[int, Case]] = []
        for part in rows:
            query = select(cases.c.row, cases.c.content).where(
                self._ours, cases.c.row.in_(part.tolist()), *filter_conditions(cases, where)
            )
            known = {case.row: case.content for case in connection.execute(query)}
            found += [
                (row, CASE.validate_json(known[row])) for row in part.tolist() if row in known
            ]
            if len(found) >= count:
                break
        return found[:count]

    def _read_rows(self, connection: Connection, rows: Sequence[int]) -> Known:
        """Return patient and vector (D,) of the cases in these rows."""
        vectors = self._vectors.first(self._row_count(connection))
        query = select(cases.c.row, cases.c.patient)
        return {
            case.row: (case.patient, vectors[case.row])
            for first in range(0, len(rows), AT_ONCE)
            for case in connection.execute(
                query.where(self._ours, cases.c.row.in_(rows[first : first + AT_ONCE]))
            )
        }


def _sort_falling(cosines: NDArray[np.float64], count: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of all cosines (n,), highest first, in batches; ties in index order.

    Sorting all takes long, so the highest are sorted first, then eight times as many.
    """
    done, wanted = 0, count + AT_ONCE
    while done < len(cosines):
        wanted = min(len(cosines), wanted)
        level = np.partition(cosines, -wanted)[-wanted]
        near = np.flatnonzero(cosines >= level)  # includes all ties with the last one
        ordered = near[np.argsort(-cosines[near], kind="stable")]
        yield from np.split(ordered[done:], range(AT_ONCE, len(ordered) - done, AT_ONCE))
        done, wanted = len(ordered), 8 * wanted
