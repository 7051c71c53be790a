"""deploy/SECURITY.md: every bound names a test, and every test that it names exists."""

import ast
import re
from functools import cache

import pytest

from tests.builders.source_text import ROOT
from tests.unit.deploy.files import text

NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
INTERFACES = (
    "DICOM (C-STORE, C-ECHO, N-CREATE, N-ACTION)",
    "DICOM over TLS",
    "STOW-RS",
    "Watched folder",
    "Web page and its interface",
    "Metrics and health",
    "HL7 out (MLLP)",
    "Webhooks",
    "Redis and Celery",
    "Database",
    "Bundles",
    "Settings, findings, secrets and the command line",
    "Archives that studies are pulled from",
    "Audit trail",
)
HEADING = "| STRIDE | Threat | Bound (setting, default) | Test |"
COLUMNS = 4


def rows() -> list[str]:
    lines = text("SECURITY.md").splitlines()
    return [line for line in lines if line.startswith("| ") and line != HEADING]


@cache
def names_in(name: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("interface", INTERFACES)
def test_every_interface_has_its_threats(interface: str) -> None:
    section = text("SECURITY.md").partition(f"\n## {interface}\n")[2].partition("\n## ")[0]
    assert HEADING in section
    assert section.count("\n| ") >= 3  # heading, rule and at least one threat


def test_every_bound_names_a_test_that_exists() -> None:
    wrong = []
    for row in rows():
        cells = row.strip("| ").split(" | ")
        if cells[0] == "---":
            continue
        named = NAMED.findall(cells[-1])
        missing = [name for name, test in named if not (ROOT / "tests" / name).is_file()]
        missing += [test for name, test in named if not missing and test not in names_in(name)]
        kinds = set(cells[0].split(", "))
        if len(cells) != COLUMNS or not named or missing or not kinds <= set("STRIDE"):
            wrong.append((row, missing))
    assert wrong == []
