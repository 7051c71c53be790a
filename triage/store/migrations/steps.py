"""Runs the steps with Alembic; imported only where a ledger lacks some."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_upgrading = threading.Lock()  # Alembic keeps its context in a module variable


def run_missing_steps(connection: Connection) -> None:
    """Run the steps that a ledger lacks, all of them on an empty database."""
    with _upgrading:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def open_script() -> ScriptDirectory:
    """Return the steps as Alembic reads them."""
    return ScriptDirectory.from_config(_alembic_config())


def list_revisions() -> set[str]:
    """Return the revisions of this release."""
    return {step.revision for step in open_script().walk_revisions()}


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
