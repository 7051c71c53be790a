"""`triage prune`: remove data by the `retention` settings."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from triage.cli import terminal
from triage.pipeline.retention import Removal
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_existing_ledger, open_retention_runner
from triage.telemetry import logs

MB = 1e6


@click.command(short_help="Remove data beyond the `retention` limits.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.pass_obj
def prune(config: Path | None, *, dry_run: bool) -> None:
    """Remove data older than the `retention` limits in the settings.

    `triage serve` does so regularly; use this command to see what would be removed, or to remove
    now. By default no limit is set and everything is kept. Studies that arrive, are assessed or
    have undelivered reports are never removed.

    The ledger keeps a record of each study whose images were removed. If the whole study is
    received again, it is assessed again; if only a part of it is, the report on the whole study
    remains.

    \b
    Examples:
      triage prune --dry-run
      triage prune
    """
    settings = load_settings(config)
    logs.configure(settings.log)
    open_existing_ledger(settings).close()  # a mistyped folder must not become a state folder
    if not settings.retention.limits.has_any:
        terminal.write("nothing to remove: `retention` in the settings sets no limit")
    runner = open_retention_runner(settings)
    removals = runner.plan() if dry_run else runner.prune()
    if removals:
        _print_removals(removals, "To be removed" if dry_run else "Removed")
    elif settings.retention.limits.has_any:
        terminal.write("nothing to remove: no data is beyond the limits")


def _print_removals(removals: Sequence[Removal], title: str) -> None:
    table = Table(title=title)
    for heading in ("What", "Study", "Last touched", "How many", "MB", "Why"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "What")
    for removal in removals:
        since = terminal.format_time(removal.since) if removal.since else ""
        size = f"{removal.size / MB:,.1f}"
        row = removal.what, removal.study_uid, since, str(removal.items), size, removal.why
        terminal.add_plain_row(table, *row)
    terminal.console.print(table)
    terminal.write(f"{sum(removal.size for removal in removals) / MB:,.1f} MB in all")
