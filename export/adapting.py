"""The command `adapt` of `python -m export`."""

from pathlib import Path

import click

from export.adaptation import AdaptationVerdict, SiteStudies, adapt
from export.adaptation_report import PAGE, write_adaptation
from export.options import (
    FOLDER,
    findings_with_prompts,
    recipe_beside,
    refuse_other_form,
    starting_point,
)
from export.pairs import open_pairs
from export.pretrain import TrainingProgress
from export.recipe import Recipe, adapting
from export.terminal import describe_sizes, print_message, progress_bar
from triage.yaml_models import read

HELP = """\
Adapt a model to the scanners and readers of a site, and measure whether it helped.

Trains on studies with impressions, without labels. Some patients are held out: after each
epoch their studies decide whether the epoch is the best so far, and when to stop. Prints
figures before and after on these patients, and writes adapt.md and adapt.json. If it says
"Keep the old bundle", the adaptation did not help.

The text tower is fixed first, so that the images of the site learn against the captions that
the model knows; in the last epochs it is trained as well, at a lower rate.

\b
Examples:
  python -m export pairs --studies ours --reports ours.csv --out site --clip run/clip.json
  python -m export adapt --start run/ --pairs site/ --out adapted/
  python -m export adapt --start CMRCLIP/ --tokenizer Bio_ClinicalBERT/ --pairs site/ \\
      --out adapted/ --recipe gentle.yaml

\b
A recipe names what differs, e.g.
  epochs: 20
  rate: 0.0001
  text_frozen: 1                          # never train the text tower
  stopping: {held_out: 0.3, patience: 8}
"""


@click.command("adapt", no_args_is_help=True, help=HELP)
@click.option(
    "--start",
    type=FOLDER,
    required=True,
    help="Folder of a training run, or of the published checkpoint. A bundle has no weights that"
    " can be trained.",
)
@click.option(
    "--pairs", "site", type=FOLDER, required=True, help="Pairs of the site, as `pairs` makes them."
)
@click.option(
    "--out", type=FOLDER, required=True, help="Folder of the run; an interrupted run resumes."
)
@click.option(
    "--tokenizer",
    type=FOLDER,
    help="Folder of the start's tokenizer; the published checkpoint needs it.  [default: --start]",
)
@click.option("--recipe", type=FOLDER, help="YAML file with what differs from the defaults.")
@click.option("--findings", type=FOLDER, help="Findings file. [default: the worker's]")
def adapt_command(  # noqa: PLR0913 - one argument for each option
    *,
    start: Path,
    site: Path,
    out: Path,
    tokenizer: Path | None,
    recipe: Path | None,
    findings: Path | None,
) -> None:
    """Adapt a model to a site; its help is HELP."""
    pairs = open_pairs(site)
    begun = starting_point(start, tokenizer, pairs.form.frames)
    refuse_other_form(start, pairs.form)
    print_message(f"{len(pairs)} pairs; {describe_sizes(begun.network.sizes)}")
    base = recipe_beside(start, begun.network)
    chosen = adapting(base, None if recipe is None else read(recipe, Recipe))
    asked = findings_with_prompts(findings)
    with progress_bar("adapting") as bar:
        task = bar.add_task("adapting", total=None, loss="measuring")

        def done(at: TrainingProgress) -> None:
            bar.update(task, completed=at.step, total=at.steps, loss=_describe(at))

        found = adapt(SiteStudies(pairs, asked), begun, chosen, out, done)
    click.echo(write_adaptation(found, out), nl=False)
    print_message(f"wrote {out / PAGE}")
    if found.verdict is AdaptationVerdict.HELPED:
        for line in _next_steps(out, site):
            print_message(line)


def _describe(at: TrainingProgress) -> str:
    held_out = "" if at.watched is None else f", held out {at.watched:.3f} at best"
    return f"epoch {at.epoch + 1}, loss {at.loss:.3f}{held_out}"


def _next_steps(run: Path, site: Path) -> list[str]:
    return [
        "next, with labelled studies that were not used here (the old thresholds are not valid):",
        f"  python -m export onnx --checkpoint {run} --tokenizer {run} --out BUNDLE",
        f"  python -m export calibrate --bundle BUNDLE --pairs LABELLED --known {site}",
        "  python -m export evaluate --bundle BUNDLE --pairs OTHERS --out REPORT",
    ]
