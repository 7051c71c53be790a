"""`triage prune`: what the site wants kept no longer goes."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from triage.cli import terminal
from triage.config import load
from triage.pipeline.retention import Removal
from triage.runtime.clock import SystemClock
from triage.runtime.storage import (
    build_retention_runner,
    open_existing_ledger,
    open_ledger_database,
    open_spool,
)
from triage.telemetry import logs

MB = 1e6


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.pass_obj
def prune(config: Path | None, *, dry_run: bool) -> None:
    """Remove what `retention` of the settings keeps no longer; `triage serve` does so by itself.

    By default everything is kept. What is not delivered yet, arrives or is assessed never goes.
    Of a study whose images went the ledger keeps that it was here. One that comes again whole is
    assessed again; of one of which a part comes again, the report on the whole stands.

    \b
    triage prune --dry-run
    triage prune
    """
    settings = load(config)
    logs.configure(settings.log)
    open_existing_ledger(settings).close()  # a mistyped folder must not become one
    if not settings.retention.limits.has_any:
        terminal.write("nothing goes: `retention` of the settings sets no limit")
    pruner = build_retention_runner(
        settings, open_spool(settings), open_ledger_database(settings), SystemClock()
    )
    going = pruner.plan() if dry_run else pruner.prune()
    if going:
        _show(going, "Would go" if dry_run else "Removed")
    elif settings.retention.limits.has_any:
        terminal.write("nothing is as old as that")


def _show(going: Sequence[Removal], title: str) -> None:
    table = Table(title=title)
    for heading in ("What", "Study", "Last touched", "How many", "MB", "Why"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "What")
    for each in going:
        since = terminal.moment(each.since) if each.since else ""
        size = f"{each.size / MB:,.1f}"
        table.add_row(each.what, each.study_uid, since, str(each.items), size, each.why)
    terminal.console.print(table)
    terminal.write(f"{sum(each.size for each in going) / MB:,.1f} MB in all")
