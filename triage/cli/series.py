"""`triage series`: show which series of a study the model would use, and why."""

import json
import sys
from pathlib import Path
from typing import TextIO

import click

from triage.cli import terminal
from triage.cli.options import folder_argument
from triage.imaging.rules import load_rules
from triage.pipeline import protocol_audit as audit
from triage.runtime.model import open_site_bundle
from triage.runtime.settings import load_settings
from triage.telemetry import logs


@click.command(short_help="Show which series the model would use, and why.")
@folder_argument
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with every image that is used.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet (PNG) with every stack and its use.",
)
@click.option(
    "--names",
    type=click.File(encoding="utf-8"),
    help="Read series descriptions, one on each line; write CSV name,sequence,view.",
)
@click.pass_obj
def series(
    config: Path | None,
    folder: Path | None,
    *,
    as_json: bool,
    sheet: Path | None,
    names: TextIO | None,
) -> None:
    """Show which series below FOLDER the model would use, which not, and why.

    Use it before installation to check a site's protocols, and when a report says that a view is
    missing. It changes and sends nothing. With `series_rules` in the settings a site adds rules for
    its own series descriptions.

    \b
    Examples:
      triage series ./study
      triage series ./study --json --sheet study.png
      triage series --names protocol-names.txt > names.csv
    """
    settings = load_settings(config)
    logs.configure(settings.log)
    rules = load_rules(settings.series_rules)
    if names is not None:
        audit.write_name_table((line.rstrip("\r\n") for line in names), rules, sys.stdout)
        return
    if folder is None:
        raise click.UsageError("give FOLDER for images, or --names FILE for series descriptions")
    views = [slot.view for slot in open_site_bundle(settings).manifest.layout]
    found = audit.read_folder(folder, views, rules)
    if as_json:
        click.echo(json.dumps(audit.build_json(found), indent=2))
    else:
        for study in found.studies:
            terminal.print_stacks(study.study_uid, audit.build_rows(study))
            terminal.write("\n".join(audit.build_remarks(study)))
        for file, why in found.unreadable.items():
            terminal.write(f"not read: {file}: {why}")
    if sheet is not None:
        audit.write_sheet(sheet, found)
        terminal.warn(f"wrote {sheet}")
