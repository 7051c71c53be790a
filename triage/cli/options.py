"""Options that several commands share."""

from pathlib import Path

import click

from triage.runtime.parent import Parent

parent_option = click.option(
    "--parent", type=Parent.parse, hidden=True, help="End with this process and report to it."
)
folder_argument = click.argument(
    "folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)

#: A list of studies; spreadsheets write a byte order mark, or letters that are not UTF-8.
WORKLIST = click.File(encoding="utf-8-sig", errors="replace")
