"""Contrast with every report instead of a batch's, one tower at a time.

A batch has few reports that differ in rare or small findings, such as a slightly wide aorta.
Therefore the clips of an epoch are contrasted with captions of all impressions, which the current
text tower embeds once (a memory bank: Wu et al. 2018, arXiv 1805.01978). Afterwards the text tower
learns the impressions against the embeddings that the clips had in that epoch (a locked image
tower: Zhai et al. 2022, arXiv 2111.07991). On two cores this takes less time than training both
towers together, because the captions are half the cost of a step.

No state is kept beyond an epoch, so a run that is resumed after an epoch reaches the same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.contrast import Learner
from export.embed import embed_texts

TEXTS = 128  #: captions of a text tower's step
CHUNK = 1024  #: captions embedded at once, to spare memory


@dataclass
class Bank:
    """The captions and clips of one epoch, embedded."""

    learner: Learner
    texts: list[Tensor] = field(default_factory=list)  #: (N, D) each, of length 1
    video: dict[int, Tensor] = field(default_factory=dict)  #: by row, (D) of length 1

    def open(self, epoch: int) -> None:
        """Embed as many captions of every impression as the recipe states."""
        learner = self.learner
        rng = np.random.default_rng([learner.recipe.seed, 2, epoch])
        rows = np.arange(len(learner.pairs))
        self.video = {}
        learner.network.eval()
        with torch.no_grad():
            self.texts = [
                torch.cat(
                    [
                        self._texts(learner.captions(part, rng))
                        for part in np.split(rows, range(CHUNK, len(rows), CHUNK))
                    ]
                )
                for _ in range(learner.recipe.bank)
            ]
        learner.network.train()

    def learn(self, rows: NDArray[np.int64], step: int, rate: float) -> float:
        """Contrast the clips of `rows` (B) with all captions, and return the loss."""
        learner = self.learner
        learner.dropout(step)
        with learner.precision():
            rng = np.random.default_rng([learner.recipe.seed, 1, step])
            clips = learner.clips(rows, step, rng)
        whole = functional.normalize(clips.whole.float(), dim=-1)
        self.video.update(zip(rows.tolist(), whole.detach(), strict=True))

        def contrast(places: Tensor, video: Tensor) -> Tensor:
            unit = functional.normalize(video.float(), dim=-1)
            losses = [self._loss(unit, texts, rows[places.numpy()]) for texts in self.texts]
            return torch.stack(losses).mean()

        return learner.follow(clips.loss(contrast, learner.recipe.views_alone), rate)

    def close(self, epoch: int, rate: float) -> None:
        """Let the text tower read the impressions against the clips of the epoch."""
        learner = self.learner
        rows = np.array(sorted(self.video))
        video = torch.stack([self.video[row] for row in rows.tolist()])
        rng = np.random.default_rng([learner.recipe.seed, 3, epoch])
        learner.dropout(-1 - epoch)
        for _ in range(learner.recipe.readings):
            order = rng.permutation(len(rows))
            for places in np.split(order, range(TEXTS, len(order), TEXTS)):
                texts = self._texts(learner.captions(rows[places], rng))
                learner.follow(self._loss(texts, video, places), rate)

    def _texts(self, said: Sequence[str]) -> Tensor:
        learner = self.learner
        with learner.precision():
            texts = embed_texts(learner.network, learner.tokenizer, list(said))
        return functional.normalize(texts.float(), dim=-1)

    def _loss(self, asked: Tensor, known: Tensor, places: NDArray[np.int64]) -> Tensor:
        """Contrast (B, D) with all of (N, D), their own at `places` (B), and those with them."""
        own = torch.from_numpy(places)
        logits = asked @ known.T / self.learner.recipe.temperature  # (B, N)
        back = logits[:, own].T  # (B, B)
        there = functional.cross_entropy(logits, own)
        return (there + functional.cross_entropy(back, torch.arange(len(own)))) / 2
