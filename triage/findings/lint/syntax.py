"""Text that is no YAML, and the change of one line that makes it YAML.

The parser's own message states what surprised it, often lines after the mistake. So the usual
mistakes are undone one after the other in the lines near that place, and the change with which the
file is best explains the problem.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import yaml

from triage.findings.entries import CodeEntry, FindingEntry, FindingsFile
from triage.findings.lint.document import EXAMPLE, FindingsDocument
from triage.findings.lint.problem import Code, Explanation, Found, Severity, split_lines
from triage.yaml_models import TEXT_MAX

_DOUBLE, _SINGLE = "\u201c\u201d\u201e\u00ab\u00bb", "\u2018\u2019\u201a`"
#: Curly quotes and their straight ones.
CURLY = {**dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_SINGLE, "'")}
_CURLY = str.maketrans(CURLY)
_START = re.compile(r"^(\s*(?:-\s+)*(?:[A-Za-z_]+:\s+)?)(.*?)(\s*)$", re.DOTALL)
_CONTROL = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|(?<!^)\ufeff")
_BEGIN = re.compile(r"(?:-|[A-Za-z_]+:)(?:\s|$)")  #: of an item or a field
FIELDS = sorted({*FindingsFile.model_fields, *FindingEntry.model_fields, *CodeEntry.model_fields})
LINE_MAX = 2000  #: characters of a line in which a mistake is looked for
NEAR = 3  #: lines before the place of the parser's error in which a mistake is looked for
Change = Callable[[list[str], int], Iterator[str]]  #: lines and the index of one; its other forms
Badness = Callable[[str], tuple[int, int]]  #: how bad a text is; (0, 0): no error


@dataclass(frozen=True)
class Repair:
    """A usual mistake, and how it is undone in a line."""

    explanation: Explanation
    change: Change


def read_document(text: str, badness: Badness | None) -> FindingsDocument | Found | None:
    """Return the document of a text, or why it is no YAML; None if the text is empty.

    `badness` chooses among the changes that mend it; None: no change is looked for.
    """
    if len(text) > TEXT_MAX:
        return _report_length(text)
    try:
        return FindingsDocument.read(text)
    except yaml.reader.ReaderError as error:
        return _choose(text, [int(error.position)], "it has a control character", badness)
    except yaml.MarkedYAMLError as error:
        marks = [int(mark.index) for mark in (error.problem_mark, error.context_mark) if mark]
        return _choose(text, marks, str(error.problem), badness)


def _report_length(text: str) -> Found:
    start = text.rfind("\n", 0, TEXT_MAX) + 1
    return Found(
        Explanation(
            Code.TOO_LONG,
            f"the file has more than {TEXT_MAX} characters",
            "a file that a person can read",
        ),
        Severity.ERROR,
        start,
        1,
        lambda: iter([text[:start]]),
    )


def _choose(text: str, marks: list[int], message: str, badness: Badness | None) -> Found:
    """Return the problem whose change leaves the text in the best state."""
    lines = split_lines(text)
    if badness is None:
        return _report_rest(lines, marks, message)
    near = _list_near(lines, marks)
    before = badness(text)
    best: tuple[tuple[int, int], Found] | None = None
    for repair in REPAIRS:
        for number in near:
            for changed in repair.change(lines, number):
                new = "".join((*lines[:number], changed, *lines[number + 1 :]))
                state = badness(new) if new != text else before
                if state < before and (best is None or state < best[0]):
                    best = state, _report(repair, lines, number, changed, new)
                if best is not None and best[0] == (0, 0):
                    return best[1]
    return best[1] if best is not None else _report_rest(lines, marks, message)


def _report(repair: Repair, lines: list[str], number: int, changed: str, new: str) -> Found:
    old = lines[number].rstrip()
    column = next((i for i, (a, b) in enumerate(zip(old, changed, strict=False)) if a != b), None)
    at = min(len(old), len(changed)) if column is None else column
    index = sum(map(len, lines[:number])) + at
    is_rest = repair.explanation.code in {Code.COLON, Code.NOT_YAML}
    length = max(1, len(old) - at) if is_rest else 1
    return Found(
        repair.explanation, Severity.ERROR, index, length, lambda: iter([new]), is_tried=True
    )


def _report_rest(lines: list[str], marks: list[int], message: str) -> Found:
    number, at = _locate(lines, marks[0] if marks else 0)
    without = "".join((*lines[:number], *lines[number + 1 :]))
    return Found(
        Explanation(
            Code.NOT_YAML,
            f"the file is no YAML from here on: {message}",
            "lines as in the shipped files: `name: value`, and a dash before each item of a list",
        ),
        Severity.ERROR,
        sum(map(len, lines[:number])) + at,
        1,
        lambda: iter([without, EXAMPLE]),
    )


def _locate(lines: list[str], index: int) -> tuple[int, int]:
    """Return the number of the line with a character of the text, and its place in the line."""
    for number, line in enumerate(lines):
        if index < len(line):
            return number, index
        index -= len(line)
    last = max(0, len(lines) - 1)
    return last, len(lines[last].rstrip()) if lines else 0


def _list_near(lines: list[str], marks: list[int]) -> list[int]:
    """Return the numbers of the lines in which the mistake may be, the likeliest first."""
    near: list[int] = []
    for mark in marks:
        number, _ = _locate(lines, mark)
        filled = [i for i in range(number - 1, -1, -1) if lines[i].strip()][:NEAR]
        near += [number, *filled]
    return [n for n in dict.fromkeys(near) if n < len(lines) and len(lines[n]) <= LINE_MAX]


def _remove_control(lines: list[str], number: int) -> Iterator[str]:
    yield _CONTROL.sub("", lines[number])


def _replace_tabs(lines: list[str], number: int) -> Iterator[str]:
    line = lines[number]
    content = line.lstrip(" \t")
    if "\t" in line[: len(line) - len(content)]:
        yield from (" " * indent + content for indent in _list_indents(lines, number))
    if "\t" in line:
        yield line.replace("\t", "  ")


def _straighten(lines: list[str], number: int) -> Iterator[str]:
    yield lines[number].translate(_CURLY)


def _add_mark(lines: list[str], number: int) -> Iterator[str]:
    line = lines[number]
    yield re.sub(r"^(\s*(?:- +)?[A-Za-z_]+):(?=\S)", r"\1: ", line)
    yield re.sub(r"^(\s*)-(?=[^\s-])", r"\1- ", line)
    yield re.sub(rf"^(\s*(?:- +)?(?:{'|'.join(FIELDS)}))(\s)", r"\1:\2", line)
    yield re.sub(r"^(\s*)(?=[^\s#-])", r"\1- ", line)


def _quote_colon(lines: list[str], number: int) -> Iterator[str]:
    yield from _quote_value(lines[number], lambda value: ":" in value and value[0] not in "[{")


def _quote_reserved(lines: list[str], number: int) -> Iterator[str]:
    yield from _quote_value(lines[number], lambda value: value[:1] in set("@`%&*!|>}],#?'\"-"))


def _quote_value(line: str, is_meant: Callable[[str], bool]) -> Iterator[str]:
    matched = _START.match(line)
    if matched and matched[2] and is_meant(matched[2]):
        yield f"{matched[1]}{json.dumps(matched[2], ensure_ascii=False)}{matched[3]}"
        bare = matched[2].strip("\"'")
        yield f"{matched[1]}{json.dumps(bare, ensure_ascii=False)}{matched[3]}"


def _close_quote(lines: list[str], number: int) -> Iterator[str]:
    line = lines[number]
    content, rest = line.rstrip(), line[len(line.rstrip()) :]
    for mark in "\"'":
        if content.count(mark) % 2:
            yield f"{content}{mark}{rest}"
            yield re.sub(rf"{mark}(\s*[\]}}])$", rf"\1{rest}", content)
            yield re.sub(r"([^\[\]{},]*)([,\]}])", rf"\1{mark}\2", content, count=1) + rest
            yield content.replace(mark, "") + rest


def _close_bracket(lines: list[str], number: int) -> Iterator[str]:
    line = lines[number]
    content, rest = line.rstrip(), line[len(line.rstrip()) :]
    for opening, closing in ("[]", "{}"):
        if content.count(opening) > content.count(closing):
            yield f"{content.rstrip(',')}{closing}{rest}"
        elif content.count(opening) < content.count(closing):
            head, _, tail = content.rpartition(closing)
            yield head + tail + rest
            yield re.sub(r"^(\s*(?:- +)?[A-Za-z_]+: *)", rf"\1{opening}", content) + rest


def _indent(lines: list[str], number: int) -> Iterator[str]:
    content = lines[number].lstrip(" ")
    if _BEGIN.match(content):
        yield from (" " * indent + content for indent in _list_indents(lines, number))


def _list_indents(lines: list[str], number: int) -> list[int]:
    """Return the indentations that lines near by have, the nearest first."""
    around = (*range(number - 1, max(-1, number - 8), -1), *range(number + 1, number + 4))
    found: list[int] = []
    for line in (lines[i] for i in around if 0 <= i < len(lines) and lines[i].strip()):
        own = len(line) - len(line.lstrip(" "))
        found += [own, own + 2] if line.lstrip().startswith("-") else [own]
    return list(dict.fromkeys(found))


REPAIRS = (
    Repair(
        Explanation(
            Code.CONTROL_CHARACTER,
            "the line has a character that no text has",
            "letters, digits and punctuation",
        ),
        _remove_control,
    ),
    Repair(
        Explanation(Code.TAB, "YAML is not indented with tabs", "spaces at the start of a line"),
        _replace_tabs,
    ),
    Repair(
        Explanation(
            Code.CURLY_QUOTES,
            "curly quotes, as word processors write them, are no quotes in YAML",
            "straight quotes",
        ),
        _straighten,
    ),
    Repair(
        Explanation(
            Code.MISSING_MARK,
            "a colon or dash is missing here, or the space after it, without which it is text",
            "`name: value` for a field, and a dash and a space before an item of a list",
        ),
        _add_mark,
    ),
    Repair(
        Explanation(
            Code.COLON,
            "a colon followed by a space makes a field and its value of this text",
            "quotes around a text with a colon",
        ),
        _quote_colon,
    ),
    Repair(
        Explanation(
            Code.UNCLOSED_BRACKET,
            "a bracket has no counterpart",
            "a closing bracket for each opening one",
        ),
        _close_bracket,
    ),
    Repair(
        Explanation(
            Code.UNCLOSED_QUOTE,
            "a quote has no counterpart",
            "a quote at the start and one at the end of a text",
        ),
        _close_quote,
    ),
    Repair(
        Explanation(
            Code.INDENTATION,
            "the line does not begin below the lines that it belongs to",
            "as many spaces as before the other fields of the finding, or items of the list",
        ),
        _indent,
    ),
    Repair(
        Explanation(
            Code.RESERVED_CHARACTER,
            "the first character of this text has a meaning in YAML",
            "quotes around such a text",
        ),
        _quote_reserved,
    ),
    Repair(
        Explanation(
            Code.NOT_YAML,
            "the line is neither a field nor an item of a list",
            "lines as in the shipped files: `name: value`, and a dash before each item of a list",
        ),
        lambda _lines, _number: iter([""]),
    ),
)
