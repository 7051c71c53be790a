"""Removes identifiers of patients and staff, dates and places from a text.

Two sources find identifiers, in a fixed order: the DICOM header of the study (`header_patterns`)
and the usual form of identifiers (`text_patterns`). Each identifier is replaced with a label in
brackets, such as [name]; the rest of the text does not change.

Limits: a name that is in no header, follows no title and is no signature ("her sister Anna had the
same") remains. So does a nickname, a misspelt name, an occupation or an unusual personal history.
The result is therefore not anonymous. A site can reduce the risk: provide the impression instead of
the whole report, keep operators and readers in the image headers, and review a sample before it
shares a library.

Existing libraries were considered. The name finders of presidio, scrubadub and philter need spaCy
or NLTK models, which installation downloads from the network and which are ten times the size of
the worker. They use neither the header of the study, which finds most identifiers, nor the fact
that "Fabry" is a disease.
"""

import re
import unicodedata
from collections.abc import Iterable
from importlib import import_module

from triage.cases.readings.header_patterns import (
    PatternMatch,
    fold,
    known_patterns,
    long_number_patterns,
)
from triage.cases.readings.identifiers import NO_IDENTIFIERS, Identifiers

#: Several labels of one name or date, side by side.
_REPEATED = re.compile(r"(\[(?:name|place|date)\])(?:[ \t,&-]{0,3}\1)+")


def deidentify(text: str, known: Identifiers = NO_IDENTIFIERS) -> str:
    """Return a text without identifiers; `known` is those in the headers of its study."""
    # Imported on use: compiling its patterns would delay the start of every process.
    of = import_module("triage.cases.readings.text_patterns")
    text = unicodedata.normalize("NFC", text)
    text = _remove(text, [*of.ADDRESSES, *long_number_patterns(known), *of.DATES, *of.TIMES])
    text = _remove(text, known_patterns(known))
    text = _remove(text, [*of.PERSONS, *of.PLACES, *of.NUMBERS, *of.AGES])
    return _REPEATED.sub(r"\1", text)


def _remove(text: str, patterns: Iterable[PatternMatch]) -> str:
    for label, pattern in patterns:
        text = _replace_matches(text, label, pattern)
    return text


def _replace_matches(text: str, label: str, pattern: re.Pattern[str]) -> str:
    """Replace every match in the folded text, whose positions equal those of `text`."""
    group = "x" if "x" in pattern.groupindex else 0
    pieces, end = [], 0
    for match in pattern.finditer(fold(text)):
        start, stop = match.span(group) if match[group] is not None else match.span()
        # Keep the line breaks of a match, so that the text has as many lines as before.
        pieces += [text[end:start], label, "\n" * text.count("\n", start, stop)]
        end = stop
    return "".join([*pieces, text[end:]])
