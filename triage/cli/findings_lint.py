"""`triage findings lint`: what is wrong in a findings file, where, and a mended line."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from triage.cli import terminal
from triage.findings.lint.checks import LintResult, lint_file, read_findings_text
from triage.findings.lint.problem import Problem, Severity, split_lines
from triage.runtime.lint import open_lint_model
from triage.runtime.settings import load_settings

WARNINGS, ERRORS = 1, 2  #: exit status
WIDTH = 96  #: characters of a line of the file that are shown
MENDED_MAX = 8  #: lines of a mend that are shown
COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


@click.command("lint", short_help="Find mistakes in a findings file, with a mend for each.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the model. [default: that of the settings; without settings, none]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
@click.pass_context
def lint_command(ctx: click.Context, file: Path, *, bundle: Path | None, as_json: bool) -> None:
    """Find mistakes in the findings file FILE; show each with its line and a mended line.

    An error means that the file cannot be used: `triage check` and the worker refuse it with the
    same sentence. A warning means that the file can be used, but a finding would be measured badly.
    Each mended line was put in place and checked, unless it is marked: in a large file, or after
    many mistakes, some are not tried. The command changes nothing.

    With a trained bundle it also compares the prompts as the model reads them: terms that its
    vocabulary lacks, prompts that are nearly the same, and prompts of two findings that the model
    does not tell apart. It states what it left out without one.

    Exit status 0: no problem. 1: warnings alone, the file can be used. 2: errors, or the file
    cannot be read.

    \b
    Examples:
      triage findings lint findings.yaml
      triage findings lint findings.yaml --bundle ./model
      triage findings lint findings.yaml --json
    """
    model = open_lint_model(load_settings(ctx.obj), bundle)
    result = lint_file(file, model)
    if as_json:
        click.echo(json.dumps(_to_json(file, result), indent=2))
    else:
        _print_result(file, result)
    ctx.exit(_choose_status(result))


def _choose_status(result: LintResult) -> int:
    if not result.is_usable:
        return ERRORS
    return WARNINGS if result.problems else 0


def _to_json(file: Path, result: LintResult) -> dict[str, Any]:
    return {
        "file": str(file),
        "usable": result.is_usable,
        "problems": [asdict(problem) for problem in result.problems],
        "more": result.more,
        "left_out": list(result.left_out),
    }


def _print_result(file: Path, result: LintResult) -> None:
    text, _ = read_findings_text(file)
    lines = [line.rstrip() for line in split_lines(text)]
    for problem in result.problems:
        _print_problem(str(file), lines, problem)
    counts = Counter(problem.severity for problem in result.problems)
    errors, warnings = counts[Severity.ERROR], counts[Severity.WARNING]
    more = f", {result.more} more are not shown" if result.more else ""
    usable = "can be used" if result.is_usable else "cannot be used"
    terminal.write(f"{errors} error(s), {warnings} warning(s){more}: the file {usable}")
    if result.left_out:
        terminal.write(
            f"left out without a trained bundle (--bundle): {', '.join(result.left_out)}"
        )


def _print_problem(file: str, lines: list[str], problem: Problem) -> None:
    place = f"{file}:{problem.line}:{problem.column}"
    terminal.write(
        f"{place}: {problem.severity}: {problem.sentence} [{problem.code}]",
        style=COLOURS[problem.severity],
    )
    line = lines[problem.line - 1] if problem.line <= len(lines) else ""
    first = max(0, problem.column - 1 - WIDTH // 2) if len(line) > WIDTH else 0
    shown = line[first : first + WIDTH].replace("\t", " ")
    caret = " " * (problem.column - 1 - first)
    length = max(1, min(problem.length, len(shown) - len(caret)))
    number = f"{problem.line:>5}"
    terminal.write(f"{number} | {shown}")
    terminal.write(f"{'':>5} | {caret}{'^' * length}")
    terminal.write(f"      expected: {problem.expected}")
    _print_mend(problem)
    terminal.write("")


def _print_mend(problem: Problem) -> None:
    mend = problem.mend
    where = f"line {mend.first}" if mend.last <= mend.first else f"lines {mend.first}-{mend.last}"
    label = "mend" if problem.is_tried else "mend, not tried"
    if not mend.lines:
        terminal.write(f"      {label}: remove {where}")
        return
    do = "insert before" if mend.last < mend.first else "write in"
    terminal.write(f"      {label}: {do} {where}")
    for number, line in enumerate(mend.lines[:MENDED_MAX], mend.first):
        terminal.write(f"{number:>5} | {line[:WIDTH]}")
    if len(mend.lines) > MENDED_MAX:
        terminal.write("      ...")
