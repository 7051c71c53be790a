"""The files of deploy/, and what tests ask of them."""

import re
from pathlib import Path

from triage.__main__ import COMMANDS, main

DEPLOY = Path(__file__).parents[3] / "deploy"
PROJECT = DEPLOY.parent


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def between(name: str, marker: str) -> str:
    """Return the text of a file between the marker's comments."""
    pattern = rf"<!-- {marker}: begin -->\n(.*)\n<!-- {marker}: end -->"
    (found,) = re.findall(pattern, text(name), re.DOTALL)
    return str(found)


def table(name: str, marker: str) -> list[list[str]]:
    """Return the rows of the Markdown table between the marker's comments, without its head."""
    rows = between(name, marker).splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def understand(arguments: list[str]) -> None:
    """Parse the arguments of `triage` as the program would, and run nothing; raise UsageError."""
    at = next(i for i, argument in enumerate(arguments) if argument in COMMANDS)
    context = main.make_context("triage", arguments[: at + 1])
    command = main.get_command(context, arguments[at])
    assert command is not None
    command.make_context(arguments[at], arguments[at + 1 :], parent=context)
