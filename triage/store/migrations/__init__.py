"""Migrations: numbered steps that update the ledger's tables from any earlier release.

`schema` describes the current tables, each module in `versions` one step towards them;
tests/unit/store/test_migrations.py compares the two on both databases. A released step never
changes. At the start one process runs the missing steps in one transaction while the others wait
for its lock, so a failing step leaves the ledger unchanged. Tables only gain columns and indexes
that the previous release can ignore, so its processes keep running while this release starts. An
empty database gets the current tables at once, without Alembic, which takes long to import.

To change the tables: change `schema`, add a module to `versions`, and set HEAD to its revision.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"  #: the revision of this release

#: The table in which Alembic keeps the revision.
VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
LOCK = 0x6C6564676572  #: advisory lock for migrations on PostgreSQL
FIRST = "studies"  #: a table of every release

_upgrading = threading.Lock()  # Alembic keeps its context in a module variable


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
        run_missing_steps(connection)


def run_missing_steps(connection: Connection) -> None:
    """Run the steps that a ledger lacks, all of them on an empty database."""
    from alembic import command  # noqa: PLC0415 - takes as long to import as all other parts

    with _upgrading:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def require_known(revision: str | None) -> None:
    """Raise ConfigurationError if a revision is unknown to this release."""
    if not revision or revision == HEAD:
        return
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    script = ScriptDirectory.from_config(alembic_config())
    if revision not in {step.revision for step in script.walk_revisions()}:
        raise ConfigurationError(
            f"a newer release has written the ledger: it has revision {revision}, this release "
            f"supports revisions up to {HEAD}. Install the newer release again, or restore a "
            "backup of the ledger from before the upgrade"
        )


def alembic_config() -> "Config":
    """Return Alembic's configuration for these steps."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
