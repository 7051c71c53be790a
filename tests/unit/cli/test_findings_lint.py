"""`triage findings lint` on a terminal and as JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.builders.findings_files import GOOD, MISTAKES
from triage.__main__ import main
from triage.findings.lint.checks import lint
from triage.findings.lint.model import LintModel
from triage.runtime.model import DEMO_BUNDLE


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGE_CONFIG", raising=False)


def run(path: Path, text: str, *arguments: str) -> Result:
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["findings", "lint", str(path), *arguments])


def test_a_good_file_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    shown = run(path, GOOD)
    assert shown.exit_code == 0
    assert shown.output.splitlines() == [
        "0 error(s), 0 warning(s): the file can be used",
        "left out without a trained bundle (--bundle): unknown-term, near-duplicate, not-separate",
    ]


def test_a_warning_ends_with_1_and_is_shown_as_a_compiler_does(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    (problem,) = lint(MISTAKES["negation"].text, LintModel()).problems
    shown = run(path, MISTAKES["negation"].text)
    assert shown.exit_code == 1
    assert shown.output.splitlines()[:7] == [
        f"{path}:15:18: warning: {problem.sentence} [negation]",
        "   15 |       - There is no evidence of myocardial scar",
        "      |                  ^^^^^^^^^^^^^^",
        "      expected: the finding as it is when it is present",
        "      mend: write in line 15",
        "   15 |       - There is evidence of myocardial scar",
        "",
    ]


def test_an_error_ends_with_2(tmp_path: Path) -> None:
    shown = run(tmp_path / "f.yaml", MISTAKES["threshold"].text)
    assert shown.exit_code == 2
    assert "      mend: remove line 17" in shown.output.splitlines()
    assert "1 error(s), 0 warning(s): the file cannot be used" in shown.output


def test_a_missing_file_ends_with_2(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    assert CliRunner().invoke(main, ["findings", "lint", missing]).exit_code == 2


def test_json_has_all_that_a_program_needs(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    shown = run(path, MISTAKES["views without brackets"].text, "--json")
    assert shown.exit_code == 2
    assert json.loads(shown.output) == {
        "file": str(path),
        "usable": False,
        "problems": [
            {
                "code": "no-list",
                "severity": "error",
                "line": 8,
                "column": 12,
                "length": 7,
                "sentence": "`views` is a list, also if it has one item",
                "expected": "a list in brackets, as in [cine_lax, cine_sa], or a line with a dash "
                "for each item",
                "mend": {"first": 8, "last": 8, "lines": ["    views: [cine_sa]"]},
                "is_tried": True,
            }
        ],
        "more": 0,
        "left_out": ["unknown-term", "near-duplicate", "not-separate"],
    }


def test_with_a_bundle_nothing_is_left_out(tmp_path: Path) -> None:
    shown = run(tmp_path / "f.yaml", GOOD, "--bundle", str(DEMO_BUNDLE), "--json")
    result = json.loads(shown.output)
    assert result["usable"]
    assert result["left_out"] == []


def test_a_long_line_is_shown_around_its_mistake(tmp_path: Path) -> None:
    text = GOOD.replace("There is myocardial scarring", "Scar of the wall " * 25 + "without oedema")
    shown = run(tmp_path / "f.yaml", text)
    lines = shown.output.splitlines()
    (caret,) = [number for number, line in enumerate(lines) if "^" in line]
    at = lines[caret].index("^")
    assert lines[caret - 1][at:].startswith("without")
    assert max(map(len, lines[caret - 1 : caret + 1])) < 110
