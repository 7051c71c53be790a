"""Turns options of the command line into what the commands work on."""

from dataclasses import replace
from pathlib import Path

import click

from export.adaptation_report import adaptation_of
from export.bundle import published_form
from export.checkpoint import Checkpoint, load_checkpoint, weights_file
from export.cmrclip import AnyVideoSizes, CmrClip
from export.convolutional import ConvolutionalSizes
from export.frames import Resize
from export.pairs import FORM
from export.pretrain import RECIPE, StartingPoint
from export.recipe import Recipe, published
from export.tokenizer import TOKENIZER, VOCABULARY, load_tokenizer
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.findings.loader import load_findings
from triage.model.bundle import MANIFEST, ClipForm, Manifest
from triage.yaml_models import read

FOLDER = click.Path(path_type=Path)


def provenance_of(
    loaded: Checkpoint, checkpoint: Path, trained_on: str | None
) -> dict[str, str | int | float]:
    """Return the origin of the weights, with the recipe if one is beside them."""
    facts = {**loaded.provenance} | ({"trained_on": trained_on} if trained_on else {})
    recipe = weights_file(checkpoint).with_name(RECIPE)
    if not recipe.is_file():
        return facts
    known = read(recipe, Recipe)
    return {
        **facts,
        "seed": known.seed,
        "epochs": known.epochs,
        "recipe": known.model_dump_json(),
        **adaptation_of(recipe.parent),
    }


def starting_point(
    checkpoint: Path, tokenizer: Path | None, frames: int | None = None
) -> StartingPoint:
    """Return the network to begin with.

    Without `tokenizer` the checkpoint's folder must hold one, as that of a run does. Raises
    ConfigurationError for a bundle, whose graphs cannot be trained.
    """
    _refuse_bundle(checkpoint)
    beside = weights_file(checkpoint).parent
    if tokenizer is None and not any((beside / name).is_file() for name in (VOCABULARY, TOKENIZER)):
        raise ConfigurationError(
            f"{beside} holds no tokenizer: name its folder by --tokenizer (Bio_ClinicalBERT for the"
            " published checkpoint)"
        )
    loaded = load_checkpoint(checkpoint, frames)
    text = loaded.network.sizes.text
    read_from = tokenizer or beside
    found = load_tokenizer(read_from, text.vocabulary, text.positions)
    return StartingPoint(loaded.network, found, loaded.sha256)


def _refuse_bundle(folder: Path) -> None:
    if not (folder / MANIFEST).is_file():
        return
    facts = read(folder / MANIFEST, Manifest).provenance
    known = {name: facts[name] for name in ("checkpoint", "checkpoint_sha256") if name in facts}
    origin = ", ".join(f"{name} {value}" for name, value in known.items()) or "not stated"
    raise ConfigurationError(
        f"{folder} is a bundle: it holds ONNX graphs, whose weights cannot be trained. Name the run"
        f" or the checkpoint that it was exported from (its manifest: {origin})"
    )


def recipe_beside(checkpoint: Path, network: CmrClip) -> Recipe:
    """Return the recipe of a checkpoint: recipe.json beside it, or the published one."""
    stated = weights_file(checkpoint).with_name(RECIPE)
    if stated.is_file():
        return read(stated, Recipe)
    if isinstance(network.sizes.video, ConvolutionalSizes):
        return Recipe(network="convolutional")
    return published()


def refuse_other_form(checkpoint: Path, form: ClipForm) -> None:
    """Raise ConfigurationError if the checkpoint states a clip form other than that of pairs."""
    stated = weights_file(checkpoint).with_name(FORM)
    if stated.is_file() and read(stated, ClipForm) != form:
        raise ConfigurationError(
            f"the pairs are of another clip than the network: make them with --clip {stated}"
        )


def clip_form_of(checkpoint: Path, sizes: AnyVideoSizes, resize: Resize | None) -> ClipForm:
    """Return the clip form of a checkpoint: clip.json beside it, or the published form."""
    stated = weights_file(checkpoint).with_name(FORM)
    if not stated.is_file():
        return published_form(sizes, resize or "published")
    form = read(stated, ClipForm)
    if resize not in (None, form.preprocessing.resize):
        raise ConfigurationError(f"{stated} has resize: {form.preprocessing.resize}")
    return form.model_copy(update={"frames": sizes.frames})


def findings_with_prompts(path: Path | None) -> FindingSet:
    """Return the findings that have prompts; examples are past cases of a site."""
    asked = load_findings(path or Settings().findings)
    return replace(asked, findings=tuple(f for f in asked.findings if f.examples is None))
