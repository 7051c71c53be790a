"""Contrastive training from clips and impressions, without a label, as CMR-CLIP was trained.

Symmetric InfoNCE on cosine similarity with a fixed temperature, AdamW, linear warm-up, then a
cosine to zero. Rule: a run is decided by its recipe and its pairs. The order of each epoch and the
dropout of each step are drawn from the seed and the step's number, so a run that was killed goes
on as if nothing had happened, to the same weights.

    run/
      last.state  everything to go on from; replaced in one piece
      model.pth   the trained weights in the published trainer's form, with sizes.json beside
      log.csv     epoch, step, loss, learning rate, seconds
      vocab.txt   the tokenizer's pieces
"""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from export.cmrclip import CmrClip, NetworkSizes, TextSizes, VideoSizes, similarity
from export.frames import normalised
from export.pairs import Pairs
from export.tokenizer import bert_tokenizer
from export.untrained import report_vocabulary
from triage.documents import Strict
from triage.domain.errors import ConfigurationError

LAST = "last.state"
MODEL = "model.pth"
SIZES = "sizes.json"
LOG = "log.csv"
VOCABULARY = "vocab.txt"
COLUMNS = ("epoch", "step", "loss", "rate", "seconds")


class Tower(Strict):
    """The sizes of one tower."""

    width: int = 128
    depth: int = 4
    heads: int = 4


class Recipe(Strict):
    """Everything that decides a training run. The defaults are the demo's; see `published`."""

    patch: int = 16
    video: Tower = Tower()
    text: Tower = Tower(depth=2)
    tokens: int = 128  #: of an impression at most
    embedding: int = 128
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=64, ge=2)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = 1e-5
    warm_up: float = Field(default=0.1, ge=0, lt=1)  #: share of all steps
    temperature: float = Field(default=0.05, gt=0)
    seed: int = 0


def published() -> Recipe:
    """Return the published training at full size; it needs four large GPUs."""
    base = Tower(width=768, depth=12, heads=12)
    return Recipe(video=base, text=base, tokens=512, embedding=512, epochs=100, rate=3e-5)


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    epoch: int
    step: int  #: over all epochs
    steps: int  #: in all
    loss: float


def pretrain(
    pairs: Pairs, recipe: Recipe, run: Path, done: Callable[[Progress], None] = lambda _: None
) -> CmrClip:
    """Train on `pairs` in the folder `run`, going on from its last.state if there is one.

    `done` is told after every step. Returns the trained network, which also lies in model.pth.
    """
    if len(pairs) < recipe.batch:
        raise ConfigurationError(
            f"{len(pairs)} pairs are fewer than a batch of {recipe.batch}: bring more, or set batch"
        )
    run.mkdir(parents=True, exist_ok=True)
    training = _Training(pairs, recipe)
    training.resume(run / LAST)
    _cut_log(run / LOG, training.step)
    with (run / LOG).open("a", encoding="utf-8", newline="") as file:
        log = csv.writer(file)
        if file.tell() == 0:
            log.writerow(COLUMNS)
        for progress, rate, seconds in training.run(run / LAST):
            line = (progress.epoch, progress.step, progress.loss, rate, round(seconds, 3))
            log.writerow(line)
            done(progress)
    _finish(training, run)
    return training.network


