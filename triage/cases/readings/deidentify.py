"""Take out of a text who it is about, who wrote it, when and where.

Rule: two sources of knowledge, in one order. What the headers beside the text know of this very
study (`named`), and what identifiers look like (`written`). Each goes for a word in brackets that
says what stood there; nothing else is changed.

What this cannot do, plainly: a name that no header knows, that no title announces and that nobody
signs with ("her sister Anna had the same") stays. So does a nickname, a name misspelt by a letter,
an occupation, a rare story. A text that went through here is not anonymous, it is stripped of what
a program can tell. What a site can do: give the impression and not the report, leave the operators
and readers in the image headers, and look through a sample before it shares a library.

Libraries were looked at. presidio, scrubadub's and philter's finders of names need spaCy or NLTK
models, fetched from the network at installation and ten times as heavy as the worker, and know
neither the header of the study, which finds most of what there is, nor that "Fabry" is a disease.
"""

import re
import unicodedata
from collections.abc import Iterable

from triage.cases.readings.header_patterns import (
    PatternMatch,
    fold,
    known_patterns,
    long_number_patterns,
)
from triage.cases.readings.identifiers import NO_IDENTIFIERS, Identifiers
from triage.cases.readings.text_patterns import (
    ADDRESSES,
    AGES,
    DATES,
    NUMBERS,
    PERSONS,
    PLACES,
    TIMES,
)

#: Several labels of one name or date, side by side.
_REPEATED = re.compile(r"(\[(?:name|place|date)\])(?:[ \t,&-]{0,3}\1)+")


def deidentify(text: str, known: Identifiers = NO_IDENTIFIERS) -> str:
    """Return a text without identifiers; `known` is what the headers of its study say."""
    left = unicodedata.normalize("NFC", text)
    left = _without(left, [*ADDRESSES, *long_number_patterns(known), *DATES, *TIMES])
    left = _without(left, known_patterns(known))
    left = _without(left, [*PERSONS, *PLACES, *NUMBERS, *AGES])
    return _REPEATED.sub(r"\1", left)


def _without(text: str, found: Iterable[PatternMatch]) -> str:
    for label, pattern in found:
        text = _replaced(text, label, pattern)
    return text


def _replaced(text: str, label: str, pattern: re.Pattern[str]) -> str:
    """Put a label in place of every match; folded text has each character at its own place."""
    group = "x" if "x" in pattern.groupindex else 0
    pieces, end = [], 0
    for match in pattern.finditer(fold(text)):
        start, stop = match.span(group) if match[group] is not None else match.span()
        # What a system has wrapped stays on as many lines.
        pieces += [text[end:start], label, "\n" * text.count("\n", start, stop)]
        end = stop
    return "".join([*pieces, text[end:]])
