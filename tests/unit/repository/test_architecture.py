"""The layout of the code, as triage/README.md describes it."""

import ast
import statistics
import tomllib
from collections import Counter, defaultdict
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import grimp
import pytest

from tests.builders.source_text import PACKAGES, ROOT, source_files

FUNCTION_LINES_MEDIAN, FUNCTION_LINES_P95 = 7, 21
FILE_LINES_MOST = 500
NOQA_MOST = 150


@pytest.fixture(scope="module")
def layers() -> list[set[str]]:
    """The layers of pyproject.toml, high to low."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (found,) = [c["layers"] for c in contracts if c["type"] == "layers"]
    return [{name.strip() for name in layer.replace(":", "|").split("|")} for layer in found]


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Which package imports which; a package is `receivers` or a folder of `triage`."""
    graph = grimp.build_graph("triage", "receivers", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            ours, theirs = _package(importer), _package(imported)
            if ours != theirs:
                found[ours].add(theirs)
    return found


def _package(module: str) -> str:
    return "receivers" if module.startswith("receivers") else ".".join(module.split(".")[:2])


def test_the_root_of_triage_holds_two_modules_and_folders() -> None:
    assert sorted(p.name for p in (ROOT / "triage").glob("*.py")) == ["__init__.py", "__main__.py"]


def test_there_are_ten_layers_and_every_package_is_in_one(layers: list[set[str]]) -> None:
    packages = {f"triage.{p.parent.name}" for p in (ROOT / "triage").glob("*/__init__.py")}
    assert len(layers) == 10
    assert set(chain(*layers)) == {*packages, "receivers", "triage.__main__"}


def test_no_package_imports_upwards_and_none_in_a_circle(
    layers: list[set[str]], arrows: dict[str, set[str]]
) -> None:
    height = {name: -i for i, layer in enumerate(layers) for name in layer}
    for package in sorted(arrows):
        print(f"{package} -> {', '.join(sorted(arrows[package]))}")
    print(sum(map(len, arrows.values())), "arrows between", len(height), "packages")
    inside = {a: {b for b in bs if b != "triage"} for a, bs in arrows.items() if a != "triage"}
    upwards = [(a, b) for a, bs in inside.items() for b in bs if height[b] > height[a]]
    assert upwards == []
    TopologicalSorter(inside).prepare()  # raises CycleError


def test_nothing_below_runtime_imports_receivers(arrows: dict[str, set[str]]) -> None:
    importers = {package for package, imported in arrows.items() if "receivers" in imported}
    assert importers <= {"triage.runtime", "triage.cli"}


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for path in source_files(*PACKAGES, "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_functions_and_files_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    median, p95 = statistics.median(lengths), lengths[int(0.95 * len(lengths))]
    print(f"{len(lengths)} functions, median {median} lines, 95th percentile {p95}")
    assert median <= FUNCTION_LINES_MEDIAN
    assert p95 <= FUNCTION_LINES_P95
    long = {
        str(p.relative_to(ROOT)): n for p in source_files() if (n := _lines(p)) > FILE_LINES_MOST
    }
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_exceptions_from_the_rules_are_rare_and_have_a_reason() -> None:
    lines = [
        (path, number, line)
        for path in source_files(*PACKAGES, "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]
    exceptions = [line for _, _, line in lines if "# noqa" in line]
    print(len(exceptions), "noqa")
    assert len(exceptions) < NOQA_MOST
    broad = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, number, line in lines
        if line.strip().startswith(("except Exception", "except BaseException", "except:"))
        and path.relative_to(ROOT).parts[0] != "tests"
        and "#" not in line
    ]
    assert broad == []
