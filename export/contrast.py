"""The contrastive loss and the published training step: clips and captions of a batch together.

All random draws of a step follow from the seed and the step number. A step may draw several
captions of each impression and contrasts each of them separately, because encoding the clip is what
costs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from export.augment import augment
from export.captions import caption
from export.cmrclip import CmrClip, similarity
from export.embed import embed_frames, embed_texts, embed_views
from export.pairs import Pairs, slot_lengths
from export.recipe import Recipe


@dataclass(frozen=True)
class Clips:
    """The embeddings of a batch of clips."""

    whole: Tensor  #: (B, D)
    #: by each view alone: the places (b) of the clips that show it, and their embeddings (b, D)
    alone: Sequence[tuple[Tensor, Tensor]] = ()

    def loss(self, contrast: Callable[[Tensor, Tensor], Tensor], views_alone: float) -> Tensor:
        """Return the loss of the whole clips, and `views_alone` times the mean of the views'.

        `contrast` returns the loss of embeddings (b, D) of the clips at places (b).
        """
        whole = contrast(torch.arange(len(self.whole)), self.whole)
        # one clip alone has nothing to be told from
        views = [contrast(places, video) for places, video in self.alone if len(places) > 1]
        return whole + views_alone * torch.stack(views).mean() if views else whole


@dataclass(frozen=True)
class Learner:
    """A network in training, with its data, recipe and optimizer.

    A parameter group of the optimizer may have a `share`: its rate is that share of a step's.
    """

    pairs: Pairs
    recipe: Recipe
    network: CmrClip
    tokenizer: Tokenizer
    optimizer: torch.optim.Optimizer

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return len(self.pairs) // self.recipe.batch

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.per_epoch * self.recipe.epochs

    def learn(self, rows: NDArray[np.int64], step: int, rate: float) -> float:
        """Contrast the clips and captions of `rows` (B) with each other; return the loss."""
        self.dropout(step)
        rng = np.random.default_rng([self.recipe.seed, 1, step])
        said = self.captions(np.tile(rows, self.recipe.captions), rng)
        with self.precision():
            texts = embed_texts(self.network, self.tokenizer, said)
            clips = self.clips(rows, step, rng)
        every = torch.unflatten(texts.float(), 0, (-1, len(rows)))  # (K, B, D)

        def contrast(places: Tensor, video: Tensor) -> Tensor:
            cosines = (similarity(text[places], video.float()) for text in every)
            return torch.stack([info_nce(each, self.recipe.temperature) for each in cosines]).mean()

        return self.follow(clips.loss(contrast, self.recipe.views_alone), rate)

    def captions(self, rows: NDArray[np.int64], rng: Generator) -> list[str]:
        """Draw a caption of each of the impressions."""
        share = self.recipe.sentences
        return [caption(self.pairs.impressions[row], share, rng) for row in rows]

    def clips(self, rows: NDArray[np.int64], step: int, rng: Generator) -> Clips:
        """Embed clips as the recipe changes them at a step."""
        seen = self.pairs.clips(rows)
        if self.recipe.augment is not None:
            how = self.recipe.augment.grown(step / self.steps)
            form = self.pairs.form
            seen = augment(seen, how, rng, form.layout if slot_lengths(form) else ())
        counts, resize = self.pairs.counts[rows], self.pairs.form.preprocessing.resize
        if not self.recipe.views_alone:
            return Clips(embed_frames(self.network, seen, counts, resize))
        return Clips(*embed_views(self.network, seen, counts, resize))

    def precision(self) -> torch.autocast:
        """Return the context in which embedding has the recipe's precision."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def dropout(self, number: int) -> None:
        """Seed the dropout of a step."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + number)

    def follow(self, loss: Tensor, rate: float) -> float:
        """Take one optimizer step; parameters that the loss does not depend on stay unchanged."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()


def info_nce(cosines: Tensor, temperature: float) -> Tensor:
    """Return the symmetric contrastive loss of cosines (B, B) with the pairs on the diagonal.

    Oord et al. 2018, arXiv 1807.03748; both directions as in CLIP, arXiv 2103.00020.
    """
    return pair_losses(cosines, temperature).mean()


def pair_losses(cosines: Tensor, temperature: float) -> Tensor:
    """Return the symmetric contrastive loss of each pair, (B), from cosines (B, B)."""
    logits = cosines / temperature
    there, back = (-one.log_softmax(1).diagonal() for one in (logits, logits.mT))
    return (there + back) / 2
