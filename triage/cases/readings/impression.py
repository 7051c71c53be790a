"""Finds the impression in the plain text of a report by its headings.

A whole report is never returned as an impression: without a heading that begins one there is none.
The impression ends at the next heading listed in `headings`, or at a signature.

Several impressions are joined in their order, because an addendum with its own impression corrects
or extends the first one. An addendum without an impression is dropped.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto

from triage.cases.readings.headings import (
    ENDINGS,
    HEADINGS,
    SIGNATURE,
    STRONG_HEADINGS,
    WEAK_HEADINGS,
    normalised,
)

LONGEST = 8_000  #: characters; a longer text is a report whose next heading is not in the table

#: A line that may be a heading: marks, a phrase, and a colon, a dash, or the end of the line.
_HEADED = re.compile(
    r"[\s>#*_=\[(]*+(?:\d[.)]\s*)?(?P<head>[^\W\d][^:\n]{1,48}?)[\s*_\])]*(?:[:=]+[\s*_]*|\s[-\u2013\u2014]\s|$)(?P<rest>.*)"
)
#: A heading without a colon: capitals and a number, as in "IMPRESSION 1. Normal".
_NUMBERED = re.compile(r"\s*(?P<head>[A-Z][A-Z ]{3,40}?)\s+(?P<rest>(?:1[.)]|[-•*])\s.*)")
#: A heading in capitals within a line, from a system that has lost the line breaks.
_RUN_IN = re.compile(r"(?<=[.;!?)\]\s])[ \t]*(?=(?:[A-Z][A-Z/&]{2,}[ ]?){1,4}:)")
#: The same before a signature in lower case.
_SIGNED = re.compile(r"(?<=[.;!?])[ \t]+(?=(?:electronically|digitally)\s+signed)", re.IGNORECASE)
#: A line that is drawn under a heading.
_RULE = re.compile(r"\s*[-_=*\u2013\u2014]{3,}\s*")


class _ReportSection(Enum):
    STRONG = auto()
    WEAK = auto()
    OTHER = auto()


def impression_of(report: str) -> str | None:
    """Return the impression of a whole report without its heading; None without such a heading."""
    parts: dict[_ReportSection, list[str]] = {part: [] for part in _ReportSection}
    current = _ReportSection.OTHER
    for line in _lines(report):
        head, rest = _heading(line)
        if head is None:
            parts[current].append(line)
        elif current is _ReportSection.OTHER or head is not _ReportSection.WEAK:
            current = head
            parts[current].append(rest)
        else:  # "Summary: normal" within an impression belongs to the impression
            parts[current].append(line)
    found = clean_text("\n".join(parts[_ReportSection.STRONG])) or clean_text(
        "\n".join(parts[_ReportSection.WEAK])
    )
    return found if found and len(found) <= LONGEST else None


def stated_impression(text: str) -> str | None:
    """Return a text that its source labels as impression, without a heading at its start."""
    first, _, rest = clean_text(text).partition("\n")
    head, after = _heading(first)
    begins_with_heading = head in {_ReportSection.STRONG, _ReportSection.WEAK}
    impression = clean_text(f"{after if begins_with_heading else first}\n{rest}")
    return impression if impression and len(impression) <= LONGEST else None


def clean_text(text: str) -> str:
    """Return a text with LF line ends, without control characters and surrounding spaces."""
    lines = re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text).replace("\t", " ").split("\n")
    clean = ["".join(sign for sign in line if sign.isprintable()).strip() for line in lines]
    return re.sub(r"\n{2,}", "\n", "\n".join(clean)).strip()


def _lines(report: str) -> Iterator[str]:
    for line in clean_text(report).split("\n"):
        for part in _SIGNED.sub("\n", _RUN_IN.sub(_break_before_heading, line)).split("\n"):
            if not _RULE.fullmatch(part):
                yield part


def _break_before_heading(gap: re.Match[str]) -> str:
    """Break a line before capitals that are a known heading; "LGE:" is not one."""
    head = gap.string[gap.end() :].partition(":")[0]
    return "\n" if normalised(head) in HEADINGS else gap.group()


def _heading(line: str) -> tuple[_ReportSection | None, str]:
    """Return the section that a line begins, and the text after its heading; else None."""
    for pattern in (_HEADED, _NUMBERED):
        match = pattern.fullmatch(line)
        if match is not None and (section := _section(match["head"])) is not None:
            return section, match["rest"]
    return (_ReportSection.OTHER, "") if SIGNATURE.match(normalised(line)) else (None, line)


def _section(head: str) -> _ReportSection | None:
    heading = normalised(head).strip(" .*_-")
    if heading in STRONG_HEADINGS:
        return _ReportSection.STRONG
    if heading in WEAK_HEADINGS:
        return _ReportSection.WEAK
    return _ReportSection.OTHER if heading in ENDINGS else None
