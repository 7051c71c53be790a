"""Turns options of the command line into what the commands work on."""

from dataclasses import replace
from pathlib import Path

import click

from export.bundle import published_form
from export.checkpoint import Checkpoint, load_checkpoint, weights_file
from export.cmrclip import AnyVideoSizes
from export.frames import Resize
from export.pairs import FORM
from export.pretrain import RECIPE, StartingPoint
from export.recipe import Recipe
from export.tokenizer import load_tokenizer
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.findings.loader import load_findings
from triage.model.bundle import ClipForm
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
    return {**facts, "seed": known.seed, "epochs": known.epochs, "recipe": known.model_dump_json()}


def starting_point(
    checkpoint: Path | None, tokenizer: Path | None, frames: int
) -> StartingPoint | None:
    """Return the network to begin with, or None; raise ConfigurationError without tokenizer."""
    if checkpoint is None:
        return None
    if tokenizer is None:
        raise ConfigurationError("--start needs --tokenizer, the tokenizer of that checkpoint")
    network = load_checkpoint(checkpoint, frames).network
    text = network.sizes.text
    return StartingPoint(network, load_tokenizer(tokenizer, text.vocabulary, text.positions))


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
