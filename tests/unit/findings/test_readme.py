"""The page for hospital IT matches the program."""

import re
import textwrap
from pathlib import Path

import pytest

from triage.findings.entries import FindingEntry
from triage.findings.lint.problem import Code
from triage.findings.loader import parse_findings

README = Path("triage/findings/README.md").read_text(encoding="utf-8")
EXAMPLES = [
    textwrap.dedent(block) for block in re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_a_valid_findings_file(example: str) -> None:
    assert parse_findings(example, "README.md").findings


def test_there_are_examples_of_prompts_and_of_both_kinds_of_examples() -> None:
    assert len(EXAMPLES) == 3


def test_the_table_has_every_field_once() -> None:
    table = README.partition("### Fields\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert sorted(rows) == sorted(FindingEntry.model_fields)


def test_the_table_of_problems_has_every_code_once() -> None:
    table = README.partition("### What it finds\n")[2].partition("\n## ")[0]
    rows = re.findall(r"`([a-z0-9-]+)`(?=[^|]*\|[^|]*\|[^|]*\|$)", table, flags=re.MULTILINE)
    assert sorted(rows) == sorted(Code)
