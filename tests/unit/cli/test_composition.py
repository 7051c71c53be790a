"""The command line constructs no adapter; `triage.runtime` does."""

import ast
from pathlib import Path

import pytest

CLI = Path(__file__).parents[3] / "triage" / "cli"
#: Packages of adapters; `triage.broker.queue` is imported for the names of the queues alone.
ADAPTERS = ("triage.archives", "triage.audit", "triage.destinations", "triage.store")


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    return froms | plain


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.stem)
def test_no_command_imports_an_adapter(path: Path) -> None:
    imported = imported_modules(path)
    assert [name for name in imported if name.startswith(ADAPTERS)] == []
    assert {name for name in imported if name.startswith("triage.broker")} <= {
        "triage.broker.queue"
    }
