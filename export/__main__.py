"""The command line of `python -m export`: options in, calls out."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from export.adaptation import AdaptationVerdict
from export.adapting import adapt_command
from export.bundle import BundleModel, Label, write_bundle
from export.checkpoint import load_checkpoint
from export.frames import Resize
from export.measuring import COMMANDS
from export.options import (
    FOLDER,
    clip_form_of,
    findings_with_prompts,
    provenance_of,
    starting_point,
)
from export.pairs import open_pairs
from export.phantoms import write_phantoms
from export.pretrain import MODEL, replace_video_tower
from export.pretrain import pretrain as train
from export.recipe import Recipe
from export.studies import Reports, read_reports, write_studies
from export.terminal import describe_sizes, print_message, progress_bar
from export.tokenizer import load_tokenizer
from export.untrained import untrained_like, untrained_model
from export.watch import ValidationWatch
from triage.cases.keys import load_secret
from triage.domain.errors import ConfigurationError
from triage.model.bundle import MANIFEST, ClipForm, open_bundle
from triage.model.signature import sign_manifest
from triage.yaml_models import read

CLIPS = Path(__file__).parent / "clips"
CLIP = click.option(
    "--clip",
    type=FOLDER,
    default=CLIPS / "published.yaml",
    help=f"YAML file that states how the pixels of a study become frames. {CLIPS} has two:"
    " published.yaml and demo.yaml.  [default: published.yaml]",
)

INTENDED_USE = (
    "Research use only; not a medical device. Ranks cardiac MRI studies for a"
    " radiologist, who reads every study."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Make model bundles for the triage worker.

    A bundle is one folder: video.onnx, text.onnx, tokenizer.json and manifest.json. Set
    `model.bundle` of the worker to it. These commands need torch; the worker does not.
    """


@cli.command(no_args_is_help=True)
@click.argument("bundle", type=FOLDER)
@click.option(
    "--key",
    type=FOLDER,
    required=True,
    help="PEM file of an Ed25519 key, as `openssl genpkey -algorithm ed25519` makes it, readable by"
    " its owner alone.",
)
def sign(bundle: Path, key: Path) -> None:
    """Sign a bundle, so that workers with the public key in `model.trusted_keys` start it.

    Verifies the bundle, writes manifest.sig into it, and prints the public key. Sign again after
    each command that changes the bundle, such as `calibrate`.

    \b
    Examples:
      openssl genpkey -algorithm ed25519 -out site.key && chmod 600 site.key
      python -m export sign bundle/ --key site.key
    """  # noqa: D301 - as above
    open_bundle(bundle)
    public = sign_manifest(bundle, (bundle / MANIFEST).read_bytes(), key)
    click.echo(f"model.trusted_keys: [{public}]")


@cli.command(no_args_is_help=True)
@click.option(
    "--checkpoint",
    type=FOLDER,
    required=True,
    help="Folder with pytorch_model.bin (as on the hub) or one .pth (as the trainer writes), or"
    " the file itself. A sizes.json beside it may give the head counts.",
)
@click.option(
    "--tokenizer",
    type=FOLDER,
    required=True,
    help="Folder with vocab.txt or tokenizer.json of the text tower, and its"
    " tokenizer_config.json if there is one: its do_lower_case decides the case rule.",
)
@click.option("--out", type=FOLDER, required=True, help="Folder to write the bundle to.")
@click.option(
    "--resize",
    type=click.Choice(["published", "none"]),
    help="Resampling inside the graph: 224-256-224 as the published model was trained, or none."
    "  [default: clip.json beside the checkpoint, else published]",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Frames that the graph takes at most. Default: config.json's num_frames, else the"
    " checkpoint's. Temporal positions are cut, or filled up with zeros.",
)
@click.option("--name", default="cmr-clip", show_default=True, help="Name in the manifest.")
@click.option(
    "--bundle-version",
    help="Version in the manifest. Default: the start of the checkpoint's SHA-256.",
)
@click.option("--intended-use", default=INTENDED_USE, help="Intended use in the manifest.")
@click.option(
    "--synthetic-only",
    is_flag=True,
    help="State in the manifest that patients are excluded: only synthetic studies are flagged.",
)
@click.option("--trained-on", help="Training data, for the manifest.")
@click.option(
    "--untrained",
    is_flag=True,
    help="Mark the weights as untrained in the manifest: every flag is Not Evaluated.",
)
@click.option("--force", is_flag=True, help="Replace the bundle at --out, calibration included.")
def onnx(  # noqa: PLR0913 - one argument for each option
    *,
    checkpoint: Path,
    tokenizer: Path,
    out: Path,
    resize: Resize | None,
    frames: int | None,
    name: str,
    bundle_version: str | None,
    intended_use: str,
    synthetic_only: bool,
    trained_on: str | None,
    untrained: bool,
    force: bool,
) -> None:
    """Export a CMR-CLIP checkpoint as a bundle.

    The published checkpoint (makiyeah/CMRCLIP) comes without a tokenizer; its text tower is
    Bio_ClinicalBERT, which has vocab.txt in its own folder.

    \b
    Examples:
      python -m export onnx --checkpoint CMRCLIP/ --tokenizer Bio_ClinicalBERT/ --out bundle/
      python -m export onnx --checkpoint run7/best.pth --tokenizer vocab/ --out bundle/ \\
          --resize none --name our-hearts --bundle-version 2

    Replacing a bundle removes its calibration.json: thresholds are valid for one model alone.
    """  # noqa: D301 - click takes the character \b for "keep these lines"
    loaded = load_checkpoint(checkpoint, frames)
    print_message(f"read {loaded.file}: {describe_sizes(loaded.network.sizes)}")
    text = loaded.network.sizes.text
    provenance = provenance_of(loaded, checkpoint, trained_on)
    if provenance.get("adaptation", AdaptationVerdict.HELPED) != AdaptationVerdict.HELPED:
        print_message("warning: this adaptation did not help; its adapt.md says why")
    model = BundleModel(
        network=loaded.network,
        tokenizer=load_tokenizer(tokenizer, text.vocabulary, text.positions),
        form=clip_form_of(checkpoint, loaded.network.sizes.video, resize),
        label=Label(
            name=name,
            version=bundle_version or loaded.sha256[:12],
            trained=not untrained,
            intended_use=intended_use,
            provenance=provenance,
            synthetic_only=synthetic_only,
        ),
    )
    rule = "lower case" if model.tokenizer.normalizer.lowercase else "cased"
    print_message(f"read tokenizer: {model.tokenizer.get_vocab_size()} pieces, {rule}")
    write_bundle(model, out, force=force, say=print_message)


