"""A database on SQLAlchemy, and its two kinds of transaction.

Rule: on SQLite, in write-ahead mode as the embedded default, a writing transaction takes the lock
at its beginning (BEGIN IMMEDIATE), on PostgreSQL the rows it reads are locked (SELECT ... FOR
UPDATE, under READ COMMITTED, so that what is read after a lock was waited for is the latest), so
that what was read still holds when it is written. What two transactions do to each other in spite
of that, a deadlock or a row that both have made, is found out by the server; who lost begins anew
(`retry_on_conflict`).
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
#: Nothing is prepared: a plan would be kept that was made under other settings of the planner. A
#: server that has vanished is noticed within half a minute (libpq, Parameter Key Words).
POSTGRES: dict[str, Any] = {
    "connect_timeout": 10,
    "prepare_threshold": None,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: Of one process, at most; 100 are what a server gives to all by default.
POSTGRES_CONNECTIONS = 10
#: Who waits for a lock asks again; who holds one and is silent loses it.
POSTGRES_PATIENCE = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c idle_in_transaction_session_timeout=60s"
#: What another transaction did to this one (PostgreSQL, Appendix A): serialization failure,
#: deadlock, a row that both have made, a row that is gone or came meanwhile.
DISTURBED = frozenset({"40001", "40P01", "23505", "23503"})
BEGUN_AT_MOST = 8
PAUSE_S = 0.02

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def retry_on_conflict(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let a method that is one transaction begin anew where another one came in its way."""

    @wraps(method)
    def begun(self: S, /, *args: P.args, **named: P.kwargs) -> R:
        for times in range(1, BEGUN_AT_MOST):
            try:
                return method(self, *args, **named)
            except (LedgerUnavailable, IntegrityError) as error:
                if not _disturbed(error):
                    raise
            time.sleep(PAUSE_S * times * random.random())  # noqa: S311 - no secret
        return method(self, *args, **named)

    return begun


def _disturbed(error: LedgerUnavailable | IntegrityError) -> bool:
    cause = error.__cause__ if isinstance(error, LedgerUnavailable) else error
    code = getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None
    return code in DISTURBED


def lock_until_commit(connection: Connection, what: str) -> None:
    """Wait until nobody else does `what`, till the end of the transaction; SQLite has waited."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


class Database:
    """The database of a ledger, brought up to this release; or another one, left as it is.

    Raises LedgerUnavailable, and ConfigurationError where a newer release has written the ledger.
    """

    def __init__(self, url: str, *, ledger: bool = True) -> None:
        if url.startswith("postgresql"):
            self._engine = _postgres(url, patient=not ledger)
        else:  # every association and every part may ask at once
            self._engine = create_engine(url, pool_size=10, max_overflow=200, hide_parameters=True)
            _prepare_sqlite(self._engine)
        self._writing_engine = self._engine.execution_options(writing=True)
        if ledger:
            try:
                self._bring_up()
            except BaseException:
                self.close()
                raise

    def _bring_up(self) -> None:
        if self.revision() != HEAD:  # a reader must not need the lock of a writer
            with self.writing() as connection:
                migrate(connection)

    def revision(self) -> str | None:
        """Return the revision of the ledger, see `migrations.revision_of`."""
        with self.reading() as connection:
            return revision_of(connection)

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


@contextmanager
def _available() -> Iterator[None]:
    """Say in the domain's words that the database did not answer; defects stay defects."""
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError):
        raise
    except SQLAlchemyError as error:
        raise LedgerUnavailable(type(error).__name__) from error


def _postgres(url: str, *, patient: bool) -> Engine:
    """Return the engine of a server that may be started anew at any time."""
    return create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # an error is logged, and they may be of a patient
        connect_args=POSTGRES if patient else {**POSTGRES, "options": POSTGRES_PATIENCE},
    )


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
