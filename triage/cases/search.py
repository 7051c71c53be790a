"""A search as people and programs write it: words, a case to be like, and which cases count.

Rule: the command line, the HTTP API and the page write the same fields, and are told the same of
a mistake.
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
COUNT, MOST = 10, 1000  #: cases, and how many at most
ANSWERS = {"": False, "no": False, "yes": True}
FINDING = re.compile(r"[a-z0-9_]{1,64}")
UID = re.compile(r"[0-9.]{1,64}")  #: PS3.5 9.1


@dataclass(frozen=True)
class CaseQuery:
    """What is searched for; blank words and a blank `like` ask nothing."""

    words: str = ""
    like: str = ""  #: Study UID of a case
    count: int = COUNT
    where: Filter = NO_FILTER
    same_patient: bool = False  #: the patient of `like` is as any other, not apart


class CaseMatch(NamedTuple):
    """A case that a search has found."""

    case: Case
    similarity: float  #: cosine
    likeness: float | None  #: share of random pairs of cases that are less alike
    own: bool = False  #: apart, for it is of the same patient as the study that was asked for


def parse_query(fields: Mapping[str, str]) -> CaseQuery:
    """Return the search that the fields say; raise InvalidQuery with what to write instead."""
    if unknown := fields.keys() - set(FIELDS):
        raise InvalidQuery(
            f"{', '.join(sorted(unknown))}: no known field; there are {', '.join(FIELDS)}"
        )
    said = {name: fields.get(name, "").strip() for name in FIELDS}
    where = Filter(
        since=_day("since", said["since"]),
        until=_day("until", said["until"]),
        vendor=said["vendor"],
        finding=_finding(said["finding"]),
        confirmed_only=_yes("confirmed", said["confirmed"]),
    )
    if where.until and where.since > where.until:
        raise InvalidQuery("since is after until, so no study date lies between them")
    return CaseQuery(
        said["words"],
        checked_study_uid("like", said["like"]),
        _count(said["count"]),
        where,
        same_patient=_yes("same_patient", said["same_patient"]),
    )


def checked_study_uid(name: str, value: str) -> str:
    """Return a Study UID, or the blank; raise InvalidQuery if it can be none."""
    if value and not UID.fullmatch(value):
        raise InvalidQuery(f"{name}: a Study UID has digits and points alone, 64 at most")
    return value


def matches_as_json(found: Sequence[CaseMatch]) -> list[dict[str, Any]]:
    """Return what was found, for programs."""
    return [
        {
            **asdict(each.case),
            "similarity": each.similarity,
            "likeness": each.likeness,
            "own": each.own,
        }
        for each in found
    ]


def _day(name: str, value: str) -> str:
    """Return a study date as the library has it, YYYYMMDD."""
    if not value:
        return ""
    try:
        return f"{date.fromisoformat(value):%Y%m%d}"
    except ValueError:
        raise InvalidQuery(f"{name}: write a day as 2024-01-31 or 20240131") from None


def _finding(value: str) -> str:
    if value and not FINDING.fullmatch(value):
        raise InvalidQuery("finding: write its id in the findings file, as lv_dilation")
    return value


def _yes(name: str, value: str) -> bool:
    if value not in ANSWERS:
        raise InvalidQuery(f"{name}: write yes or no")
    return ANSWERS[value]


def _count(value: str) -> int:
    if not value:
        return COUNT
    short = value.isascii() and value.isdecimal() and len(value) <= len(str(MOST))
    if not (short and 1 <= int(value) <= MOST):
        raise InvalidQuery(f"count: write a number from 1 to {MOST}")
    return int(value)