@cli.command(no_args_is_help=True)
@click.option("--out", type=FOLDER, required=True, help="Folder to write the bundle to.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws other weights.")
@click.option(
    "--like", type=FOLDER, help="Checkpoint folder to take sizes, tokenizer and clip from."
)
@click.option("--force", is_flag=True, help="Replace the bundle at --out.")
def untrained(*, out: Path, seed: int, like: Path | None, force: bool) -> None:
    """Make an untrained bundle: the one included with the worker, or one of the sizes of another.

    Its weights are random: the manifest states this, and every flag is Not Evaluated. With --like
    it shows by how much the embedding of a trained bundle is better than random features.

    \b
    Examples:
      python -m export untrained --out triage/model/bundles/untrained --force
      python -m export untrained --out nothing/ --like run/
    """  # noqa: D301 - as above
    if like is None:
        model = untrained_model(seed)
    else:
        sizes = load_checkpoint(like).network.sizes
        text = load_tokenizer(like, sizes.text.vocabulary, sizes.text.positions)
        model = untrained_like(sizes, text, clip_form_of(like, sizes.video, None), seed)
    write_bundle(model, out, force=force, say=print_message)


@cli.command("pairs", no_args_is_help=True)
@click.option("--studies", type=FOLDER, required=True, help="Folder with one folder a study.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write the pairs to.")
@click.option(
    "--reports",
    type=FOLDER,
    help="CSV with the columns study and impression, and perhaps patient: a key of each patient, if"
    " the Patient ID of the images is removed or replaced.",
)
@click.option(
    "--secret",
    type=FOLDER,
    help="Folder that keeps the secret of the pseudonyms in the column patient, made if it is"
    " missing, so that later pairs have the same.  [default: a secret that is not kept]",
)
@CLIP
def make_pairs(
    *, studies: Path, out: Path, reports: Path | None, secret: Path | None, clip: Path
) -> None:
    """Make pairs for training and evaluation: studies as the worker sees them, with impressions.

    Each study folder holds DICOM files, and impression.txt unless --reports names a table. Labels
    of a truth.json become columns. The column patient has the same pseudonym for all studies of a
    patient; it is computed with a secret from the Patient ID, which does not enter the pairs.

    \b
    Examples:
      triage phantom --out archive --count 1000
      python -m export pairs --studies archive --out pairs --clip export/clips/demo.yaml
      python -m export pairs --studies ours --reports ours.csv --out site --clip run/clip.json \\
          --secret secret/
    """  # noqa: D301 - as above
    known = read_reports(reports) if reports else Reports()
    if secret is not None:
        secret.mkdir(parents=True, exist_ok=True)
        known = replace(known, secret=load_secret(secret, 0))
    with progress_bar("pairing") as bar:
        total = sum(path.is_dir() for path in studies.iterdir()) if studies.is_dir() else 0
        task = bar.add_task("pairing", total=total, loss="")

        def done(key: str, problem: str) -> None:
            bar.advance(task)
            if problem:
                bar.console.print(f"left out {key}: {problem}", markup=False)

        count = write_studies(studies, out, read(clip, ClipForm), known, done)
    print_message(f"wrote {count} pairs to {out}")


