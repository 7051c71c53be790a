"""Rules for the tests: layers, and what a unit test may use."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[2]
#: Modules with which a test starts a process or a server.
PROCESSES = (
    "multiprocessing",
    "subprocess",
    "tests.acceptance",
    "tests.integration",
    "tests.peers.peer",
)
#: Fixtures of tests/conftest.py that start PostgreSQL or mount a file system.
STARTING_FIXTURES = {"server", "database_url", "small_disk"}
#: Tests of the export use torch and may start processes; `make test-fast` leaves them out.
EXEMPT = TESTS / "unit" / "export"


def parse_files(folder: Path) -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(TESTS), ast.parse(path.read_text())


def find_imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a file imports, and every imported name as `module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_arguments(tree: ast.AST) -> set[str]:
    return {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def test_no_module_imports_a_test_module() -> None:
    imports = {
        str(path): [name for name in find_imports(tree) if ".test_" in name]
        for path, tree in parse_files(TESTS)
    }
    assert {path: names for path, names in imports.items() if names} == {}


def test_no_unit_test_starts_a_process() -> None:
    """A server on the loopback address may run in a thread of the test, which costs little."""
    for path, tree in parse_files(TESTS / "unit"):
        if EXEMPT not in (TESTS / path).parents:
            assert [name for name in find_imports(tree) if name.startswith(PROCESSES)] == [], path
            assert not find_arguments(tree) & STARTING_FIXTURES, path
