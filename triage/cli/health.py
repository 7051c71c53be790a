"""`triage health`: whether a site does its work, for a person and for a monitoring system."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from triage.cli import terminal
from triage.domain.health import Condition, PartHealth, find_worst
from triage.runtime.health import examine_machine, examine_site
from triage.runtime.settings import load_settings

NOT_WELL = 1  #: exit status
STYLES = {Condition.WELL: "green", Condition.DEGRADED: "yellow", Condition.ILL: "bold red"}


@click.command(short_help="Show whether the worker does its work.")
@click.option(
    "--here", is_flag=True, help="Only the processes of this machine, for a container's probe."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def health(config: Path | None, *, here: bool, as_json: bool) -> None:
    """Show whether the worker does its work: one line for each part.

    The parts are the processes of all machines, with the time since which the receiver listens, the
    queue, deliveries, destinations, broker, ledger, disk, past cases and audit. A part is `well`,
    `degraded` (work waits or comes late) or `ill` (studies are refused, or wait for a person).

    Exit status 0: every part is well. 1: a part is degraded or ill. 2: the settings are wrong, or
    the worker was never started.

    \b
    Examples:
      triage --config triage.yaml health
      triage --config triage.yaml health --json
    """
    settings = load_settings(config)
    parts = examine_machine(settings) if here else examine_site(settings)
    if as_json:
        worst = str(find_worst(parts))
        click.echo(json.dumps({"condition": worst, "parts": [asdict(p) for p in parts]}, indent=2))
    else:
        for part in parts:
            _print_part(part)
    if find_worst(parts) is not Condition.WELL:
        sys.exit(NOT_WELL)


def _print_part(part: PartHealth) -> None:
    line = f"{part.condition:<8}  {part.part}: {part.detail}"
    terminal.write(line, style=STYLES[part.condition])
