"""The texts of the source code: docstrings, comments and the strings that people read."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("triage", "receivers", "export")
#: A string with fewer words is a key, a format or a name.
SHORTEST_SENTENCE = 3
DIRECTIVE = re.compile(r"#:?\s*(noqa|type:|pragma|ruff:|fmt:|!)[^-]*")


def source_files(*folders: str) -> list[Path]:
    """Return the Python files below these folders of the repository (default: the packages)."""
    return sorted(p for folder in folders or PACKAGES for p in (ROOT / folder).rglob("*.py"))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring, comment block and sentence-like string."""
    source = path.read_text(encoding="utf-8")
    yield from _comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, _without_fields(node)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and len(re.findall(r"[A-Za-z]{2,}", node.value)) >= SHORTEST_SENTENCE
        ):
            yield node.lineno, node.value


def _without_fields(node: ast.JoinedStr) -> str:
    """Return the fixed parts of an f-string; its parts are not yielded again."""
    parts = [value for value in node.values if isinstance(value, ast.Constant)]
    text = " X ".join(str(part.value) for part in parts)
    for part in parts:
        part.value = ""
    return text


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield consecutive comment lines as one text."""
    block: list[str] = []
    begin = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield begin, " ".join(block)
            block = []
        if not block:
            begin = token.start[0]
        last = token.start[0]
        block.append(DIRECTIVE.sub("", token.string).lstrip("#: -"))
    if block:
        yield begin, " ".join(block)
