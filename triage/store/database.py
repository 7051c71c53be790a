"""A database on SQLAlchemy, and its two kinds of transaction.

Values that a writing transaction reads stay valid until it writes. On SQLite (write-ahead log, the
embedded default) it locks the database when it begins (BEGIN IMMEDIATE). On PostgreSQL it locks the
rows that it reads (SELECT ... FOR UPDATE under READ COMMITTED, so that a row read after waiting for
its lock is the latest version).

Two PostgreSQL transactions can still conflict: by a deadlock, or by inserting the same row. The
server aborts one of them, and `retry_on_conflict` repeats it.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy import event as engine_event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from triage.domain.errors import LedgerUnavailable
from triage.store.migrations import HEAD, migrate, revision_of

BUSY_TIMEOUT_S = 30
#: No prepared statements: their plans would survive a change of the planner settings. A server that
#: has vanished is detected within half a minute (libpq, Parameter Key Words).
POSTGRES: dict[str, Any] = {
    "connect_timeout": 10,
    "prepare_threshold": None,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: Maximum per process; a server allows 100 in total by default.
POSTGRES_CONNECTIONS = 10
#: A transaction that waits too long for a lock fails; one that is idle too long is ended.
POSTGRES_TIMEOUTS = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c idle_in_transaction_session_timeout=60s"
#: Conflicts between transactions (PostgreSQL, Appendix A): serialization failure, deadlock, unique
#: violation (both inserted the row), foreign key violation (a row was removed meanwhile).
CONFLICTS = frozenset({"40001", "40P01", "23505", "23503"})
ATTEMPTS = 8
PAUSE_S = 0.02

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def retry_on_conflict(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Repeat a method that is one transaction when it conflicts with another transaction."""

    @wraps(method)
    def retrying(self: S, /, *args: P.args, **named: P.kwargs) -> R:
        for attempt in range(1, ATTEMPTS):
            try:
                return method(self, *args, **named)
            except (LedgerUnavailable, IntegrityError) as error:
                if not _is_conflict(error):
                    raise
            time.sleep(PAUSE_S * attempt * random.random())  # noqa: S311 - no secret
        return method(self, *args, **named)

    return retrying


def _is_conflict(error: LedgerUnavailable | IntegrityError) -> bool:
    cause = error.__cause__ if isinstance(error, LedgerUnavailable) else error
    code = getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None
    return code in CONFLICTS


def lock_until_commit(connection: Connection, what: str) -> None:
    """Hold a lock named `what` until the transaction ends.

    SQLite needs none: its writing transactions exclude one another.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


class Database:
    """A database; if it is a ledger, opening it migrates it to this release.

    Raises:
        LedgerUnavailable: the database does not answer.
        ConfigurationError: a newer release has written the ledger.
    """

    def __init__(self, url: str, *, ledger: bool = True) -> None:
        if url.startswith("postgresql"):
            self._engine = _postgres(url, patient=not ledger)
        else:  # every association and every component may connect at the same time
            self._engine = create_engine(url, pool_size=10, max_overflow=200, hide_parameters=True)
            _prepare_sqlite(self._engine)
        self._writing_engine = self._engine.execution_options(writing=True)
        if ledger:
            try:
                self._migrate()
            except BaseException:  # no connection remains, whatever the error
                self.close()
                raise

    def _migrate(self) -> None:
        if self.revision() != HEAD:  # a reader must not wait for a writer's lock
            with self.writing() as connection:
                migrate(connection)

    def revision(self) -> str | None:
        """Return the schema revision of the ledger; see `migrations.revision_of`."""
        with self.reading() as connection:
            return revision_of(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def shred(self) -> None:
        """Truncate SQLite's log, so that no removed row remains in the files.

        SQLite overwrites deleted rows in the database file itself (secure_delete).
        """
        if self._engine.dialect.name == "sqlite":
            with _translate_errors(), self._engine.connect() as connection:
                answer = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            if answer[0]:
                raise LedgerUnavailable("removed rows are still in the database log: try again")

    def settle(self) -> None:
        """Make committed transactions survive a power cut; see `synchronous` below."""
        if self._engine.dialect.name == "sqlite":
            with _translate_errors(), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(FULL)")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the connection of a writing transaction, committed at the end of the block."""
        with _translate_errors(), self._writing_engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield the connection of a reading transaction."""
        with _translate_errors(), self._engine.connect() as connection:
            yield connection


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise LedgerUnavailable if the database does not answer; defects pass through."""
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError):
        raise
    except SQLAlchemyError as error:
        raise LedgerUnavailable(type(error).__name__) from error


def _postgres(url: str, *, patient: bool) -> Engine:
    """Return the engine of a server that may be restarted at any time."""
    return create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged, and parameters may identify a patient
        connect_args=POSTGRES if patient else {**POSTGRES, "options": POSTGRES_TIMEOUTS},
    )


def _prepare_sqlite(engine: Engine) -> None:
    """Set write-ahead log, foreign keys, secure deletion and explicit transactions.

    synchronous=NORMAL may lose the last transactions in a power cut, but never corrupts the file.
    Lost work is repeated: instances are read again from the spool, and a product is sent again
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
