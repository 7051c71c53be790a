"""Migrations: numbered steps that update the ledger's tables from any earlier release.

`schema` describes the current tables, each module in `versions` one step towards them;
tests/unit/store/test_migrations.py compares the two on both databases. A released step never
changes. At the start one process runs the missing steps in one transaction while the others wait
for its lock, so a failing step leaves the ledger unchanged. Tables only gain columns and indexes
that the previous release can ignore, so its processes keep running while this release starts.

To change the tables: change `schema`, add a module to `versions`, and set HEAD to its revision.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, func, inspect, select, table

from triage.domain.errors import ConfigurationError

HEAD = "0008"  #: the revision of this release

VERSIONS = table("alembic_version", column("version_num"))
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
    """Run the missing steps within the transaction of `connection`.

    Raises:
        ConfigurationError: a newer release has written the ledger.
    """
    if connection.dialect.name == "postgresql":  # SQLite has locked its file already
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    require_known(revision_of(connection))
    with _upgrading:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def require_known(revision: str | None) -> None:
    """Raise ConfigurationError if a revision is unknown to this release."""
    if not revision or revision == HEAD:
        return
    script = ScriptDirectory.from_config(_alembic_config())
    if revision not in {step.revision for step in script.walk_revisions()}:
        raise ConfigurationError(
            f"a newer release has written the ledger: it has revision {revision}, this release "
            f"supports revisions up to {HEAD}. Install the newer release again, or restore a "
            "backup of the ledger from before the upgrade"
        )


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
