"""The case library on PostgreSQL with pgvector (0.8 or newer), which several hosts may share.

A table a bundle, so that vectors of two never mix and an index is of one width. Vectors are halves
(`halfvec`), and lie in their rows, not beside them, so that a scan reads them in one go.

Rule: which answer comes first is decided by the same arithmetic as in the embedded library: the
server finds the candidates, some more than are wanted; their cosines are computed and sorted here.

How it is searched. Up to EXACT_UP_TO cases, and always with a filter that excludes more than one
patient, the server looks at every vector that the filter leaves: that is exact. Else, above that
size, it goes by an HNSW index, which is quick and may miss a near case. With a narrow filter it
misses many (a third, of 200,000 cases, where 4 % were asked for), hence the first rule. What the
index finds is not taken where it cannot be whole: where too few come, or where more are equally
near than were asked for; then every vector is looked at. `tests/benchmarks/test_library.py` prints
times and recall.

How it forgets. A row that PostgreSQL deletes stays readable in its files, vacuumed or not. So
`forget` writes the whole table anew without the row, in the transaction that deletes it; the old
files, those of the index too, are emptied when it ends. (VACUUM FULL would keep the row as long as
any other transaction may see it.) Searching and adding wait for that. The index is then built
again, minutes for 200,000 cases; meanwhile searches are exact, and adding waits. The columns
that tell of a patient have no statistics, since those would be copies.
What remains is the server's: its write-ahead log, where the case stands as it was added, until two
checkpoints have passed (ten minutes by default) and the segment is used again or, with
`wal_recycle = off`, removed; and its replicas, archives and backups.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from pgvector import HalfVector
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Identity,
    Index,
    Label,
    MetaData,
    Row,
    String,
    Table,
    TableClause,
    column,
    delete,
    exists,
    func,
    inspect,
    select,
    table,
    union,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import NotSupportedError, ProgrammingError

from triage.cases.typical import Known, TypicalSimilarity
from triage.cases.vectors import Halves, similarities
from triage.domain.case import EVERY, Case, Filter, Neighbour
from triage.domain.errors import ConfigurationError
from triage.ports.encoder import Embedding
from triage.store.case_columns import CASE, case_values, filter_conditions, is_dated_before
from triage.store.database import Database
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import VENDOR_MAX, case_columns, forgotten

EXACT_UP_TO = 20_000  #: cases that are all looked at
SPARE = 16  #: candidates more than are wanted
OLDEST = (0, 8)  #: pgvector that goes on where an index has found too few
TABLE = re.compile(r"cases_[0-9a-f]{32}")
LOCK = 0x636173  #: of whoever makes a table or an index
TELLING = ("study_uid", "patient", "content", "embedding")  #: columns that tell of a patient
PATIENCE_S = 60  #: to be let alone with a table

#: The condition of what is removed from a bundle's table.
Which = Callable[[TableClause], ColumnElement[bool]]

#: What the planner is told: to look at every vector, or to go by the index.
EXACTLY = {"enable_seqscan": "on", "enable_indexscan": "off"}
BY_INDEX = {
    "enable_seqscan": "off",
    "hnsw.ef_search": "200",
    "hnsw.iterative_scan": "strict_order",
}


class PgVectorLibrary:
    """See `ports.Library`; the cases of one bundle (its digest), `width` numbers a vector.

    Raises ConfigurationError where the server has no pgvector.
    """

    def __init__(self, url: str, bundle: str, width: int, exact_up_to: int = EXACT_UP_TO) -> None:
        self._width = width
        self._exact_up_to = exact_up_to
        self._cases = _table_of(f"cases_{bundle[:32]}", width)
        self._typical = TypicalSimilarity()
        self._database = Database(url, ledger=False)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def add(self, case: Case, embedding: Embedding) -> None:
        """Keep a case; one that is known is replaced, and one of a forgotten patient left out.

        Raises ValueError at another width.
        """
        if embedding.shape != (self._width,):
            raise ValueError(f"a vector of {embedding.shape} among ones of {self._width}")
        added = insert(self._cases).values(embedding=embedding, **case_values(case))
        added = added.on_conflict_do_update(  # with a new row: it is now the latest
            index_elements=["study_uid"], set_={each.name: each for each in added.excluded}
        )
        with self._database.writing() as connection:
            # Before it is asked: `forget` takes the table whole, so that none slips by.
            connection.exec_driver_sql(f"LOCK TABLE {self._cases.name} IN ROW EXCLUSIVE MODE")
            if not is_forgotten(connection, [case.patient]):
                connection.execute(added)

    def nearest(
        self, embedding: Embedding, count: int, where: Filter = EVERY
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, the nearest first; of equals the one added first."""
        with self._database.reading() as connection:
            found: Sequence[Row[tuple[int, str, bytes, float]]] = ()
            wide = where == Filter(other_than=where.other_than)
            if wide and self._rows(connection) > self._exact_up_to:
                found = self._candidates(connection, embedding, count, where, BY_INDEX)
            # Too few, or equals that the index may have cut off.
            if len(found) <= count or found[count - 1].distance == found[-1].distance:
                found = self._candidates(connection, embedding, count, where, EXACTLY)
        if not found:
            return []
        cosines = similarities(np.stack([_halves(each.vector) for each in found]), embedding, 1)
        foremost = np.lexsort(([each.row for each in found], -cosines))[:count]
        return [
            Neighbour(CASE.validate_json(found[place].content), float(cosines[place]))
            for place in foremost
        ]

    def case(self, study_uid: str) -> Case | None:
        """Return a case."""
        query = select(self._cases.c.content).where(self._cases.c.study_uid == study_uid)
        with self._database.reading() as connection:
            content = connection.scalar(query)
        return None if content is None else CASE.validate_json(content)

    def size(self) -> int:
        """Return how many cases there are."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(self._cases)) or 0

    def embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding of a case, to the precision that it is kept with."""
        query = select(_sent(self._cases.c.embedding)).where(self._cases.c.study_uid == study_uid)
        with self._database.reading() as connection:
            vector = connection.scalar(query)
        return None if vector is None else _halves(vector).astype(np.float32)

    def study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""
        query = select(self._cases.c.study_uid).order_by(self._cases.c.row)
        with self._database.reading() as connection:
            uids = connection.scalars(query).all()
        yield from uids  # with no transaction open, which would hold `forget` up

    def elsewhere(self) -> Iterator[str]:
        """Yield the Study UID of every case that other bundles have and this one has not."""
        ours = select(self._cases.c.study_uid)
        with self._database.reading() as connection:
            theirs = [select(each.c.study_uid) for each in self._others(connection)]
            if not theirs:
                return
            every = union(*theirs).subquery()
            query = select(every.c.study_uid).where(every.c.study_uid.not_in(ours))
            uids = connection.scalars(query.order_by(every.c.study_uid)).all()
        yield from uids

    def case_elsewhere(self, study_uid: str) -> Case | None:
        """Return a case as another bundle has it."""
        with self._database.reading() as connection:
            for each in self._others(connection):
                query = select(each.c.content).where(each.c.study_uid == study_uid)
                if (content := connection.scalar(query)) is not None:
                    return CASE.validate_json(content)
        return None

    def typical(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, rising."""
        with self._database.reading() as connection:
            return self._typical.of(self._rows(connection), partial(self._known, connection))

    def forget(self, patient: str) -> int:
        """Remove a patient's cases, those of other bundles too; return how many there were."""
        with self._database.writing() as connection:
            remember_forgotten(connection, patient)
            removed = _removed(connection, lambda table: table.c.patient == patient)
        self._make_indexes(removed)
        return sum(removed.values())

    def older(self, date: str) -> int:
        """Return how many cases, of all bundles, are of a study from before a date (VR DA)."""
        with self._database.reading() as connection:
            tables = map(_told_of, _tables(connection))
            queries = (select(func.count()).where(is_dated_before(each, date)) for each in tables)
            return sum(connection.scalar(query) or 0 for query in queries)

    def remove_older(self, date: str) -> int:
        """Remove these cases with their vectors; return how many there were."""
        with self._database.writing() as connection:
            removed = _removed(connection, lambda table: is_dated_before(table, date))
        self._make_indexes(removed)
        return sum(removed.values())

    def _make_indexes(self, names: Iterable[str]) -> None:
        for name in names:
            with self._database.writing() as connection:
                _make_index(connection, name)

    def _others(self, connection: Connection) -> list[TableClause]:
        """Return the tables of the other bundles."""
        names = (name for name in _tables(connection) if name != self._cases.name)
        return [table(name, column("study_uid"), column("content")) for name in names]

    def _prepare(self) -> None:
        with self._database.reading() as connection:
            whole = connection.scalar(select(func.to_regclass(_index_of(self._cases.name))))
        if whole is None:
            with self._database.writing() as connection:
                _make(connection, self._cases)

    def _rows(self, connection: Connection) -> int:
        """Return how many rows there have been; counting those that are there takes long."""
        newest: int | None = connection.scalar(select(func.max(self._cases.c.row)))
        return 0 if newest is None else newest + 1

    def _candidates(
        self,
        connection: Connection,
        embedding: Embedding,
        count: int,
        where: Filter,
        planner: dict[str, str],
    ) -> Sequence[Row[tuple[int, str, bytes, float]]]:
        """Return the rows that may be among the nearest, the nearest first."""
        told = [func.set_config(*each, True) for each in planner.items()]  # noqa: FBT003 - till the end of the transaction
        connection.execute(select(*told))
        columns = self._cases.c
        distance = columns.embedding.max_inner_product(embedding).label("distance")
        order = [distance, columns.row] if planner is EXACTLY else [distance]
        query = select(columns.row, columns.content, columns.embedding, distance)
        matching = query.where(*filter_conditions(self._cases, where)).order_by(*order)
        # Sent from outside of the limit, or every vector is written out before the few are chosen.
        near = matching.limit(count + SPARE).subquery().c
        sent = select(near.row, near.content, _sent(near.embedding), near.distance)
        return connection.execute(sent.order_by(near.distance, near.row)).all()

    def _known(self, connection: Connection, rows: Sequence[int]) -> Known:
        columns = self._cases.c
        query = select(columns.row, columns.patient, _sent(columns.embedding))
        return {
            each.row: (each.patient, _halves(each.vector))
            for each in connection.execute(query.where(columns.row.in_(rows)))
        }


def _table_of(name: str, width: int) -> Table:
    return Table(
        name,
        MetaData(),
        # As the embedded library counts, so that both draw the same random pairs.
        Column("row", BigInteger, Identity(start=0, minvalue=0), primary_key=True),
        Column("study_uid", String(64), nullable=False, unique=True),
        *case_columns(),
        Column("embedding", HALFVEC(width), nullable=False),
        Index(f"{name}_by_patient", "patient"),
    )


def _index_of(name: str) -> str:
    return f"{name}_by_nearness"


def _make(connection: Connection, cases: Table) -> None:
    """Make the table of a bundle and its index, where they are not there yet."""
    _alone(connection)
    try:
        _require_pgvector(connection)
        cases.create(connection, checkfirst=True)
        forgotten.create(connection, checkfirst=True)
    except (ProgrammingError, NotSupportedError) as error:
        raise ConfigurationError(
            f"case_library: the server refused ({type(error.orig).__name__}). Have the "
            "administrator of the database install pgvector 0.8 or newer, run CREATE EXTENSION "
            "vector, and let the user make tables"
        ) from None
    plain = ", ".join(f"ALTER {each} SET STATISTICS 0" for each in TELLING)
    connection.exec_driver_sql(
        f"ALTER TABLE {cases.name} ALTER embedding SET STORAGE PLAIN, {plain}"
    )
    _make_index(connection, cases.name)


def _alone(connection: Connection) -> None:
    """Wait until nobody else makes a table or an index, till the end of the transaction."""
    connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def _require_pgvector(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
    version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    found = str(connection.exec_driver_sql(version).scalar_one())
    if tuple(map(int, found.split(".")[:2])) < OLDEST:
        raise ConfigurationError(
            f"case_library: pgvector 0.8 or newer is needed, and the server has {found}"
        )


def _make_index(connection: Connection, name: str) -> None:
    """Build the index over what the table holds; nothing, where it is there.

    In memory, or it takes many times as long; and in one process, since the shared memory of
    several is too small in many a container.
    """
    _alone(connection)
    size = connection.scalar(select(func.pg_table_size(name))) or 0
    connection.exec_driver_sql(f"SET LOCAL maintenance_work_mem = '{64 + 2 * size // 2**20}MB'")
    connection.exec_driver_sql("SET LOCAL max_parallel_maintenance_workers = 0")
    connection.exec_driver_sql(
        f"CREATE INDEX IF NOT EXISTS {_index_of(name)} ON {name} "
        "USING hnsw (embedding halfvec_ip_ops)"
    )


def _tables(connection: Connection) -> list[str]:
    """Return the names of the tables of all bundles, always in one order: no two may deadlock."""
    return sorted(filter(TABLE.fullmatch, inspect(connection).get_table_names()))


def _told_of(name: str) -> TableClause:
    """Return a bundle's table with the columns that cases are removed by."""
    return table(name, column("patient"), column("study_date"))


def _removed(connection: Connection, which: Which) -> dict[str, int]:
    """Remove cases of all bundles; return how many by the name of the table that had some."""
    having = [
        name
        for name in _tables(connection)
        if connection.scalar(select(exists().where(which(_told_of(name)))))
    ]
    return {name: _remove(connection, name, which) for name in having}


def _remove(connection: Connection, name: str, which: Which) -> int:
    """Remove rows and write the table anew without them."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE_S}s'")
    connection.exec_driver_sql(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    cases = _told_of(name)
    removed = connection.execute(delete(cases).where(which(cases))).rowcount
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {_index_of(name)}")
    # A type that is computed, even if to the same, has the table written anew (ALTER TABLE, Notes).
    connection.exec_driver_sql(
        f"ALTER TABLE {name} ALTER vendor TYPE varchar({VENDOR_MAX}) USING vendor || ''"
    )
    return removed


def _sent(embedding: ColumnElement[Any]) -> Label[bytes]:
    return func.halfvec_send(embedding).label("vector")


def _halves(sent: bytes) -> Halves:
    """Return a vector (D,) as the server sends it."""
    return HalfVector.from_binary(sent).to_numpy()
