"""Splits an impression into sentences at full stops and list items."""

import re
from collections.abc import Iterator

TEXT_MAX = 20_000  #: characters of an impression that are read
SENTENCE_MAX = 600  #: characters; a longer sentence is cut, and its rest is the next one
WRAPPED = 60  #: characters from which a line without an end goes on in the next line
_ITEM = re.compile(r"[ \t]{0,20}(?:\d{1,2}[.)](?!\d)|[-*•·>])[ \t]{0,20}")
#: A full stop that ends a sentence: not within a number.
_STOP = re.compile(r"[.!](?!\d)|(?<=\w)[?](?=\s|$)")
ABBREVIATIONS = """
approx mod sev asc desc incl max min poss prob ant inf lat syst vs cf e.g i.e dr ca resp peric prev
st norm susp eff
"""


def split_sentences(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each sentence without its list mark, and whether it begins a line."""
    for line in _join_wrapped(text[:TEXT_MAX].splitlines()):
        begins = True
        for sentence in _split_line(_strip_item(line)):
            for start in range(0, len(sentence), SENTENCE_MAX):
                yield sentence[start : start + SENTENCE_MAX], begins
                begins = False


def _strip_item(line: str) -> str:
    item = _ITEM.match(line)
    return (line[item.end() :] if item else line).strip()


def _join_wrapped(lines: list[str]) -> Iterator[str]:
    """Yield lines; a long line without an end is joined to the next one in lower case."""
    held, last = "", ""
    for line in lines:
        is_wrapped = len(last) >= WRAPPED and last.rstrip()[-1:] not in {".", ";", ":", "!", "?"}
        if held and is_wrapped and line.strip()[:1].islower():
            held = f"{held.rstrip()} {line.strip()}"
        else:
            yield held
            held = line
        last = line
    yield held


def _split_line(line: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(line):
        if stop.group() == "." and _is_abbreviation(line, stop.start()):
            continue
        if sentence := line[start : stop.end()].strip():
            yield sentence
        start = stop.end()
    if rest := line[start:].strip():
        yield rest


def _is_abbreviation(line: str, at: int) -> bool:
    """Return whether a full stop belongs to an abbreviation before a lower-case word."""
    before = line[max(0, at - 12) : at].lower().split()
    after = line[at + 1 : at + 3].strip()
    return bool(before) and before[-1] in ABBREVIATIONS.split() and after[:1].islower()
