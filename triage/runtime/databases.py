"""The database that holds a site's ledger: a file in the state folder, or one on PostgreSQL.

Rule: nothing that is said of a server repeats its URL, which may hold a password.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.exc import ArgumentError, ProgrammingError

from triage.config import Settings
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.migrations import HEAD, require_known


def open_database(settings: Settings) -> Database:
    """Open the database of a site's ledger, made or brought up to this release where needed.

    Raises ConfigurationError and LedgerUnavailable.
    """
    if settings.ledger is None:
        return SqlLedger.database_in(settings.state_dir)
    with explain_database_errors("ledger"):
        return Database(settings.ledger)


def open_existing_database(settings: Settings) -> Database | None:
    """Open the database of a site's ledger and change nothing; None where there is no ledger."""
    path = SqlLedger.path_in(settings.state_dir)
    if settings.ledger is None and not path.is_file():
        return None
    with explain_database_errors("ledger"), ExitStack() as left:
        database = Database(settings.ledger or f"sqlite:///{path}", ledger=False)
        left.callback(database.close)
        if database.revision() is None:
            return None
        left.pop_all()
        return database


def describe_ledger_revision(settings: Settings) -> str:
    """Return in words which revision a site's ledger has, and what becomes of it.

    Raises ConfigurationError where a newer release has written it.
    """
    where = f"in {settings.state_dir}" if settings.ledger is None else "on PostgreSQL"
    database = open_existing_database(settings)
    if database is None:
        return f"none yet; the worker makes it {where} when it starts, with revision {HEAD}"
    revision = database.revision()
    database.close()
    require_known(revision)
    if revision == HEAD:
        return f"revision {HEAD}, {where}"
    before = f"revision {revision}" if revision else "from before there were revisions"
    return f"{before}, {where}; the worker brings it up to {HEAD} when it starts"


@contextmanager
def explain_database_errors(setting: str) -> Iterator[None]:
    """Say of the PostgreSQL that a setting names why it cannot be used."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{setting} on PostgreSQL needs {error.name}: pip install 'cmr-triage[postgres]'"
        ) from None
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{setting} did not answer ({error}): does its server run, and are host, user, "
            "password and database right?"
        ) from error
    except ProgrammingError as error:
        raise ConfigurationError(
            f"{setting}: the server refused ({type(error.orig).__name__}). The user has to own "
            "the database, or to own its tables and be allowed to make more"
        ) from None
    except (ArgumentError, ValueError):  # whose words would repeat the password
        raise ConfigurationError(
            f"{setting} is no URL: postgresql+psycopg://user:password@host:5432/db, with what is "
            "neither a letter nor a digit in user and password written as %XX"
        ) from None
