"""A case as a database row: its columns, and a case filter as SQL conditions.

`content` holds the whole case as JSON. The other columns exist for queries only; their values are
cut to the column width, because SQLite accepts longer text and PostgreSQL does not.
"""

from collections.abc import Iterable, Iterator

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, FromClause, and_

from triage.domain.case import Case, Filter
from triage.store.schema import DATE_MAX, VENDOR_MAX

CASE = TypeAdapter(Case)


def case_values(case: Case) -> dict[str, str]:
    """Return the column values of a case."""
    return {
        "study_uid": case.study_uid,
        "patient": case.patient,
        "study_date": case.study_date[:DATE_MAX],
        "vendor": case.vendor[:VENDOR_MAX],
        "found": _join_ids({*case.flagged, *case.confirmed}),
        "confirmed": _join_ids(case.confirmed),
        "content": CASE.dump_json(case).decode(),
    }


def filter_conditions(table: FromClause, where: Filter) -> Iterator[ColumnElement[bool]]:
    """Yield the SQL conditions of a filter on a table of cases."""
    columns = table.c
    if where.since:
        yield columns.study_date >= where.since
    if where.until:
        yield and_(columns.study_date <= where.until, columns.study_date != "")
    if where.vendor:
        yield columns.vendor.contains(where.vendor.lower(), autoescape=True)
    ids = columns.confirmed if where.confirmed_only else columns.found
    if where.finding:
        yield ids.contains(f"|{where.finding}|", autoescape=True)
    elif where.confirmed_only:
        yield ids != ""
    if where.patient:
        yield columns.patient == where.patient
    if where.other_than:
        yield columns.patient != where.other_than


def is_dated_before(table: FromClause, date: str) -> ColumnElement[bool]:
    """Return the condition "study date is before `date`"; cases without a date do not match."""
    return and_(table.c.study_date < date, table.c.study_date != "")


def _join_ids(ids: Iterable[str]) -> str:
    return "".join(f"|{finding_id}|" for finding_id in sorted(ids))
