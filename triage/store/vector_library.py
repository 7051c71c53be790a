"""The case library on PostgreSQL with pgvector 0.8 or newer; several hosts may share it.

Each bundle has its own table, so that vectors of different models never mix and each index has one
width. Vectors are 16-bit floats (`halfvec`), stored inside their rows, so that a scan reads them in
one pass.

Ranking. The server returns candidates, some more than requested; their cosines are computed and
sorted here with the same arithmetic as in the embedded library.

Search. Up to EXACT_UP_TO cases, and always with a filter that excludes more than one patient, the
server compares every vector that the filter leaves: this is exact. Above that size it uses an HNSW
index, which is fast and may miss a near case. With a narrow filter the index misses many (a third,
of 200,000 cases, where 4 % matched the filter), hence the first rule. An index result that may be
incomplete is discarded and the search repeated exactly: if it has too few cases, or more equally
near cases than requested. `tests/benchmarks/test_library.py` prints times and recall.

Removal. A row that PostgreSQL deletes stays readable in its files, vacuumed or not. So
`forget_patient` rewrites the whole table without the row, in the transaction that deletes it; the
old files, including those of the index, are emptied when it is committed. (VACUUM FULL would keep
the row as long as any other transaction may see it.) Searching and adding wait for this. The index
is then rebuilt, which takes minutes for 200,000 cases; meanwhile searches are exact, and adding
waits. The columns that identify a patient have no statistics, because statistics would be copies.

The server keeps further copies that only its administrator can remove: the write-ahead log holds
the added case until two checkpoints have passed (ten minutes by default) and the segment is reused
or, with `wal_recycle = off`, removed; and there are replicas, archives and backups.
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

from triage.cases.typical_similarity import Known, TypicalSimilarity
from triage.cases.vectors import Halves, similarities
from triage.domain.case import NO_FILTER, Case, Filter, Neighbour
from triage.domain.errors import ConfigurationError
from triage.ports.encoder import Embedding
from triage.store.case_columns import CASE, case_values, filter_conditions, is_dated_before
from triage.store.database import Database
from triage.store.forgotten import is_forgotten, remember_forgotten
from triage.store.schema import VENDOR_MAX, case_columns, forgotten

EXACT_UP_TO = 20_000  #: cases that are searched exactly
SPARE = 16  #: additional candidates
OLDEST = (0, 8)  #: first pgvector version that continues an index scan with too few results
TABLE = re.compile(r"cases_[0-9a-f]{32}")
LOCK = 0x636173  #: advisory lock for creating a table or an index
#: Columns that identify a patient.
IDENTIFYING = ("study_uid", "patient", "content", "embedding")
TABLE_LOCK_TIMEOUT_S = 60

#: Returns the condition that selects the rows to remove from a bundle's table.
Which = Callable[[TableClause], ColumnElement[bool]]

#: Planner settings for an exact search and for an index search.
EXACTLY = {"enable_seqscan": "on", "enable_indexscan": "off"}
BY_INDEX = {
    "enable_seqscan": "off",
    "hnsw.ef_search": "200",
    "hnsw.iterative_scan": "strict_order",
}


class PgVectorLibrary:
    """The cases of one bundle (its digest), `width` numbers per vector (`ports.Library`).

    Raises:
        ConfigurationError: the server has no suitable pgvector.
    """

    def __init__(self, url: str, bundle: str, width: int, exact_up_to: int = EXACT_UP_TO) -> None:
        self._width = width
        self._exact_up_to = exact_up_to
        self._cases = _table_of(f"cases_{bundle[:32]}", width)
        self._typical = TypicalSimilarity()
        self._database = Database(url, ledger=False)
        try:
            self._prepare()
        except BaseException:  # no connection remains, whatever the error
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def add(self, case: Case, embedding: Embedding) -> None:
        """Store or replace a case; cases of forgotten patients are ignored.

        Raises:
            ValueError: the embedding has another width.
        """
        if embedding.shape != (self._width,):
            raise ValueError(f"shape {embedding.shape} instead of ({self._width},)")
        added = insert(self._cases).values(embedding=embedding, **case_values(case))
        added = added.on_conflict_do_update(  # gets a new row number: it is now the latest
            index_elements=["study_uid"], set_={column.name: column for column in added.excluded}
        )
        with self._database.writing() as connection:
            # Locked before the check: `forget_patient` locks the table, so it runs before or after.
            connection.exec_driver_sql(f"LOCK TABLE {self._cases.name} IN ROW EXCLUSIVE MODE")
            if not is_forgotten(connection, [case.patient]):
                connection.execute(added)

    def find_nearest(
        self, embedding: Embedding, count: int, where: Filter = NO_FILTER
    ) -> Sequence[Neighbour]:
        """Return up to `count` cases, nearest first; equally near ones in order of addition."""
        with self._database.reading() as connection:
            found: Sequence[Row[tuple[int, str, bytes, float]]] = ()
            wide = where == Filter(other_than=where.other_than)
            if wide and self._row_count(connection) > self._exact_up_to:
                found = self._candidates(connection, embedding, count, where, BY_INDEX)
            # Too few results, or equally near cases that the index may have cut off.
            if len(found) <= count or found[count - 1].distance == found[-1].distance:
                found = self._candidates(connection, embedding, count, where, EXACTLY)
        if not found:
            return []
        cosines = similarities(np.stack([_to_halves(row.vector) for row in found]), embedding, 1)
        foremost = np.lexsort(([row.row for row in found], -cosines))[:count]
        return [
            Neighbour(CASE.validate_json(found[place].content), float(cosines[place]))
            for place in foremost
        ]

    def get_case(self, study_uid: str) -> Case | None:
        """Return a case, None if it is not in this bundle's library."""
        query = select(self._cases.c.content).where(self._cases.c.study_uid == study_uid)
        with self._database.reading() as connection:
            content = connection.scalar(query)
        return None if content is None else CASE.validate_json(content)

    def count_cases(self) -> int:
        """Return the number of cases."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(self._cases)) or 0

    def get_embedding(self, study_uid: str) -> Embedding | None:
        """Return the embedding (D,) of a case in 16-bit precision, None if unknown."""
        query = select(_serialise(self._cases.c.embedding)).where(
            self._cases.c.study_uid == study_uid
        )
        with self._database.reading() as connection:
            vector = connection.scalar(query)
        return None if vector is None else _to_halves(vector).astype(np.float32)

    def list_study_uids(self) -> Iterator[str]:
        """Yield the Study UID of every case."""
        query = select(self._cases.c.study_uid).order_by(self._cases.c.row)
        with self._database.reading() as connection:
            uids = connection.scalars(query).all()
        yield from uids  # without an open transaction, which would block `forget_patient`

    def list_study_uids_of_other_bundles(self) -> Iterator[str]:
        """Yield the Study UIDs of cases that other bundles have and this one lacks."""
        ours = select(self._cases.c.study_uid)
        with self._database.reading() as connection:
            theirs = [select(other.c.study_uid) for other in self._other_tables(connection)]
            if not theirs:
                return
            every = union(*theirs).subquery()
            query = select(every.c.study_uid).where(every.c.study_uid.not_in(ours))
            uids = connection.scalars(query.order_by(every.c.study_uid)).all()
        yield from uids

    def get_case_of_other_bundle(self, study_uid: str) -> Case | None:
        """Return a case from another bundle, None if no other bundle has it."""
        with self._database.reading() as connection:
            for other in self._other_tables(connection):
                query = select(other.c.content).where(other.c.study_uid == study_uid)
                if (content := connection.scalar(query)) is not None:
                    return CASE.validate_json(content)
        return None

    def list_typical_cosines(self) -> Sequence[float]:
        """Return the cosines of random pairs of cases of different patients, ascending."""
        with self._database.reading() as connection:
            return self._typical.cosines(
                self._row_count(connection), partial(self._read_rows, connection)
            )

    def forget_patient(self, patient: str) -> int:
        """Remove a patient's cases from all bundles. Returns how many."""
        with self._database.writing() as connection:
            remember_forgotten(connection, patient)
            removed = _remove_from_all(connection, lambda table: table.c.patient == patient)
        self._create_indexes(removed)
        return sum(removed.values())

    def count_older(self, date: str) -> int:
        """Return how many cases of all bundles are dated before `date` (VR DA)."""
        with self._database.reading() as connection:
            tables = map(_removal_columns, _table_names(connection))
            queries = (select(func.count()).where(is_dated_before(cases, date)) for cases in tables)
            return sum(connection.scalar(query) or 0 for query in queries)

    def remove_older(self, date: str) -> int:
        """Remove the cases of all bundles dated before `date`. Returns how many."""
        with self._database.writing() as connection:
            removed = _remove_from_all(connection, lambda table: is_dated_before(table, date))
        self._create_indexes(removed)
        return sum(removed.values())

    def _create_indexes(self, names: Iterable[str]) -> None:
        for name in names:
            with self._database.writing() as connection:
                _create_index(connection, name)

    def _other_tables(self, connection: Connection) -> list[TableClause]:
        """Return the tables of the other bundles."""
        names = (name for name in _table_names(connection) if name != self._cases.name)
        return [table(name, column("study_uid"), column("content")) for name in names]

    def _prepare(self) -> None:
        with self._database.reading() as connection:
            whole = connection.scalar(select(func.to_regclass(_index_name(self._cases.name))))
        if whole is None:
            with self._database.writing() as connection:
                _create_table(connection, self._cases)

    def _row_count(self, connection: Connection) -> int:
        """Return the highest row number plus one; counting the rows would take long."""
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
        """Return the rows that may be among the nearest, nearest first."""
        settings = [func.set_config(*item, True) for item in planner.items()]  # noqa: FBT003 - for this transaction only
        connection.execute(select(*settings))
        columns = self._cases.c
        distance = columns.embedding.max_inner_product(embedding).label("distance")
        order = [distance, columns.row] if planner is EXACTLY else [distance]
        query = select(columns.row, columns.content, columns.embedding, distance)
        matching = query.where(*filter_conditions(self._cases, where)).order_by(*order)
        # Serialised outside the limit, otherwise the server would serialise every vector.
        near = matching.limit(count + SPARE).subquery().c
        query = select(near.row, near.content, _serialise(near.embedding), near.distance)
        return connection.execute(query.order_by(near.distance, near.row)).all()

    def _read_rows(self, connection: Connection, rows: Sequence[int]) -> Known:
        """Return patient and vector (D,) of the cases in these rows."""
        columns = self._cases.c
        query = select(columns.row, columns.patient, _serialise(columns.embedding))
        return {
            case.row: (case.patient, _to_halves(case.vector))
            for case in connection.execute(query.where(columns.row.in_(rows)))
        }


