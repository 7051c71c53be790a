"""Cases that have lost their vector, because a bundle's vector file is missing or short.

A vector exists in its file alone, so it cannot be made from the database. Such a case is moved to a
bundle of its own, which no search reads. It keeps its readings, and the same steps apply to it as
to a case of an earlier bundle: `triage index --spool`, which `triage serve` runs, embeds it again
if its images are in the spool, and `triage forget` removes it.
"""

from pathlib import Path

import structlog
from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from triage.cases.vectors import VectorFile
from triage.store.database import Database
from triage.store.schema import case_rows, cases

log = structlog.get_logger(__name__)

LOST = "lost-"  #: prefix of the bundle of cases without vectors
DIGEST_MAX = 59  #: characters of the bundle's digest that fit behind the prefix


def name_lost_bundle(bundle: str) -> str:
    """Return the bundle of the cases that a bundle has lost."""
    return f"{LOST}{bundle[:DIGEST_MAX]}"


def set_lost_cases_aside(database: Database, folder: Path) -> int:
    """Move the cases that have lost their vector to bundles of their own. Returns how many."""
    if not _find_short_files(database, folder):
        return 0
    with database.writing() as connection:
        short = _list_short_files(connection, folder)
        moved = sum(_move_cases(connection, bundle, rows) for bundle, rows in short.items())
        for bundle, file, rows in _list_files(connection, folder):
            file.extend(rows)
            if bundle in short:
                log.warning("a vector file is missing or short", bundle=bundle)
    if moved:
        log.warning("past cases without a vector are left out of searches", cases=moved)
    return moved


def count_lost_cases(database: Database, folder: Path) -> int:
    """Return how many cases have no vector; changes nothing."""
    with database.reading() as connection:
        lost = [cases.c.bundle.startswith(LOST), *_select_lost(connection, folder)]
        return connection.scalar(select(func.count()).select_from(cases).where(or_(*lost))) or 0


def _select_lost(connection: Connection, folder: Path) -> list[ColumnElement[bool]]:
    short = _list_short_files(connection, folder)
    return [_is_beyond(bundle, rows) for bundle, rows in short.items()]


def _find_short_files(database: Database, folder: Path) -> bool:
    """Return whether a file is short; it is read twice, because a lock would delay a start."""
    with database.reading() as connection:
        return bool(_list_short_files(connection, folder))


def _list_short_files(connection: Connection, folder: Path) -> dict[str, int]:
    """Return the number of whole rows of each file that has fewer than were written, by bundle."""
    files = _list_files(connection, folder)
    return {bundle: file.count_rows() for bundle, file, rows in files if file.count_rows() < rows}


def _list_files(connection: Connection, folder: Path) -> list[tuple[str, VectorFile, int]]:
    """Return bundle, vector file and number of written rows."""
    return [
        (row.bundle, VectorFile(folder / f"{row.bundle}.f16", row.width), row.next)
        for row in connection.execute(select(case_rows)).all()
    ]


def _is_beyond(bundle: str, rows: int) -> ColumnElement[bool]:
    return and_(cases.c.bundle == bundle, cases.c.row >= rows)


def _move_cases(connection: Connection, bundle: str, rows: int) -> int:
    lost = name_lost_bundle(bundle)
    beyond = _is_beyond(bundle, rows)
    again = select(cases.c.study_uid).where(beyond)  # lost before, and lost once more
    connection.execute(delete(cases).where(cases.c.bundle == lost, cases.c.study_uid.in_(again)))
    first = connection.scalar(select(func.max(cases.c.row)).where(cases.c.bundle == lost))
    free = 0 if first is None else first + 1
    moved = update(cases).where(beyond).values(bundle=lost, row=cases.c.row + free)
    return connection.execute(moved).rowcount


def count_all_cases(database: Database) -> int:
    """Return the number of cases of all bundles, those without a vector included."""
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(cases)) or 0
