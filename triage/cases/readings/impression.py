"""The impression of a report, found by its headings in plain text.

Rule: a whole report is never taken for an impression. Where no heading begins one there is none; it
ends at the next heading that `headings` knows, or at a signature.

Several impressions are one text, in their order: an addendum with an impression of its own has
corrected or widened the first. An addendum without one is left out.
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

LONGEST = 8_000  #: characters; a longer one is a report whose next heading nobody knows

#: A line that may be a heading: marks, words, and a colon, a dash, or nothing more.
_HEADED = re.compile(
    r"[\s>#*_=\[(]*(?:\d[.)]\s*)?(?P<head>[^\W\d][^:\n]{1,48}?)[\s*_\])]*(?:[:=]+[\s*_]*|\s[-\u2013\u2014]\s|$)(?P<rest>.*)"
)
#: IMPRESSION 1. Normal: capitals and a number, without a colon.
_NUMBERED = re.compile(r"\s*(?P<head>[A-Z][A-Z ]{3,40}?)\s+(?P<rest>(?:1[.)]|[-•*])\s.*)")
#: A heading in capitals within a line, where a system has lost the line breaks.
_RUN_IN = re.compile(r"(?<=[.;!?)\]\s])[ \t]*(?=(?:[A-Z][A-Z/&]{2,}[ ]?){1,4}:)")
#: The same before a signature in small letters.
_SIGNED = re.compile(r"(?<=[.;!?])[ \t]+(?=(?:electronically|digitally)\s+signed)", re.IGNORECASE)
#: A line that is drawn under a heading.
_RULE = re.compile(r"\s*[-_=*\u2013\u2014]{3,}\s*")


class _ReportSection(Enum):
    STRONG = auto()
    WEAK = auto()
    OTHER = auto()


def impression_of(report: str) -> str | None:
    """Return the impression of a whole report, without its heading; None if no heading tells it."""
    parts: dict[_ReportSection, list[str]] = {part: [] for part in _ReportSection}
    current = _ReportSection.OTHER
    for line in _lines(report):
        head, rest = _heading(line)
        if head is None:
            parts[current].append(line)
        elif current is _ReportSection.OTHER or head is not _ReportSection.WEAK:
            current = head
            parts[current].append(rest)
        else:  # "Summary: normal" within an impression is a line of it
            parts[current].append(line)
    found = clean_text("\n".join(parts[_ReportSection.STRONG])) or clean_text(
        "\n".join(parts[_ReportSection.WEAK])
    )
    return found if found and len(found) <= LONGEST else None


def stated_impression(text: str) -> str | None:
    """Return a text that its source calls an impression, without a heading that it begins with."""
    first, _, rest = clean_text(text).partition("\n")
    head, after = _heading(first)
    kept = clean_text(
        f"{after}\n{rest}"
        if head in {_ReportSection.STRONG, _ReportSection.WEAK}
        else f"{first}\n{rest}"
    )
    return kept if kept and len(kept) <= LONGEST else None


def clean_text(text: str) -> str:
    """Return a text with LF line ends, without control characters and blanks at the edges."""
    lines = re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text).replace("\t", " ").split("\n")
    kept = ["".join(sign for sign in line if sign.isprintable()).strip() for line in lines]
    return re.sub(r"\n{2,}", "\n", "\n".join(kept)).strip()


def _lines(report: str) -> Iterator[str]:
    for line in clean_text(report).split("\n"):
        for each in _SIGNED.sub("\n", _RUN_IN.sub(_break_before_heading, line)).split("\n"):
            if not _RULE.fullmatch(each):
                yield each


def _break_before_heading(gap: re.Match[str]) -> str:
    """Break a line before capitals that are a known heading; "LGE:" is none."""
    head = gap.string[gap.end() :].partition(":")[0]
    return "\n" if normalised(head) in HEADINGS else gap.group()


def _heading(line: str) -> tuple[_ReportSection | None, str]:
    """Return what a line begins, and what follows its heading; None where it is no heading."""
    for pattern in (_HEADED, _NUMBERED):
        match = pattern.fullmatch(line)
        if match is not None and (part := _part(match["head"])) is not None:
            return part, match["rest"]
    return (_ReportSection.OTHER, "") if SIGNATURE.match(normalised(line)) else (None, line)


def _part(head: str) -> _ReportSection | None:
    words = normalised(head).strip(" .*_-")
    if words in STRONG_HEADINGS:
        return _ReportSection.STRONG
    if words in WEAK_HEADINGS:
        return _ReportSection.WEAK
    return _ReportSection.OTHER if words in ENDINGS else None
