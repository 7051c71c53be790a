"""`triage series`: what would be chosen from a study's images, and why."""

import json
import sys
from pathlib import Path
from typing import TextIO

import click

from triage.cli import protocol_audit as audit
from triage.cli import terminal
from triage.cli.options import folder_argument
from triage.config import load
from triage.imaging.rules import load_rules
from triage.model.bundle import open_bundle
from triage.telemetry import logs


@click.command()
@folder_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every image that is used.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet, a PNG: every stack with what it was taken for.",
)
@click.option(
    "--names",
    type=click.File(encoding="utf-8"),
    help="Read bare series descriptions, one a line; write CSV name,sequence,view.",
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
    """Show what would be chosen from the images below FOLDER, and why. Changes nothing.

    \b
    triage series ./study
    triage series ./study --json --sheet study.png
    triage series --names protocol-names.txt > names.csv
    """
    settings = load(config)
    logs.configure(settings.log)
    rules = load_rules(settings.series_rules)
    if names is not None:
        audit.named((line.rstrip("\r\n") for line in names), rules, sys.stdout)
        return
    if folder is None:
        raise click.UsageError("say FOLDER for images, or --names FILE for bare names")
    views = [slot.view for slot in open_bundle(settings.model.bundle).manifest.layout]
    found = audit.read_folder(folder, views, rules)
    if as_json:
        click.echo(json.dumps(audit.as_json(found), indent=2))
    else:
        for study in found.studies:
            terminal.series(study.study_uid, audit.as_rows(study))
            terminal.write("\n".join(audit.remarks(study)))
        for file, why in found.unreadable.items():
            terminal.write(f"not read: {file}: {why}")
    if sheet is not None:
        audit.write_sheet(sheet, found)
        terminal.warn(f"wrote {sheet}")
