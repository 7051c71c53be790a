"""No regular expression of the repository or of a site keeps a worker busy."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import receivers
import triage
from tests.builders.source_text import PACKAGES, ROOT, source_files
from triage.domain.errors import ConfigurationError
from triage.imaging.backtracking import LIMIT_S, find_slow_text
from triage.imaging.rules import LONGEST_VALUE, load_rules

LENGTH = 64
MATCHERS = ("compile", "search", "match", "fullmatch", "sub", "split", "findall", "finditer")
#: The value of a field of an f-string, for the patterns that are made of parts.
FIELD = "x"


def compiled(pattern: str | bytes) -> re.Pattern[Any]:
    made: re.Pattern[Any] = re.compile(pattern)
    return made


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a|a)*$",
        r"(a|ab|b)*c",
        r"(.*)*x",
        r"(\w+\s?)*$",
        r"^sax( ?(mid|bh|\d+))*$",
        r"^foo bar ( ?\d+)*$",
        r"(?!.*(a+)+b)c",
        r"([a-z]+)*\.",
        r"(?:x(?:[^y]|z)*)*w",
        rb"(\d+)+\x00\x00",
    ],
)
def test_an_exponential_pattern_is_found(pattern: str | bytes) -> None:
    assert find_slow_text(compiled(pattern), LENGTH) is not None


@pytest.mark.parametrize(
    "pattern", [r"\bsax\b", r"^(sax|sa)( ?(mid|bh|\d))*$", r"(?>a+)+$", r".*foo.*", r"[^\\]*\\M"]
)
def test_a_pattern_of_small_cost_passes(pattern: str) -> None:
    assert find_slow_text(compiled(pattern), LONGEST_VALUE) is None


def test_a_sites_own_pattern_that_explodes_is_a_settings_error(tmp_path: Path) -> None:
    path = tmp_path / "series.yaml"
    pattern = r"^house( ?\d+)*$"
    path.write_text(f"views:\n  - {{attribute: name, pattern: '{pattern}', means: SAX}}\n")
    with pytest.raises(ConfigurationError, match="line 2: .*takes too long") as error:
        load_rules(path)
    assert pattern in str(error.value)


def test_no_shipped_rule_is_slow() -> None:
    rules = load_rules()
    patterns = [rule.pattern for part in (rules.sequences, rules.views) for rule in part]
    for pattern in (*patterns, *(rule.pattern for rule in rules.variants)):
        assert find_slow_text(compiled(pattern), LONGEST_VALUE) is None, pattern


def test_the_run_of_digits_that_was_slow() -> None:
    for rule in load_rules().sequences:
        if "sense|test" in rule.pattern:
            assert not re.search(rule.pattern, "sax " + "1" * 40 + "x")


# -- every regular expression of the repository


def written_patterns(path: Path) -> Iterator[str | bytes]:
    """Yield the literal patterns of a file: arguments of `re`, and `pattern=` of fields."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        arguments = [word.value for word in node.keywords if word.arg == "pattern"]
        called = ast.unparse(node.func)
        if called.removeprefix("re.") in MATCHERS and called.startswith("re.") and node.args:
            arguments.append(node.args[0])
        yield from filter(None, map(written_text, arguments))


def written_text(node: ast.expr) -> str | bytes | None:
    """Return the text of a literal; None for a name, which `module_patterns` finds."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (getattr(part, "value", None) for part in node.values)
        return "".join(part if isinstance(part, str) else FIELD for part in parts)
    return None


def module_patterns(module: ModuleType) -> Iterator[re.Pattern[Any]]:
    """Yield the compiled patterns that a module keeps, also within tuples, mappings and models."""
    waiting, seen = list(vars(module).values()), set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, re.Pattern):
            yield value
        elif id(value) not in seen and isinstance(value, (tuple, list, set, frozenset)):
            seen.add(id(value))
            waiting.extend(value)
        elif id(value) not in seen and isinstance(value, dict):
            seen.add(id(value))
            waiting.extend(value.values())


def modules() -> Iterator[ModuleType]:
    for package in (triage, receivers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__") and "migrations" not in found.name:
                yield importlib.import_module(found.name)


def test_no_written_pattern_of_the_repository_is_slow() -> None:
    patterns = {text for path in source_files(*PACKAGES) for text in written_patterns(path)}
    print(len(patterns), "patterns")
    slow = {}
    for pattern in patterns:
        if text := find_slow_text(compiled(pattern), LENGTH, LIMIT_S):
            slow[pattern] = text
    assert slow == {}
    assert len(patterns) >= 60, ROOT


def test_no_compiled_pattern_of_a_module_is_slow() -> None:
    patterns = {pattern for module in modules() for pattern in module_patterns(module)}
    print(len(patterns), "patterns")
    slow = {each.pattern: text for each in patterns if (text := find_slow_text(each, LENGTH))}
    assert slow == {}
    assert len(patterns) >= 40
