"""The recipe of a training run: all its parameters besides the pairs.

A recipe and its pairs give the same weights every time. The defaults are for two cores, and
`demo_run/recipe.yaml` states what the demo bundle has otherwise; `published` is the published
training, and `adapting` turns a recipe into one that adapts its network to a site.
"""

from typing import Annotated, Literal, Self

from pydantic import Field

from triage.yaml_models import StrictModel

Channels = Annotated[int, Field(ge=8, multiple_of=8)]


class TowerRecipe(StrictModel):
    """The sizes of one tower."""

    width: int = 128
    depth: int = 4
    heads: int = 4


class ConvolutionalRecipe(StrictModel):
    """The sizes of a convolutional video tower."""

    #: of each stage, multiples of 8; together 5.7 MB for six views of 96 pixels
    channels: tuple[Channels, ...] = Field(default=(16, 32, 64, 88), min_length=1)
    width: int = Field(default=128, ge=1)


class AugmentRecipe(StrictModel):
    """How the clips of a step differ from those on disk; drawn anew for each clip and step."""

    shift: float = Field(default=0.04, ge=0, lt=0.5)  #: of the frames' side, at most, each way
    contrast: float = Field(default=0.25, ge=0, lt=1)  #: brighter or darker by at most this share
    noise: float = Field(default=0.08, ge=0)  #: deviation at most, as a share of white
    turn: float = Field(default=0.0, ge=0, le=180)  #: of a view in its plane, degrees each way
    #: larger or smaller by at most e to this; sizes are what some findings hang on
    stretch: float = Field(default=0.0, ge=0, lt=0.5)
    warp: float = Field(default=0.0, ge=0, lt=0.1)  #: smooth bends of a view, of its side at most
    #: how much later or earlier the phases of a cine come, as a share of the cycle
    pace: float = Field(default=0.0, ge=0, lt=0.3)
    #: share of the cines whose phases are mixed of end diastole and end systole alone, as where few
    #: phases were acquired or the heart beat irregularly
    two_phases: float = Field(default=0.0, ge=0, le=1)
    texture: float = Field(default=0.0, ge=0, lt=1)  #: fine brightness of tissue, at most
    #: exponent of the intensity curve: between e to the minus this and e to this
    curve: float = Field(default=0.0, ge=0, le=2)
    #: brightness that changes smoothly over a view, by at most this share, as near a coil
    shading: float = Field(default=0.0, ge=0, lt=1)
    #: how much of what lies beyond a circle about the middle becomes random clutter, at most
    surroundings: float = Field(default=0.0, ge=0, le=1)
    #: share of the views that are left out, never all, so that any subset of views is known
    drop_views: float = Field(default=0.0, ge=0, lt=1)
    #: share of all steps in which these changes grow from nothing, with the square of the steps:
    #: strong ones early on delay what a fresh network learns first
    growth: float = Field(default=0.0, ge=0, le=1)

    def grown(self, share: float) -> Self:
        """Return the changes after a share of all steps."""
        if share >= self.growth:
            return self
        reached = (share / self.growth) ** 2
        return self.model_copy(update={name: reached * getattr(self, name) for name in CHANGES})


#: Fields of `AugmentRecipe` that grow.
CHANGES = tuple(name for name in AugmentRecipe.model_fields if name != "growth")


class StoppingRecipe(StrictModel):
    """When a run ends early: the contrastive loss of held-out pairs decides, and no label."""

    #: share of the patients that `adapt` holds out; `pretrain` measures those of --watch
    held_out: float = Field(default=0.2, gt=0, lt=1)
    patience: int = Field(default=5, ge=1)  #: epochs without a lower loss


class Recipe(StrictModel):
    """All parameters of a training run."""

    #: published: the space-time transformer, of which `patch` and `video` are the sizes
    network: Literal["published", "convolutional"] = "published"
    convolutional: ConvolutionalRecipe = ConvolutionalRecipe()
    patch: int = 24
    video: TowerRecipe = TowerRecipe(heads=2)
    text: TowerRecipe = TowerRecipe(depth=2)
    tokens: int = 160  #: of an impression at most
    lower_case: bool = True
    embedding: int = 128
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=48, ge=2)
    rate: float = Field(default=6e-4, gt=0)
    weight_decay: float = 1e-5
    warm_up: float = Field(default=0.1, ge=0, lt=1)  #: share of all steps
    temperature: float = Field(default=0.05, gt=0)
    #: share of captions that are some sentences instead of the whole impression; 0 as published
    sentences: float = Field(default=0.8, ge=0, le=1)
    #: captions drawn of each impression in a step; a text costs far less than a clip
    captions: int = Field(default=4, ge=1)
    #: captions of every impression, embedded once an epoch, that a clip is contrasted with instead
    #: of those of the batch; 0 as published (see `export.bank`)
    bank: int = Field(default=0, ge=0)
    #: share of the epochs, from the first on, without the bank: captions embedded by a fresh text
    #: tower say nothing yet
    bank_after: float = Field(default=0.0, ge=0, le=1)
    #: weight of the loss of the clips by each view alone, beside that by all their views, because a
    #: study may have one view only; for convolutional networks
    views_alone: float = Field(default=0.0, ge=0)
    readings: int = Field(default=2, ge=1)  #: of all impressions after an epoch, with a bank
    augment: AugmentRecipe | None = AugmentRecipe()
    #: share of the epochs, from the first on, in which the text tower is fixed; 1: in all
    text_frozen: float = Field(default=0.0, ge=0, le=1)
    #: rate of the text tower as a share of `rate`
    text_rate: float = Field(default=1.0, gt=0, le=1)
    stopping: StoppingRecipe | None = None  #: None: train all epochs and keep the last
    #: bf16: matrix products in half the width where the machine has it; weights stay fp32
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0

    @property
    def bankless_epochs(self) -> int:
        """Number of the first epochs without the bank."""
        return round(self.bank_after * self.epochs)

    @property
    def frozen_epochs(self) -> int:
        """Number of the first epochs in which the text tower is fixed."""
        return round(self.text_frozen * self.epochs)


def published() -> Recipe:
    """Return the published training at full size; it needs four large GPUs."""
    base = TowerRecipe(width=768, depth=12, heads=12)
    return Recipe(
        patch=16,
        video=base,
        text=base,
        tokens=512,
        lower_case=False,
        embedding=512,
        epochs=100,
        rate=3e-5,
        sentences=0,
        captions=1,
        augment=None,
    )


def adapting(base: Recipe, changes: Recipe | None = None) -> Recipe:
    """Return the recipe that adapts a network of `base` to a site.

    `changes` replaces what it states itself. Few pairs are contrasted with all impressions, because
    a batch would show each clip only a few of them.
    """
    stated = {} if changes is None else {k: getattr(changes, k) for k in changes.model_fields_set}
    usual = {
        "epochs": 30,
        "batch": 16,
        "rate": min(base.rate, 3e-4 if base.network == "convolutional" else 1e-4),
        "bank": 4,
        "augment": (base.augment or AugmentRecipe()).model_copy(update={"growth": 0.0}),
        "text_frozen": 0.6,
        "text_rate": 0.3,
        "stopping": StoppingRecipe(),
    }
    return base.model_copy(update=usual | stated)
