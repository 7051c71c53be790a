"""A database on SQLAlchemy, and its two kinds of transaction.

Rule: on SQLite, in write-ahead mode as the embedded default, a writing transaction takes the lock
at its beginning (BEGIN IMMEDIATE), elsewhere the rows it reads are locked (SELECT ... FOR UPDATE),
so that what was read still holds when it is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect
from sqlalchemy import event as engine_event
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from triage.domain.errors import LedgerUnavailable
from triage.store.schema import metadata, missing_columns, missing_indexes

BUSY_TIMEOUT_S = 30
#: Nothing is prepared: a plan would be kept that was made under other settings of the planner.
POSTGRES = {"connect_timeout": 10, "prepare_threshold": None}


class Database:
    """A database; `tables`, by default those of the ledger, are made where there are none."""

    def __init__(self, url: str, tables: MetaData = metadata) -> None:
        # Every association and every part may ask at once. A server may have been restarted.
        options = POSTGRES if url.startswith("postgresql") else {}
        self._engine = create_engine(
            url, pool_size=10, max_overflow=200, pool_pre_ping=bool(options), connect_args=options
        )
        if self._engine.dialect.name == "sqlite":
            _prepare_sqlite(self._engine)
        self._writing_engine = self._engine.execution_options(writing=True)
        with self.reading() as connection:
            whole = _is_whole(connection, tables)
        if not whole:  # a reader must not need the lock of a writer
            with self.writing() as connection:
                tables.create_all(connection)
                for statement in missing_columns(connection, tables):
                    connection.exec_driver_sql(statement)
                for index in missing_indexes(connection, tables):
                    index.create(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def shred(self) -> None:
        """Leave nothing in the files of what was removed; rows are overwritten when they go."""
        if self._engine.dialect.name == "sqlite":
            with _available(), self._engine.connect() as connection:
                answer = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            if answer[0]:
                raise LedgerUnavailable("what was removed still stands in its log: ask again")

    def settle(self) -> None:
        """Make what was committed survive a power cut: see `synchronous` below."""
        if self._engine.dialect.name == "sqlite":
            with _available(), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(FULL)")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the connection of a transaction that may write; it ends with the block."""
        with _available(), self._writing_engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield the connection of a transaction that reads."""
        with _available(), self._engine.connect() as connection:
            yield connection


def _is_whole(connection: Connection, tables: MetaData) -> bool:
    there = set(inspect(connection).get_table_names())
    missing = (missing_columns(connection, tables), missing_indexes(connection, tables))
    return there.issuperset(tables.tables) and not any(map(any, missing))


@contextmanager
def _available() -> Iterator[None]:
    """Say in the domain's words that the database did not answer; defects stay defects."""
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except SQLAlchemyError as error:
        raise LedgerUnavailable(type(error).__name__) from error


def _prepare_sqlite(engine: Engine) -> None:
    """Write-ahead log, foreign keys, zeros for what is removed, transactions that we begin.

    synchronous=NORMAL may lose the last transactions in a power cut, never the file's integrity;
    what is lost is done again: instances come back from the spool, a product is sent once more
    under the same UID.
    """

    @engine_event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @engine_event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
