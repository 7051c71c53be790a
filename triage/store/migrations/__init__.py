"""The ledger's tables, from any earlier release to this one: numbered steps, run at the start.

Rule: `schema` says what the tables are now, a step in `versions` how those before became so; a test
holds the two together on both databases. A step that was released never changes. One process runs
what is missing, in one transaction, while the others wait for its lock; so a step that fails
leaves the ledger as it was. A table only ever gains what the release before can live without, so
that its processes go on while those of this release start.

To change the tables: change `schema`, add a file to `versions`, and set HEAD to its revision.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, func, inspect, select, table

from triage.domain.errors import ConfigurationError

HEAD = "0005"  #: what this release works with

VERSIONS = table("alembic_version", column("version_num"))
LOCK = 0x6C6564676572  #: of whoever changes the tables, on PostgreSQL
FIRST = "studies"  #: a table that every ledger has had

_one_at_a_time = threading.Lock()  # Alembic keeps what it works on in its module


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a ledger: "" before there were any, None where there is no ledger."""
    there = inspect(connection)
    if there.has_table(VERSIONS.name):
        revision = connection.scalar(select(VERSIONS.c.version_num))
        return "" if revision is None else str(revision)
    return "" if there.has_table(FIRST) else None


def migrate(connection: Connection) -> None:
    """Run the steps that a ledger lacks, within the transaction of `connection`.

    Raises ConfigurationError where a newer release has written it.
    """
    if connection.dialect.name == "postgresql":  # SQLite has locked its file
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    require_known(revision_of(connection))
    with _one_at_a_time:
        steps = _steps()
        steps.attributes["connection"] = connection
        command.upgrade(steps, HEAD)


def require_known(revision: str | None) -> None:
    """Raise ConfigurationError where a revision is none of those that lead to this release."""
    if not revision or revision == HEAD:
        return
    script = ScriptDirectory.from_config(_steps())
    if revision not in {each.revision for each in script.walk_revisions()}:
        raise ConfigurationError(
            f"the ledger was written by a newer release: it has revision {revision}, and this one "
            f"knows revisions up to {HEAD}. Install the newer release again, or put back a backup "
            "of the ledger that was made before it"
        )


def _steps() -> Config:
    steps = Config()
    steps.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return steps
