"""Tables and lines on a terminal."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.builders.assessments import mixed, untrained
from tests.builders.reportings import all_flagged, usual
from triage.cli import terminal
from triage.domain.assessment import Answer, Assessment, Flag
from triage.findings.loader import load_findings

FINDINGS = Path(__file__).parents[3] / "triage" / "findings" / "default.yaml"


def with_shipped_findings(assessment: Assessment) -> Assessment:
    """Return the assessment with answers to the shipped findings, one flag after the other."""
    flags = [*Flag]
    answers = tuple(
        replace(assessment.answers[0], finding=finding, flag=flags[number % len(flags)])
        for number, finding in enumerate(load_findings(FINDINGS).findings)
    )
    return replace(assessment, answers=answers)


def print_flags(
    assessment: Assessment, monkeypatch: pytest.MonkeyPatch, *, with_truth: bool
) -> list[str]:
    """Return the lines of the table of flags on a terminal of 80 columns."""
    printed = StringIO()
    console = Console(width=80, file=printed)
    monkeypatch.setattr(terminal, "console", console)
    truth = {answer.finding.id: number % 2 == 0 for number, answer in enumerate(assessment.answers)}
    terminal.print_flags(assessment, truth if with_truth else None)
    return [line for line in printed.getvalue().splitlines() if "│" in line or "┃" in line]


def words_of(answer: Answer) -> set[str]:
    return {*answer.finding.name.split(), *str(answer.flag).split(), *answer.reason.split()}


@pytest.mark.parametrize("with_truth", [True, False])
@pytest.mark.parametrize("assessment", [all_flagged(), usual(), mixed(), untrained()])
def test_the_table_of_flags_breaks_no_word_at_80_columns(
    assessment: Assessment, monkeypatch: pytest.MonkeyPatch, *, with_truth: bool
) -> None:
    for shown in (assessment, with_shipped_findings(assessment)):
        lines = print_flags(shown, monkeypatch, with_truth=with_truth)
        assert all(len(line) <= 80 for line in lines)
        cells = {word for line in lines for word in re.split(r"[┃│\s]+", line)}
        assert {"Finding", "Flag", "Score", "Threshold", "Why"} <= cells
        assert ("Drawn" in cells) == with_truth
        assert {word for answer in shown.answers for word in words_of(answer)} <= cells


#: Sets the title of the window, clears the screen, turns the rest round, and is 8-bit CSI.
HOSTILE = "SAX\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\x08[bold red]x[/]"
SHOWN = "SAX?]0;owned?[2J??31m[bold red]x[/]"  # rich leaves out BEL and BS


@pytest.mark.parametrize("how", ["write", "warn", "flags", "stacks", "bar"])
def test_a_terminal_shows_control_characters_and_markup_and_obeys_neither(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = StringIO()
    for name in ("console", "errors"):
        opened = getattr(terminal, name)
        monkeypatch.setattr(opened, "_file", printed)
        monkeypatch.setattr(opened, "_width", 300)
    if how == "write":
        terminal.write(HOSTILE, style="bold")
    elif how == "warn":
        terminal.warn(HOSTILE)
    elif how == "stacks":
        terminal.print_stacks("title [/]", [[HOSTILE] * 6])
    elif how == "bar":
        with terminal.progress("fetching", 1) as bar:
            bar.console.print(HOSTILE, markup=False, highlight=False)
    else:
        shown = mixed()
        finding = replace(shown.answers[0].finding, name=HOSTILE)
        answers = tuple(replace(answer, finding=finding) for answer in shown.answers)
        terminal.print_flags(replace(shown, answers=answers))
    text = printed.getvalue()
    assert SHOWN in text
    assert not set(text) & set("\x07\x08\x1b\x9b\u202e")