def _table_of(name: str, width: int) -> Table:
    return Table(
        name,
        MetaData(),
        # Starts at 0 as in the embedded library, so that both draw the same random pairs.
        Column("row", BigInteger, Identity(start=0, minvalue=0), primary_key=True),
        Column("study_uid", String(64), nullable=False, unique=True),
        *case_columns(),
        Column("embedding", HALFVEC(width), nullable=False),
        Index(f"{name}_by_patient", "patient"),
    )


def _index_name(name: str) -> str:
    return f"{name}_by_nearness"


def _create_table(connection: Connection, cases: Table) -> None:
    """Create the table of a bundle and its index if they do not exist."""
    _lock_schema(connection)
    try:
        _require_pgvector(connection)
        cases.create(connection, checkfirst=True)
        forgotten.create(connection, checkfirst=True)
    except (ProgrammingError, NotSupportedError) as error:
        raise ConfigurationError(
            f"case_library: the server refused ({type(error.orig).__name__}). Ask the database "
            "administrator to install pgvector 0.8 or newer, to run CREATE EXTENSION vector, and "
            "to permit this user to create tables"
        ) from None
    plain = ", ".join(f"ALTER {name} SET STATISTICS 0" for name in IDENTIFYING)
    connection.exec_driver_sql(
        f"ALTER TABLE {cases.name} ALTER embedding SET STORAGE PLAIN, {plain}"
    )
    _create_index(connection, cases.name)


