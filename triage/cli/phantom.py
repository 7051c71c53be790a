"""`triage phantom`: draw synthetic cardiac studies."""

from functools import partial
from pathlib import Path

import click

from triage.cli import terminal
from triage.phantom.archive import write_archive, write_study
from triage.phantom.heart import Pathology
from triage.phantom.sheet import pathology_hearts, write_sheet
from triage.phantom.signal import LOOKS


@click.command(short_help="Draw synthetic cardiac MRI studies.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the studies below this folder.",
)
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Studies to draw."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Random seed of the first study; each further study has the next number.",
)
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    type=click.Choice([pathology.name.lower() for pathology in Pathology]),
    help="Draw this pathology; repeat for several in one heart. [default: by frequency]",
)
@click.option(
    "--look", type=click.Choice([*LOOKS]), help="Imitate this scanner and reader. [default: random]"
)
@click.option("--extras", is_flag=True, help="Add localizers, maps, perfusion, flow and more.")
@click.option(
    "--enhanced", is_flag=True, help="Write Enhanced MR objects, one instance for each series."
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a contact sheet (PNG) with one heart of each pathology.",
)
def phantom(  # noqa: PLR0913 - one argument for each option
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
    """Draw synthetic cardiac MRI studies: DICOM files with reports, or a contact sheet.

    The studies contain no patient data. Each has a truth.json with the findings that were drawn.

    \b
    Examples:
      triage phantom --sheet hearts.png
      triage phantom --out archive --count 20 --extras
      triage phantom --out one --pathology dilated --look ge && triage demo --study one
    """
    if out is None and sheet is None:
        raise click.UsageError(
            "give --out FOLDER to write studies, or --sheet FILE to write a picture"
        )
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
