"""Migrations: numbered steps that update the ledger's tables from any earlier release.

`schema` describes the current tables, each module in `versions` one step towards them;
tests/unit/store/test_migrations.py compares the two on both databases. A released step never
changes. At the start one process runs the missing steps in one transaction while the others wait
for its lock, so a failing step leaves the ledger unchanged. Tables only gain columns and indexes
that the previous release can ignore, so its processes keep running while this release starts. An
empty database gets the current tables at once, without Alembic, which takes long to import.

To change the tables: change `schema`, add a module to `versions`, and set HEAD to its revision.
"""

from importlib import import_module
from types import ModuleType

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    inspect,
    select,
)

from triage.domain.errors import ConfigurationError
from triage.store.schema import metadata

HEAD = "0011"  #: the revision of this release

#: The table in which Alembic keeps the revision.
VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
LOCK = 0x6C6564676572  #: advisory lock for migrations on PostgreSQL
FIRST = "studies"  #: a table of every release


def revision_of(connection: Connection) -> str | None:
    """Return the schema revision; "" for the first releases, None if there is no ledger."""
    tables = inspect(connection)
    if tables.has_table(VERSIONS.name):
        revision = connection.scalar(select(VERSIONS.c.version_num))
        return "" if revision is None else str(revision)
    return "" if tables.has_table(FIRST) else None


def migrate(connection: Connection) -> None:
    """Bring the tables up to this release within the transaction of `connection`.

    Raises:
        ConfigurationError: a newer release has written the ledger.
    """
    if connection.dialect.name == "postgresql":  # SQLite has locked its file already
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    revision = revision_of(connection)
    if revision is None:
        metadata.create_all(connection)
        VERSIONS.create(connection)
        connection.execute(VERSIONS.insert().values(version_num=HEAD))
        return
    require_known(revision)
    if revision != HEAD:
        _load_steps().run_missing_steps(connection)


def require_known(revision: str | None) -> None:
    """Raise ConfigurationError if a revision is unknown to this release."""
    if not revision or revision == HEAD or revision in _load_steps().list_revisions():
        return
    raise ConfigurationError(
        f"a newer release has written the ledger: it has revision {revision}, this release "
        f"supports revisions up to {HEAD}. Install the newer release again, or restore a "
        "backup of the ledger from before the upgrade"
    )


def _load_steps() -> ModuleType:
    """Import the module that runs the steps: Alembic takes as long as all other imports."""
    return import_module("triage.store.migrations.steps")