class _Training:
    """The moving parts of a run."""

    def __init__(self, pairs: Pairs, recipe: Recipe) -> None:
        self.pairs = pairs
        self.recipe = recipe
        vocabulary = report_vocabulary()
        self.pieces = [*vocabulary]
        self.tokenizer = bert_tokenizer(vocabulary, recipe.tokens, lower_case=False)
        self.tokenizer.enable_padding()
        self.network = fresh_network(_sizes(pairs, recipe, len(vocabulary)), recipe.seed).train()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), recipe.rate, weight_decay=recipe.weight_decay
        )
        self.per_epoch = len(pairs) // recipe.batch
        self.steps = self.per_epoch * recipe.epochs
        self.step = 0

    def run(self, last: Path) -> Iterator[tuple[Progress, float, float]]:
        """Train to the end; keep what is needed to go on after every epoch."""
        while self.step < self.steps:
            epoch, place = divmod(self.step, self.per_epoch)
            began = time.perf_counter()
            rate = self._rate()
            loss = self._learn(self._batch(epoch, place), rate)
            self.step += 1
            if self.step % self.per_epoch == 0:
                self.keep(last)
            progress = Progress(epoch, self.step, self.steps, loss)
            yield progress, rate, time.perf_counter() - began

    def keep(self, last: Path) -> None:
        """Write everything to go on from, in one piece."""
        aside = last.with_suffix(".part")
        state = {
            "recipe": self.recipe.model_dump_json(),
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, aside)
        aside.replace(last)

    def resume(self, last: Path) -> None:
        """Go on from `last` if it is there; refuse one of another recipe."""
        if not last.is_file():
            return
        state = torch.load(last, weights_only=True)
        if state["recipe"] != self.recipe.model_dump_json():
            raise ConfigurationError(
                f"{last} is of another recipe: name another folder, or remove it to begin anew"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _batch(self, epoch: int, place: int) -> NDArray[np.int64]:
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.pairs))
        return order[place * self.recipe.batch : (place + 1) * self.recipe.batch]

    def _learn(self, rows: NDArray[np.int64], rate: float) -> float:
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)  # dropout
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = info_nce(self._similarity(rows), self.recipe.temperature)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

    def _similarity(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the cosines (B, B) of a batch's impressions with its clips."""
        video = clips(self.pairs, rows)
        encoded = self.tokenizer.encode_batch([self.pairs.impressions[row] for row in rows])
        ids = torch.tensor([each.ids for each in encoded])  # (B, L)
        mask = torch.tensor([each.attention_mask for each in encoded])  # (B, L)
        return similarity(self.network.embed_text(ids, mask), self.network.embed_video(video))

    def _rate(self) -> float:
        warm = self.recipe.warm_up * self.steps
        if self.step < warm:
            return self.recipe.rate * (self.step + 1) / warm
        share = (self.step - warm) / max(1.0, self.steps - warm)
        return self.recipe.rate * 0.5 * (1 + math.cos(math.pi * share))


def fresh_network(sizes: NetworkSizes, seed: int) -> CmrClip:
    """Return a network to train from scratch; time starts out as nothing, as published."""
    torch.manual_seed(seed)
    network = CmrClip(sizes)
    for table in (network.video_model.cls_token, network.video_model.pos_embed):
        nn.init.trunc_normal_(table, std=0.02)
    return network


def info_nce(cosines: Tensor, temperature: float) -> Tensor:
    """Return the symmetric contrastive loss of cosines (B, B) whose pairs lie on the diagonal.

    Oord et al. 2018, arXiv 1807.03748; both directions as in CLIP, arXiv 2103.00020.
    """
    logits = cosines / temperature
    own = torch.arange(len(logits))
    both = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.mT, own)
    return both / 2


def clips(pairs: Pairs, rows: NDArray[np.int64]) -> Tensor:
    """Return the clips of some rows as the video tower takes them, (B, F, 3, H, W)."""
    frames = torch.from_numpy(pairs.frames[np.sort(rows)][np.argsort(np.argsort(rows))])
    counts = torch.from_numpy(pairs.counts[rows])
    return normalised(frames, counts, frames.shape[1], "none")


def _sizes(pairs: Pairs, recipe: Recipe, vocabulary: int) -> NetworkSizes:
    _, frames, height, width = pairs.frames.shape
    if height != width or height % recipe.patch:
        raise ConfigurationError(
            f"frames of {height} x {width} cannot be cut into patches of {recipe.patch}"
        )
    video, text = recipe.video, recipe.text
    return NetworkSizes(
        video=VideoSizes(
            image=height,
            patch=recipe.patch,
            width=video.width,
            depth=video.depth,
            heads=video.heads,
            hidden=4 * video.width,
            frames=frames,
        ),
        text=TextSizes(
            vocabulary=vocabulary,
            width=text.width,
            depth=text.depth,
            heads=text.heads,
            hidden=4 * text.width,
            positions=recipe.tokens,
        ),
        embedding=recipe.embedding,
    )


def _cut_log(path: Path, step: int) -> None:
    """Take out of the log what a killed run did after it was last kept: it is done again."""
    if path.is_file():
        header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if int(line.split(",")[1]) <= step]
        path.write_text("".join([header, *kept]), encoding="utf-8")


def _finish(training: _Training, run: Path) -> None:
    """Write the weights as the published trainer does, so that `onnx` exports them as any other."""
    network = training.network.eval()
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, run / MODEL)
    sizes = {part: values for part, values in asdict(network.sizes).items() if part != "embedding"}
    heads = {part: {"num_heads": sizes[part]["heads"]} for part in sizes}
    heads["text"] = {"num_attention_heads": sizes["text"]["heads"]}
    (run / SIZES).write_text(json.dumps(heads, indent=1) + "\n", encoding="utf-8")
    (run / VOCABULARY).write_text("\n".join(training.pieces) + "\n", encoding="utf-8")
