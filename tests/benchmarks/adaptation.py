"""How much studies of a site help: a network of one scanner's drawn hearts meets another hospital.

    python -m tests.benchmarks.adaptation --work FOLDER

draws 800 hearts of one scanner and 1,300 of a hospital with another scanner, more noise and other
readers, trains a small convolutional network on the first, adapts it to 50, 200 and 1,000 of the
second, and measures it on 300 that no run saw. It takes half an hour on a core; with pairs that are
already drawn (`--start`, `--site`) less.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import torch

from export.adaptation import Adaptation, HeldOutFigures, SiteStudies, adapt, measure_pairs
from export.adaptation_report import write_adaptation
from export.options import starting_point
from export.pairs import Pairs, open_pairs, write_pairs
from export.phantoms import phantom_views
from export.pretrain import LAST, pretrain
from export.recipe import AugmentRecipe, Recipe, TowerRecipe, adapting
from export.watch import ValidationWatch
from triage.findings.loader import load_findings
from triage.imaging.clip import join_views
from triage.model.bundle import ClipForm
from triage.phantom.archive import EXTERNAL_LOOK, draw_examination
from triage.phantom.heart import derive_truth, draw_heart
from triage.phantom.signal import LOOKS
from triage.ports.encoder import Frames
from triage.yaml_models import read

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "triage" / "findings" / "drawn_hearts.yaml"
CLIP = ROOT / "export" / "clips" / "demo.yaml"
FIRST_SEED = 70_000
KNOWN = "siemens"  #: look of the hearts that the network was trained on
START, SITE, TEST = 800, 1000, 300  #: hearts
SIZES = (50, 200, 1000)  #: of the site's, that it is adapted to
SHRINK = 2  #: rows and columns that become one, because the network is to be small
RECIPE = Recipe(
    network="convolutional",
    text=TowerRecipe(width=64, depth=2, heads=2),
    epochs=16,
    batch=32,
    rate=1e-3,
    captions=2,
    augment=AugmentRecipe(drop_views=0.2),
)
#: What is compared, by name: the change of the recipe of `adapt`.
RECIPES: Mapping[str, Recipe | None] = {
    "default": None,
    "text fixed": Recipe(text_frozen=1.0),
    "text never fixed": Recipe(text_frozen=0.0),
}
FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--work", type=FOLDER, required=True, help="Folder for pairs and runs.")
@click.option("--start", type=FOLDER, multiple=True, help="Drawn pairs, of which Siemens trains.")
@click.option("--site", type=FOLDER, multiple=True, help="Drawn pairs of another hospital.")
@click.option("--scanner", default="", help="Of these, only those of this vendor.")
@click.option("--recipe", "names", multiple=True, default=("default",), show_default=True)
def main(
    *,
    work: Path,
    start: tuple[Path, ...],
    site: tuple[Path, ...],
    scanner: str,
    names: tuple[str, ...],
) -> None:
    """Print a table of figures before and after adaptations of several sizes."""
    torch.set_num_threads(1)
    known = _shrunk(work / "known", start, KNOWN) if start else _drawn(work / "known", KNOWN)
    theirs = _shrunk(work / "site", site, scanner) if site else _drawn(work / "site")
    if not (work / "start" / LAST).is_file():
        began = time.perf_counter()
        pretrain(known, RECIPE, work / "start")
        click.echo(f"start: {len(known)} pairs, {time.perf_counter() - began:.0f} s")
    rows = np.arange(len(theirs))
    test = theirs.subset(rows[-min(TEST, len(theirs) // 3) :])
    click.echo(f"| {len(test)} test pairs | loss | R@1 | R@5 | rank | mean AUC | verdict |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    click.echo(_row("start", _measure(work / "start", test), ""))
    for name in names:
        for size in SIZES:
            own = theirs.subset(rows[: min(size, len(theirs) - len(test))])
            run = work / f"{name}-{len(own)}".replace(" ", "-")
            began = time.perf_counter()
            found = _adapt(own, work / "start", run, RECIPES[name])
            told = f"{found.verdict}, epoch {found.best_epoch} of {found.epochs}"
            seconds = f"{time.perf_counter() - began:.0f} s"
            click.echo(_row(f"{name}, {len(own)}", _measure(run, test), f"{told}, {seconds}"))


def _adapt(pairs: Pairs, start: Path, run: Path, changes: Recipe | None) -> Adaptation:
    begun = starting_point(start, None, pairs.form.frames)
    recipe = adapting(RECIPE, changes)
    found = adapt(SiteStudies(pairs, load_findings(FINDINGS)), begun, recipe, run)
    write_adaptation(found, run)
    return found


def _measure(run: Path, test: Pairs) -> HeldOutFigures:
    one = starting_point(run, None, test.form.frames)
    one.tokenizer.enable_padding()
    watch = ValidationWatch(test, load_findings(FINDINGS))
    return measure_pairs(watch, one.network, one.tokenizer, RECIPE.temperature)[1]


def _row(name: str, found: HeldOutFigures, told: str) -> str:
    ranks = found.retrieval["impression to study"]
    auc = np.mean([one.auc for one in found.findings.values()])
    figures = (found.loss, ranks["R@1"], ranks["R@5"], ranks["median rank"], auc)
    return f"| {name} | {' | '.join(f'{figure:.3g}' for figure in figures)} | {told} |"


def _drawn(out: Path, look: str = EXTERNAL_LOOK) -> Pairs:
    """Draw the hearts of a look."""
    if not (out / "pairs.csv").is_file():
        first = FIRST_SEED if look == EXTERNAL_LOOK else FIRST_SEED + SITE + TEST
        count = SITE + TEST if look == EXTERNAL_LOOK else START
        form = read(CLIP, ClipForm)
        drawn = (_draw(seed, look, form) for seed in range(first, first + count))
        write_pairs(out, drawn, count, _small(form))
    return open_pairs(out)


def _draw(seed: int, look: str, form: ClipForm) -> tuple[Frames, dict[str, str]]:
    examined = draw_examination(draw_heart(seed), LOOKS[look], gaps=True)
    labels = {id_: str(int(holds)) for id_, holds in derive_truth(examined.heart).findings.items()}
    row = {"id": f"{seed:08d}", "impression": examined.impression, **labels}
    return _shrink(join_views(phantom_views(examined, form), form)), row


def _shrunk(out: Path, folders: Sequence[Path], scanner: str) -> Pairs:
    """Copy the pairs of a scanner, with smaller frames."""
    if not (out / "pairs.csv").is_file():
        every = [open_pairs(folder) for folder in folders]
        most = sum(map(len, every))
        write_pairs(out, _chosen(every, scanner), most, _small(every[0].form))
    return open_pairs(out)


def _chosen(every: Iterable[Pairs], scanner: str) -> Iterator[tuple[Frames, dict[str, str]]]:
    for pairs in every:
        for place, row in enumerate(pairs.rows):
            if scanner.lower() in row["vendor"].lower():
                kept = {name: value for name, value in row.items() if name != "frames"}
                yield _shrink(pairs.clip(place)), kept


def _small(form: ClipForm) -> ClipForm:
    sides = {"height": form.height // SHRINK, "width": form.width // SHRINK}
    return form.model_copy(update=sides)


def _shrink(clip: Frames) -> Frames:
    """Return the mean of each square of SHRINK x SHRINK pixels of frames (F, H, W)."""
    frames, height, width = clip.shape
    squares = clip.reshape(frames, height // SHRINK, SHRINK, width // SHRINK, SHRINK)
    small: Frames = squares.mean((2, 4)).astype(np.uint8)
    return small


if __name__ == "__main__":
    main()
