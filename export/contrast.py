"""The contrastive loss, and the step of published training: a batch's clips and captions together.

Rule: what a step draws, it draws from the seed and the step's number. Of an impression several
captions may be drawn in a step, each contrasted by itself: what is costly is the clip.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from export.augment import augmented
from export.captions import caption
from export.cmrclip import CmrClip, similarity
from export.embed import embed_frames, embed_texts
from export.pairs import Pairs
from export.recipe import Recipe


@dataclass(frozen=True)
class Learner:
    """What learns, from what, and how."""

    pairs: Pairs
    recipe: Recipe
    network: CmrClip
    tokenizer: Tokenizer
    optimizer: torch.optim.Optimizer

    def learn(self, rows: NDArray[np.int64], step: int, rate: float) -> float:
        """Contrast the clips and captions of `rows` (B) with each other; return the loss."""
        self.dropout(step)
        rng = np.random.default_rng([self.recipe.seed, 1, step])
        said = self.captions(np.tile(rows, self.recipe.captions), rng)
        with self.precision():
            texts = embed_texts(self.network, self.tokenizer, said)
            video = self.clips(rows, rng)
        every = torch.unflatten(texts.float(), 0, (-1, len(rows)))  # (K, B, D)
        losses = [
            info_nce(similarity(text, video.float()), self.recipe.temperature) for text in every
        ]
        return self.follow(torch.stack(losses).mean(), rate)

    def captions(self, rows: NDArray[np.int64], rng: Generator) -> list[str]:
        """Draw a caption of each of the impressions."""
        share = self.recipe.sentences
        return [caption(self.pairs.impressions[row], share, rng) for row in rows]

    def clips(self, rows: NDArray[np.int64], rng: Generator) -> Tensor:
        """Embed clips as the recipe changes them, (B, D)."""
        seen = self.pairs.clips(rows)
        if self.recipe.augment is not None:
            seen = augmented(seen, self.recipe.augment, rng)
        counts, resize = self.pairs.counts[rows], self.pairs.form.preprocessing.resize
        return embed_frames(self.network, seen, counts, resize)

    def precision(self) -> torch.autocast:
        """Return the context in which embedding has the recipe's precision."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def dropout(self, number: int) -> None:
        """Seed the dropout of a step."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + number)

    def follow(self, loss: Tensor, rate: float) -> float:
        """Take a step down the loss; what it does not depend on stays as it is."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()


def info_nce(cosines: Tensor, temperature: float) -> Tensor:
    """Return the symmetric contrastive loss of cosines (B, B) whose pairs lie on the diagonal.

    Oord et al. 2018, arXiv 1807.03748; both directions as in CLIP, arXiv 2103.00020.
    """
    logits = cosines / temperature
    own = torch.arange(len(logits))
    both = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.mT, own)
    return both / 2