def _lock_schema(connection: Connection) -> None:
    """Prevent other sessions from creating tables or indexes until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def _require_pgvector(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
    version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    found = str(connection.exec_driver_sql(version).scalar_one())
    if tuple(map(int, found.split(".")[:2])) < OLDEST:
        raise ConfigurationError(
            f"case_library: pgvector 0.8 or newer is required, and the server has {found}"
        )


def _create_index(connection: Connection, name: str) -> None:
    """Build the index of a table if it does not exist.

    The index is built in memory, otherwise it takes many times as long; and in one process, because
    many containers have too little shared memory for parallel workers.
    """
    _lock_schema(connection)
    size = connection.scalar(select(func.pg_table_size(name))) or 0
    connection.exec_driver_sql(f"SET LOCAL maintenance_work_mem = '{64 + 2 * size // 2**20}MB'")
    connection.exec_driver_sql("SET LOCAL max_parallel_maintenance_workers = 0")
    connection.exec_driver_sql(
        f"CREATE INDEX IF NOT EXISTS {_index_name(name)} ON {name} "
        "USING hnsw (embedding halfvec_ip_ops)"
    )


def _table_names(connection: Connection) -> list[str]:
    """Return the table names of all bundles, sorted so that locking them cannot deadlock."""
    return sorted(filter(TABLE.fullmatch, inspect(connection).get_table_names()))


def _removal_columns(name: str) -> TableClause:
    """Return a bundle's table with the columns that select cases for removal."""
    return table(name, column("patient"), column("study_date"))


def _remove_from_all(connection: Connection, which: Which) -> dict[str, int]:
    """Remove cases from all bundles. Returns the counts by table name, without zeros."""
    affected = [
        name
        for name in _table_names(connection)
        if connection.scalar(select(exists().where(which(_removal_columns(name)))))
    ]
    return {name: _remove(connection, name, which) for name in affected}


def _remove(connection: Connection, name: str, which: Which) -> int:
    """Remove rows and rewrite the table's files without them. Returns how many."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT_S}s'")
    connection.exec_driver_sql(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    cases = _removal_columns(name)
    removed = connection.execute(delete(cases).where(which(cases))).rowcount
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {_index_name(name)}")
    # A type that is computed, even if to the same, rewrites the table (ALTER TABLE, Notes).
    connection.exec_driver_sql(
        f"ALTER TABLE {name} ALTER vendor TYPE varchar({VENDOR_MAX}) USING vendor || ''"
    )
    return removed


def _serialise(embedding: ColumnElement[Any]) -> Label[bytes]:
    return func.halfvec_send(embedding).label("vector")


def _to_halves(sent: bytes) -> Halves:
    """Return a vector (D,) from the server's binary format."""
    return HalfVector.from_binary(sent).to_numpy()
