r"""Find regular expressions that would keep a worker busy for ever.

Python's matcher tries every way to divide a text among the repeats of a pattern: `( ?(mid|\d+))*$`
takes 2**n steps for n digits that do not end the text. This module tries a pattern on texts that
fail as late as possible: a beginning that the pattern accepts, then the body of one of its repeats
again and again, then an end that it refuses. The texts grow step by step, so that an exponential
pattern is found after milliseconds, not after hours. It is a search, not a proof; the length of all
matched texts is limited too, which bounds patterns of polynomial cost.

RE2 (google-re2) matches in linear time and would need no search. It was not chosen: it has no
lookaround, which one rule in seven of the shipped table needs and sites may use, since their rules
are documented as Python's. The bodies of repeats come from Python's own parser of patterns, which
is no public interface; `tests/unit/imaging/test_backtracking.py` fails if it changes.
"""

import re
from collections.abc import Iterable, Iterator
from re import _parser  # type: ignore[attr-defined]
from time import thread_time
from typing import Any, AnyStr

LIMIT_S = 0.05  #: processor time that one search may take
FIRST, STEP = 8, 2  #: length of the first text, and the step to the next one
EVERY = 40  #: up to this length, no step is left out; from here on, lengths grow by a third
MANY = 8  #: a repeat that is allowed no more often than this is harmless
REFUSED = ("!", "\n\0")  #: ends of a text that hardly any pattern accepts
BODIES = 24  #: most texts that are tried for one repeat
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
#: A sign of each category; a broad category also accepts the words of the pattern itself.
CATEGORIES = {"DIGIT": "1", "SPACE": " ", "WORD": "a", "NOT_DIGIT": "a", "NOT_SPACE": "a"}
USUAL = "a1 -"  #: signs for parts that accept nearly all
BROAD = frozenset({"ANY", "IN", "NOT_LITERAL"})
Tree = Iterable[tuple[Any, Any]]


def find_slow_text(
    pattern: re.Pattern[AnyStr], length: int, limit_s: float = LIMIT_S
) -> str | None:
    """Return a text of up to `length` characters that takes too long to search, or None."""
    for beginning, body, end in _attacks(pattern):
        for size in _lengths(length):
            room = max(0, size - len(beginning) - len(end))
            text = beginning + (body * (room // len(body) + 1))[:room] + end
            if _search_s(pattern, text) > limit_s:
                return text
    return None


def _lengths(most: int) -> list[int]:
    lengths = list(range(FIRST, min(EVERY, most), STEP))
    while lengths[-1] * 4 // 3 < most:
        lengths.append(lengths[-1] * 4 // 3)
    return [*lengths, most]


def _search_s(pattern: re.Pattern[AnyStr], text: str) -> float:
    subject: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    started = thread_time()
    pattern.search(subject)
    return thread_time() - started


def _attacks(pattern: re.Pattern[AnyStr]) -> list[tuple[str, str, str]]:
    """Return beginning, body and end of the texts that a pattern is tried on."""
    tree = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    words = {word for word in _runs(tree) if word}
    found = set()
    for beginning, repeated in _repeats(tree, ""):
        leaves: set[str] = set(_leaves(repeated))
        bodies = {_sample(repeated), *leaves, *(f" {leaf}" for leaf in leaves)}
        if any(str(operator) in BROAD for operator, _ in repeated):
            bodies |= words
        shortest = sorted(bodies - {""}, key=lambda body: (len(body), body))[:BODIES]
        found |= {(beginning, body, end) for body in shortest for end in REFUSED}
    return sorted(found)


def _repeats(tree: Tree, before: str) -> Iterator[tuple[str, Tree]]:
    """Yield the body of every repeat, with a text that leads to it."""
    for operator, value in tree:
        if str(operator) in REPEATS and value[1] > MANY:
            yield before, value[2]
        for inner in _inner(operator, value):
            yield from _repeats(inner, before)
        before += _sample([(operator, value)])


def _inner(operator: object, value: Any) -> list[Tree]:
    """Return the parts of a part."""
    name = str(operator)
    if name == "BRANCH":
        return list(value[1])
    if name == "GROUPREF_EXISTS":
        return [part for part in value[1:] if part is not None]
    place = {"SUBPATTERN": 3, "ASSERT": 1, "ASSERT_NOT": 1} | dict.fromkeys(REPEATS, 2)
    if name in place:
        return [value[place[name]]]
    return [value] if name == "ATOMIC_GROUP" else []


def _sample(tree: Tree) -> str:
    """Return a text that a pattern accepts, apart from lookarounds and references."""
    return "".join(_sample_part(operator, value) for operator, value in tree)


def _sample_part(operator: object, value: Any) -> str:
    name = str(operator)
    if name in {"LITERAL", "ANY", "NOT_LITERAL", "IN"}:
        return next(iter(_signs(operator, value)), "")
    if name in {"ASSERT", "ASSERT_NOT"}:
        return ""
    often = value[0] if name in REPEATS else 1
    return _sample(next(iter(_inner(operator, value)), [])) * often


def _signs(operator: object, value: Any) -> list[str]:
    """Return signs that a single-sign part accepts."""
    name = str(operator)
    if name in {"LITERAL", "RANGE"}:
        return [chr(value if name == "LITERAL" else value[0])]
    if name == "CATEGORY":
        return [CATEGORIES.get(str(value).removeprefix("CATEGORY_"), "-")]
    if name in {"ANY", "NOT_LITERAL"}:
        return [sign for sign in USUAL if value is None or sign != chr(value)]
    if name != "IN":
        return []
    listed = [sign for part in value for sign in _signs(*part)]
    is_negated = str(value[0][0]) == "NEGATE"
    return [sign for sign in USUAL if sign not in listed] if is_negated else listed


def _leaves(tree: Tree) -> Iterator[str]:
    """Yield every sign that a part accepts, and the first text of every alternative."""
    for operator, value in tree:
        yield from _signs(operator, value)
        for inner in _inner(operator, value):
            yield _sample(inner)
            yield from _leaves(inner)


def _runs(tree: Tree) -> Iterator[str]:
    """Yield the words of a pattern: runs of literal signs."""
    run = ""
    for operator, value in tree:
        if str(operator) == "LITERAL":
            run += chr(value)
            continue
        yield run
        run = ""
        for inner in _inner(operator, value):
            yield from _runs(inner)
    yield run
