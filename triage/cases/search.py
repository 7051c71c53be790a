"""A search for past cases: a query text, a case to compare with, and filters.

The command line, the HTTP API and the page have the same fields and the same error messages.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

from triage.domain.case import NO_FILTER, Case, Filter
from triage.domain.errors import InvalidQuery

FIELDS = (
    "words",
    "like",
    "same_patient",
    "since",
    "until",
    "vendor",
    "finding",
    "confirmed",
    "count",
)
COUNT, MOST = 10, 1000  #: cases listed by default, and at most
ANSWERS = {"": False, "no": False, "yes": True}
FINDING = re.compile(r"[a-z0-9_]{1,64}")
UID = re.compile(r"[0-9.]{1,64}")  #: PS3.5 9.1


@dataclass(frozen=True)
class CaseQuery:
    """A validated search."""

    words: str = ""  #: query text; blank: none
    like: str = ""  #: Study Instance UID of a case; blank: none
    count: int = COUNT  #: cases to return
    where: Filter = NO_FILTER
    same_patient: bool = False  #: rank cases of the patient of `like` together with all others


class CaseMatch(NamedTuple):
    """A case that a search has found."""

    case: Case
    similarity: float  #: cosine
    likeness: float | None  #: share of random pairs of cases that are less similar
    own: bool = False  #: of the same patient as the case `like`, and listed apart


def parse_query(fields: Mapping[str, str]) -> CaseQuery:
    """Return the search of these form fields; raise InvalidQuery with the valid syntax."""
    if unknown := fields.keys() - set(FIELDS):
        raise InvalidQuery(
            f"{', '.join(sorted(unknown))}: unknown field; valid fields are {', '.join(FIELDS)}"
        )
    values = {name: fields.get(name, "").strip() for name in FIELDS}
    where = Filter(
        since=_parse_day("since", values["since"]),
        until=_parse_day("until", values["until"]),
        vendor=values["vendor"],
        finding=_checked_finding(values["finding"]),
        confirmed_only=_parse_yes("confirmed", values["confirmed"]),
    )
    if where.until and where.since > where.until:
        raise InvalidQuery("since is later than until: no study date can match; swap them")
    return CaseQuery(
        values["words"],
        checked_study_uid("like", values["like"]),
        _parse_count(values["count"]),
        where,
        same_patient=_parse_yes("same_patient", values["same_patient"]),
    )


def checked_study_uid(name: str, value: str) -> str:
    """Return a Study Instance UID or a blank; raise InvalidQuery if it is malformed."""
    if value and not UID.fullmatch(value):
        raise InvalidQuery(
            f"{name}: a Study Instance UID has only digits and dots, and at most 64 characters"
        )
    return value


def matches_as_json(found: Sequence[CaseMatch]) -> list[dict[str, Any]]:
    """Return matches as JSON objects."""
    return [
        {
            **asdict(match.case),
            "similarity": match.similarity,
            "likeness": match.likeness,
            "own": match.own,
        }
        for match in found
    ]


def _parse_day(name: str, value: str) -> str:
    """Return a study date as YYYYMMDD."""
    if not value:
        return ""
    try:
        return f"{date.fromisoformat(value):%Y%m%d}"
    except ValueError:
        raise InvalidQuery(f"{name}: enter a date as 2024-01-31 or 20240131") from None


def _checked_finding(value: str) -> str:
    if value and not FINDING.fullmatch(value):
        raise InvalidQuery("finding: enter its id in the findings file, for example lv_dilation")
    return value


def _parse_yes(name: str, value: str) -> bool:
    if value not in ANSWERS:
        raise InvalidQuery(f"{name}: enter yes or no")
    return ANSWERS[value]


def _parse_count(value: str) -> int:
    if not value:
        return COUNT
    short = value.isascii() and value.isdecimal() and len(value) <= len(str(MOST))
    if not (short and 1 <= int(value) <= MOST):
        raise InvalidQuery(f"count: enter a number from 1 to {MOST}")
    return int(value)