@cli.command(no_args_is_help=True)
@click.option("--out", type=FOLDER, required=True, help="Folder to write the pairs to.")
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, help="Seed of the first heart.")
@click.option(
    "--external", is_flag=True, help="Draw scanner, noise and readers of another hospital."
)
@click.option(
    "--phases",
    type=click.IntRange(min=3),
    help="Phases of each cine; fewer are drawn faster. Default: those of the drawn scanner.",
)
@click.option("--workers", type=click.IntRange(min=1), default=os.cpu_count(), help="Processes.")
@CLIP
def phantoms(  # noqa: PLR0913 - one argument for each option
    *,
    out: Path,
    count: int,
    first: int,
    external: bool,
    phases: int | None,
    workers: int,
    clip: Path,
) -> None:
    """Make pairs of drawn hearts: the same as through DICOM files, and faster.

    \b
    Examples:
      python -m export phantoms --out train --count 5000 --clip export/clips/demo.yaml
      python -m export phantoms --out other --count 500 --first 40000 --external
    """  # noqa: D301 - as above
    with progress_bar("drawing hearts") as bar:
        task = bar.add_task("drawing", total=count, loss="")
        write_phantoms(
            out,
            range(first, first + count),
            read(clip, ClipForm),
            external=external,
            phases=phases,
            workers=workers,
            done=lambda: bar.advance(task),
        )
    print_message(f"wrote {count} pairs to {out}")


@cli.command(no_args_is_help=True)
@click.option("--pairs", type=FOLDER, required=True, help="Folder with frames.npy and pairs.csv.")
@click.option(
    "--out", type=FOLDER, required=True, help="Folder of the run; an interrupted run resumes."
)
@click.option("--recipe", type=FOLDER, help="YAML file with what differs from the defaults.")
@click.option("--watch", type=FOLDER, help="Labelled pairs to measure after each epoch.")
@click.option(
    "--start",
    type=FOLDER,
    help="Checkpoint to begin with, as for `onnx`: the published one, for a site of its own.",
)
@click.option(
    "--tokenizer",
    type=FOLDER,
    help="Folder of the tokenizer of --start or --start-text.  [default: that folder itself]",
)
@click.option(
    "--start-text",
    type=FOLDER,
    help="Run or checkpoint whose text tower and tokenizer to begin with, beside a fresh video"
    " tower; `text_frozen: 1` in the recipe keeps them as they are.",
)
@click.option(
    "--network",
    type=click.Choice(["published", "convolutional"]),
    help="Video tower of a fresh network: the published transformer, or small convolutions for each"
    " view, which learn from few drawn hearts what holds for real ones.  [default: the recipe's]",
)
def pretrain(  # noqa: PLR0913 - one argument for each option
    *,
    pairs: Path,
    out: Path,
    recipe: Path | None,
    watch: Path | None,
    start: Path | None,
    tokenizer: Path | None,
    start_text: Path | None,
    network: Literal["published", "convolutional"] | None,
) -> None:
    """Train a model from clips and impressions, without a label.

    A stopped run resumes where it was, to the same weights. At its end the folder of the run has
    model.pth and all that `onnx` needs to make a bundle; training.png shows the curves.

    \b
    Examples:
      python -m export pretrain --pairs pairs/ --out run/
      python -m export pretrain --pairs pairs/ --out run/ --network convolutional
      python -m export pretrain --pairs ours/ --out run/ --start CMRCLIP/ \\
          --tokenizer Bio_ClinicalBERT/ --recipe gentle.yaml
      python -m export pretrain --pairs pairs/ --out run/ --start-text older_run/
      python -m export onnx --checkpoint run/ --tokenizer run/ --out bundle/

    \b
    A recipe names what differs, e.g.
      epochs: 40
      video: {width: 192, depth: 6, heads: 6}
    """  # noqa: D301 - as above
    chosen = Recipe() if recipe is None else read(recipe, Recipe)
    if network is not None:
        chosen = chosen.model_copy(update={"network": network})
    if start is not None and start_text is not None:
        raise ConfigurationError("--start and --start-text exclude each other: name one of them")
    found = open_pairs(pairs)
    begun = None if start is None else starting_point(start, tokenizer, found.form.frames)
    if start_text is not None:
        begun = replace_video_tower(starting_point(start_text, tokenizer), found, chosen)
    print_message(
        f"{len(found)} pairs of {found.frames.shape[1]} frames, {found.frames.shape[2]} pixels wide"
    )
    with progress_bar("training") as bar:
        task = bar.add_task("training", total=None, loss="")
        train(
            found,
            chosen,
            out,
            lambda at: bar.update(
                task,
                completed=at.step,
                total=at.steps,
                loss=f"epoch {at.epoch + 1}, loss {at.loss:.3f}",
            ),
            start=begun,
            watch=ValidationWatch(open_pairs(watch), findings_with_prompts(None))
            if watch
            else None,
        )
    print_message(f"wrote {out / MODEL}")


for command in (adapt_command, *COMMANDS):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors in files and options go to stderr, with exit code 2."""
    try:
        cli(prog_name="python -m export")
    except ConfigurationError as error:
        print_message(f"error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
