"""A case as a row: its columns, and the conditions that a filter means in SQL.

Rule: the case itself stands whole as JSON in `content`; the other columns are there to be asked.
They are cut to their width: SQLite takes any text, PostgreSQL does not.
"""

from collections.abc import Iterable, Iterator

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, FromClause, and_

from triage.domain.case import Case, Filter
from triage.store.schema import DATE_MAX, VENDOR_MAX

CASE = TypeAdapter(Case)


def case_values(case: Case) -> dict[str, str]:
    """Return what a row says of a case."""
    return {
        "study_uid": case.study_uid,
        "patient": case.patient,
        "study_date": case.study_date[:DATE_MAX],
        "vendor": case.vendor[:VENDOR_MAX],
        "found": _listed({*case.flagged, *case.confirmed}),
        "confirmed": _listed(case.confirmed),
        "content": CASE.dump_json(case).decode(),
    }


def filter_conditions(table: FromClause, where: Filter) -> Iterator[ColumnElement[bool]]:
    """Yield what the rows of a table must meet."""
    columns = table.c
    if where.since:
        yield columns.study_date >= where.since
    if where.until:
        yield and_(columns.study_date <= where.until, columns.study_date != "")
    if where.vendor:
        yield columns.vendor.contains(where.vendor.lower(), autoescape=True)
    said = columns.confirmed if where.confirmed_only else columns.found
    if where.finding:
        yield said.contains(f"|{where.finding}|", autoescape=True)
    elif where.confirmed_only:
        yield said != ""
    if where.patient:
        yield columns.patient == where.patient
    if where.other_than:
        yield columns.patient != where.other_than


def is_dated_before(table: FromClause, date: str) -> ColumnElement[bool]:
    """Return the condition of cases of a study from before a date; one without a date stays."""
    return and_(table.c.study_date < date, table.c.study_date != "")


def _listed(ids: Iterable[str]) -> str:
    return "".join(f"|{each}|" for each in sorted(ids))
