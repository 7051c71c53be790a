"""A problem of a findings file as a value: code, severity, place, sentence and mend."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate

#: The line breaks of YAML 1.1, which counts the lines in its marks by them.
_LINE = re.compile("[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029]|$)")
SHOWN_MAX = 120  #: characters of a mended line in a message of one line
VALUE_MAX = 40  #: characters of a value that a sentence repeats


class Severity(StrEnum):
    """The consequence of a problem for the file."""

    ERROR = "error"  #: the file cannot be used
    WARNING = "warning"  #: the file can be used, but a finding would be measured badly


class Code(StrEnum):
    """The kinds of problems; README.md has a row for each."""

    TOO_LONG = "too-long"
    ENCODING = "encoding"
    CONTROL_CHARACTER = "control-character"
    TAB = "tab"
    COLON = "colon"
    RESERVED_CHARACTER = "reserved-character"
    MISSING_MARK = "missing-mark"
    UNCLOSED_QUOTE = "unclosed-quote"
    UNCLOSED_BRACKET = "unclosed-bracket"
    INDENTATION = "indentation"
    NOT_YAML = "not-yaml"
    REPEATED_KEY = "repeated-key"
    CURLY_QUOTES = "curly-quotes"
    NO_FINDING = "no-finding"
    THRESHOLD = "threshold"
    UNKNOWN_FIELD = "unknown-field"
    MISSING_FIELD = "missing-field"
    NO_LIST = "no-list"
    NO_TEXT = "no-text"
    NO_FIELDS = "no-fields"
    LENGTH = "length"
    ID_FORM = "id-form"
    DOUBLE_ID = "double-id"
    UID_FORM = "uid-form"
    EXAMPLES_FORM = "examples-form"
    EXAMPLES_COUNT = "examples-count"
    DOUBLE_EXAMPLE = "double-example"
    CONFIRMED_WITH_PROMPTS = "confirmed-with-prompts"
    CODE_WITHOUT_SOURCE = "code-without-source"
    NO_VIEW = "no-view"
    NO_PROMPT = "no-prompt"
    UNKNOWN_VIEW = "unknown-view"
    DOUBLE_PROMPT = "double-prompt"
    SHARED_PROMPT = "shared-prompt"
    NEGATION = "negation"
    LANGUAGE = "language"
    TWO_STATEMENTS = "two-statements"
    UNKNOWN_TERM = "unknown-term"
    NEAR_DUPLICATE = "near-duplicate"
    NOT_SEPARATE = "not-separate"
    INVALID = "invalid"


@dataclass(frozen=True)
class Mend:
    """A change of whole lines; no line in place of one means that it is removed."""

    first: int  #: first line that is replaced, from 1
    last: int  #: last line that is replaced; first - 1: the lines are inserted before `first`
    lines: tuple[str, ...]  #: without line breaks


@dataclass(frozen=True)
class Problem:
    """One problem of a file."""

    code: Code
    severity: Severity
    line: int  #: from 1
    column: int  #: in characters, from 1
    length: int  #: characters that are wrong, on this line
    sentence: str  #: what is wrong, and why
    expected: str  #: what is right in this place
    mend: Mend
    #: the mend was put in place, the problem was gone, and no other had come; False: not looked at
    is_tried: bool = True

    def describe(self, name: str) -> str:
        """Return the problem of the file `name` in one line."""
        return (
            f"{name}, line {self.line}, column {self.column}: {self.sentence}; expected "
            f"{self.expected}; {describe_mend(self.mend)}"
        )


@dataclass(frozen=True)
class Explanation:
    """The kind of a problem, why it is one, and the right form."""

    code: Code
    sentence: str
    expected: str


@dataclass(frozen=True)
class Found:
    """A problem before `checks` has chosen its mend from the candidates."""

    explanation: Explanation
    severity: Severity
    index: int  #: of the first wrong character in the text
    length: int
    candidates: Callable[[], Iterable[str]]  #: mended texts of the whole file, the best one first
    is_tried: bool = False  #: the first candidate was tried by the rule

    @property
    def code(self) -> Code:
        """The kind of the problem."""
        return self.explanation.code


def shorten(value: object) -> str:
    """Return a value of the file as a sentence repeats it: in one line, and not too long."""
    text = " ".join(str(value)[: VALUE_MAX * 2].split())
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}..."


def describe_mend(mend: Mend) -> str:
    """Return a mend in one line, as in "write in line 4: views: [cine_sa]"."""
    first, last = mend.first, mend.last
    where = f"line {first}" if last <= first else f"lines {first} to {last}"
    lines = [line.strip() for line in mend.lines if line.strip()]
    if not lines:
        return f"remove {where}"
    text = " / ".join(lines)
    shown = text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]} ..."
    return f"{'insert before' if last < first else 'write in'} {where}: {shown}"


def split_lines(text: str) -> list[str]:
    """Return the lines of a text with their breaks, as YAML counts them."""
    lines = _LINE.findall(text)
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


def find_place(text: str, index: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a character."""
    starts = _list_starts(text)
    line = bisect_right(starts, index)
    return line, index - starts[line - 1] + 1


@lru_cache(maxsize=2)
def _list_starts(text: str) -> list[int]:
    """Return the index of the first character of each line."""
    return [0, *accumulate(len(line) for line in split_lines(text)[:-1])]


def compare(old: str, new: str) -> Mend:
    """Return the change of whole lines that makes `new` of `old`."""
    before = [_strip_break(line) for line in split_lines(old)]
    after = [_strip_break(line) for line in split_lines(new)]
    most = min(len(before), len(after))
    head = next((i for i in range(most) if before[i] != after[i]), most)
    tail = next(
        (i for i in range(most - head) if before[-1 - i] != after[-1 - i]),
        most - head,
    )
    return Mend(head + 1, len(before) - tail, tuple(after[head : len(after) - tail]))


def apply_mend(text: str, mend: Mend) -> str:
    """Return a text with a mend put in place."""
    lines = [_strip_break(line) for line in split_lines(text)]
    lines[mend.first - 1 : mend.last] = mend.lines
    return "\n".join(lines) + "\n"


def _strip_break(line: str) -> str:
    return line.rstrip("\r\n\x85\u2028\u2029")
