"""Copies the embedded ledger and the vectors of its cases as they are at one moment.

The copies agree, while the worker runs: a vector is written before the case that refers to it is
committed, and it is erased by the transaction that removes the case or after it. So the vectors are
copied under the database's write lock, which takes about a second for a gigabyte, and the database
is copied afterwards as it was at that moment: a reading transaction keeps that state.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from triage.domain.errors import LedgerUnavailable
from triage.store.backup_archive import CHUNK_BYTES, Advance

PAGES = 1024  #: of the database, copied at a time
BUSY_TIMEOUT_S = 30.0
HALF_BYTES = 2  #: size of a number of a vector


def copy_ledger(ledger: Path, vectors: Path, into: Path, advance: Advance) -> None:
    """Copy the SQLite file `ledger` and the folder `vectors` of its cases into a folder.

    Raises LedgerUnavailable if the database is locked for too long.
    """
    with (
        _translate_sqlite_errors(),
        closing(_connect(ledger)) as source,
        closing(_connect(into / ledger.name)) as target,
    ):
        with closing(_connect(ledger)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # begins to read
            _copy_vectors(source, vectors, into / vectors.name, advance)
            lock.execute("ROLLBACK")
        page_bytes = int(source.execute("PRAGMA page_size").fetchone()[0])
        _copy_pages(source, target, page_bytes, advance)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it


def _copy_pages(
    source: sqlite3.Connection, target: sqlite3.Connection, page_bytes: int, advance: Advance
) -> None:
    done = 0

    def count(_status: int, remaining: int, total: int) -> None:
        nonlocal done
        advance((total - remaining - done) * page_bytes)
        done = total - remaining

    source.backup(target, pages=PAGES, progress=count)


def _copy_vectors(source: sqlite3.Connection, folder: Path, into: Path, advance: Advance) -> None:
    """Copy the written rows of every vector file; a missing or short file stays so."""
    into.mkdir(mode=0o700)
    for bundle, rows, width in source.execute('SELECT bundle, "next", width FROM case_rows'):
        name = f"{bundle}.f16"
        if (folder / name).is_file():
            _copy_start(folder / name, into / name, rows * width * HALF_BYTES, advance)


def _copy_start(path: Path, copy: Path, size: int, advance: Advance) -> None:
    with path.open("rb") as source, copy.open("wb") as target:
        while size > 0 and (part := source.read(min(size, CHUNK_BYTES))):
            size -= target.write(part)
            advance(len(part))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)


@contextmanager
def _translate_sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"the ledger cannot be copied: {error}") from error
