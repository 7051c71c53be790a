"""`triage phantom`: synthetic hearts."""

from functools import partial
from pathlib import Path

import click

from triage.cli import terminal
from triage.phantom.archive import write_archive, write_study
from triage.phantom.heart import Pathology
from triage.phantom.sheet import pathology_hearts, write_sheet
from triage.phantom.signal import LOOKS


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write studies below this folder.",
)
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the first study; the next has +1.")
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    type=click.Choice([each.name.lower() for each in Pathology]),
    help="Draw these; several join in one heart. [default: by frequency]",
)
@click.option("--look", type=click.Choice([*LOOKS]), help="Scanner and reader. [default: drawn]")
@click.option("--extras", is_flag=True, help="Localizers, maps, perfusion, flow and more as well.")
@click.option("--enhanced", is_flag=True, help="As Enhanced MR, one instance a series.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet, a PNG: one heart of each pathology.",
)
def phantom(  # noqa: PLR0913 - one argument an option
    *,
    out: Path | None,
    count: int,
    seed: int,
    pathologies: tuple[str, ...],
    look: str | None,
    extras: bool,
    enhanced: bool,
    sheet: Path | None,
) -> None:
    """Make synthetic hearts: studies as DICOM with reports, or a contact sheet to look at.

    \b
    triage phantom --sheet hearts.png
    triage phantom --out archive --count 20 --extras
    triage phantom --out one --pathology dilated --look ge && triage demo --study one
    """
    if out is None and sheet is None:
        raise click.UsageError("say --out FOLDER for studies, or --sheet FILE for a picture")
    if sheet is not None:
        write_sheet(sheet, pathology_hearts(seed))
        terminal.write(f"wrote {sheet}")
    if out is not None:
        write = partial(
            write_study, look=LOOKS[look] if look else None, extras=extras, enhanced=enhanced
        )
        drawn = tuple(Pathology[name.upper()] for name in pathologies) or None
        with terminal.progress("drawing", count) as bar:
            seeds = range(seed, seed + count)
            write_archive(out, seeds, write, drawn, lambda: bar.advance(bar.task_ids[0]))
        terminal.write(f"wrote {count} studies below {out}")
