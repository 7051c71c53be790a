"""Opens the database of a site's ledger: an SQLite file in the state folder, or PostgreSQL.

No message repeats a database URL, because it may contain a password.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError

from triage.config import Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD, require_known


def open_database(settings: Settings) -> Database:
    """Open the database of the ledger, created or migrated to this release if needed.

    Raises ConfigurationError and LedgerUnavailable.
    """
    if settings.ledger is None:
        with _explain_file_errors(settings.state_dir):
            return SqlLedger.database_in(settings.state_dir)
    with explain_database_errors("ledger"):
        return Database(settings.ledger)


def open_existing_database(settings: Settings) -> Database | None:
    """Open the database of the ledger without changing it; None if there is no ledger."""
    path = SqlLedger.path_in(settings.state_dir)
    if settings.ledger is None and not path.is_file():
        return None
    with explain_database_errors("ledger"), ExitStack() as cleanup:
        database = Database(settings.ledger or f"sqlite:///{path}", ledger=False)
        cleanup.callback(database.close)
        if database.revision() is None:
            return None
        cleanup.pop_all()
        return database


def describe_ledger_revision(settings: Settings) -> str:
    """Return a sentence part with the ledger's schema revision and the migration to come.

    Raises ConfigurationError if a newer release has written the ledger.
    """
    where = f"in {settings.state_dir}" if settings.ledger is None else "on PostgreSQL"
    database = open_existing_database(settings)
    if database is None:
        return f"none yet; the worker creates it {where} when it starts, with revision {HEAD}"
    revision = database.revision()
    database.close()
    require_known(revision)
    if revision == HEAD:
        return f"revision {HEAD}, {where}"
    current = f"revision {revision}" if revision else "older than the first revision"
    return f"{current}, {where}; the worker migrates it to {HEAD} when it starts"


@contextmanager
def _explain_file_errors(state_dir: Path) -> Iterator[None]:
    """Turn errors of the SQLite file into messages with a remedy."""
    try:
        yield
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"the ledger in state_dir {state_dir} cannot be opened ({_describe(error)}): its disk "
            "needs free space, and this user the right to write there"
        ) from error


def _describe(error: LedgerUnavailable) -> str:
    """Return the text of SQLite, which quotes no data."""
    cause = error.__cause__
    return str(cause.orig) if isinstance(cause, DBAPIError) else str(error)


@contextmanager
def explain_database_errors(setting: str) -> Iterator[None]:
    """Turn errors of the PostgreSQL server that a setting names into messages with a remedy."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{setting} on PostgreSQL needs {error.name}: pip install 'cmr-triage[postgres]'"
        ) from None
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{setting} did not answer ({error}): check that its server runs, and that host, user, "
            "password and database are right"
        ) from error
    except ProgrammingError as error:
        raise ConfigurationError(
            f"{setting}: the server refused ({type(error.orig).__name__}). The user must own the "
            "database, or own its tables and have the right to create more"
        ) from None
    except (ArgumentError, ValueError):  # their messages would repeat the password
        raise ConfigurationError(
            f"{setting} is no URL: write postgresql+psycopg://user:password@host:5432/db, with "
            "each character of user and password that is no letter or digit as %XX"
        ) from None
