"""Contrastive training from clips and impressions, without a label, as CMR-CLIP was trained.

Symmetric InfoNCE on cosine similarity with a fixed temperature, AdamW, linear warm-up, then a
cosine to zero; with a bank (`export.bank`) against all impressions instead of those of a batch. A
run is determined by its recipe and its pairs: the order of each epoch and the captions,
augmentation and dropout of each step follow from the seed and the step number, so a killed run
resumes to the same weights.

A recipe with `stopping` keeps the epoch with the lowest loss on watched pairs, and ends after some
epochs without a lower one; if the text tower has been fixed until then, it is trained first, from
the best weights so far.

    run/
      last.state    the state to resume from; replaced atomically
      model.pth     the weights after the last epoch, or the best one, as the published trainer
                    writes them, with sizes.json beside
      log.csv       epoch, step, loss, learning rate, seconds
      watch.csv     epoch, contrastive loss and the AUC of each finding on the watched pairs
      training.png  both as curves
      vocab.txt     the tokenizer's pieces, with tokenizer_config.json for the case rule
      clip.json     how the frames were made
      recipe.json   the recipe of the run
"""

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from export.bank import Bank
from export.captions import vocabulary_of
from export.cmrclip import (
    AnyVideoSizes,
    CmrClip,
    NetworkSizes,
    TextSizes,
    VideoSizes,
    VideoTower,
)
from export.contrast import Learner
from export.convolutional import ConvolutionalSizes
from export.curves import draw_training
from export.pairs import Pairs, slot_lengths, write_form
from export.recipe import Recipe
from export.tokenizer import CONFIG, VOCABULARY, bert_tokenizer
from export.watch import WATCH, ValidationWatch
from triage.domain.errors import ConfigurationError

LAST = "last.state"
MODEL = "model.pth"
SIZES = "sizes.json"
LOG = "log.csv"
RECIPE = "recipe.json"
PICTURE = "training.png"
WRAPPER = "module."  #: before the name of each tensor of a trainer's file
COLUMNS = ("epoch", "step", "loss", "rate", "seconds")


@dataclass(frozen=True)
class TrainingProgress:
    """The progress of a run."""

    epoch: int
    step: int  #: over all epochs
    steps: int  #: in all
    loss: float
    watched: float | None = None  #: lowest loss of an epoch on watched pairs, if that decides


@dataclass
class BestEpoch:
    """The epoch with the lowest loss on watched pairs so far."""

    loss: float = math.inf
    epoch: int = -1
    waited: int = 0  #: epochs since then


@dataclass(frozen=True)
class StartingPoint:
    """A trained network to begin with, e.g. the published one at a site of its own."""

    network: CmrClip
    tokenizer: Tokenizer
    sha256: str = ""  #: of the file with the weights


def pretrain(  # noqa: PLR0913 - the inputs of a run, and a callback
    pairs: Pairs,
    recipe: Recipe,
    run: Path,
    done: Callable[[TrainingProgress], None] = lambda _: None,
    *,
    start: StartingPoint | None = None,
    watch: ValidationWatch | None = None,
) -> CmrClip:
    """Train on `pairs` in the folder `run`, resuming from its last.state if there is one.

    `done` is called after every step. `start` replaces a fresh network, and its sizes those of the
    recipe. `watch` measures after each epoch; it changes nothing unless the recipe has `stopping`.
    Returns the network of model.pth.
    """
    if recipe.stopping is not None and watch is None:
        raise ConfigurationError(
            "the recipe has `stopping`, which needs pairs: name them by --watch"
        )
    if len(pairs) < recipe.batch:
        raise ConfigurationError(
            f"{len(pairs)} pairs are fewer than a batch of {recipe.batch}: bring more, or set batch"
        )
    run.mkdir(parents=True, exist_ok=True)
    training = _Training(pairs, recipe, start)
    training.resume(run / LAST)
    _cut(run / LOG, "step", training.step)
    _cut(run / WATCH, "epoch", training.step // training.per_epoch)
    with (run / LOG).open("a", encoding="utf-8", newline="") as file:
        log = csv.writer(file)
        if file.tell() == 0:
            log.writerow(COLUMNS)
        for progress, rate, seconds in training.run():
            line = (progress.epoch, progress.step, progress.loss, rate, round(seconds, 3))
            log.writerow(line)
            file.flush()
            done(progress)
            if progress.step % training.per_epoch == 0:
                _end_epoch(training, watch, progress.epoch, run)
    if recipe.stopping is not None:
        training.load_best(run)
    return training.network.eval()


def _end_epoch(training: "_Training", watch: ValidationWatch | None, epoch: int, run: Path) -> None:
    """Measure, and write what is to be kept; the state comes last, so that nothing is skipped."""
    recipe, loss = training.recipe, None
    if watch is not None:
        network, tokenizer = training.network, training.tokenizer
        loss = watch.measure_epoch(network, tokenizer, epoch, run, recipe.temperature)
    if recipe.stopping is None:
        _write_checkpoint(training, run)
    elif loss is not None:
        if training.is_best(loss, epoch):
            _write_checkpoint(training, run)
        if training.best.waited >= recipe.stopping.patience:
            training.stop(epoch, run)
    training.keep(run / LAST)
    draw_training(run / LOG, run / WATCH, run / PICTURE)


class _Training:
    """The state of a run in memory."""

    def __init__(self, pairs: Pairs, recipe: Recipe, start: StartingPoint | None) -> None:
        self.pairs = pairs
        self.recipe = recipe
        self.start = "" if start is None else start.sha256
        if start is None:
            vocabulary = vocabulary_of(pairs.impressions, lower_case=recipe.lower_case)
            self.tokenizer = bert_tokenizer(vocabulary, recipe.tokens, lower_case=recipe.lower_case)
            self.network = fresh_network(_sizes(pairs, recipe, len(vocabulary)), recipe.seed)
        else:
            self.tokenizer, self.network = start.tokenizer, start.network.requires_grad_()
            _refuse_other_frames(pairs, self.network.sizes.video)
        if recipe.views_alone and isinstance(self.network.sizes.video, VideoSizes):
            raise ConfigurationError(
                "`views_alone` needs a convolutional network: leave it out, or set `network`"
            )
        self.tokenizer.enable_padding()
        self.video = (self.network.video_model, self.network.vid_proj)
        self.text = (self.network.text_model, self.network.txt_proj)
        groups = [
            {"params": [one for part in parts for one in part.parameters()], "share": share}
            for parts, share in ((self.video, 1.0), (self.text, recipe.text_rate))
        ]
        self.optimizer = torch.optim.AdamW(groups, recipe.rate, weight_decay=recipe.weight_decay)
        self.learner = Learner(pairs, recipe, self.network, self.tokenizer, self.optimizer)
        self.bank = Bank(self.learner) if recipe.bank else None
        self.per_epoch, self.steps = self.learner.per_epoch, self.learner.steps
        self.step = 0
        self.best = BestEpoch()

    def run(self) -> Iterator[tuple[TrainingProgress, float, float]]:
        """Train to the end, a step at a time."""
        while self.step < self.steps:
            epoch, place = divmod(self.step, self.per_epoch)
            began = time.perf_counter()
            rate = self._rate()
            loss = self._learn(self._batch(epoch, place), epoch, rate)
            self.step += 1
            best = self.best.loss if self.best.epoch >= 0 else None
            progress = TrainingProgress(epoch, self.step, self.steps, loss, best)
            yield progress, rate, time.perf_counter() - began

    def keep(self, last: Path) -> None:
        """Write everything to go on from, in one piece."""
        aside = last.with_suffix(".part")
        state = {
            **self._origin(),
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": asdict(self.best),
        }
        torch.save(state, aside)
        aside.replace(last)

    def resume(self, last: Path) -> None:
        """Go on from `last` if it is there; refuse one of another recipe."""
        if not last.is_file():
            return
        state = torch.load(last, weights_only=True)
        other = [name for name, value in self._origin().items() if state.get(name) != value]
        if other:
            raise ConfigurationError(
                f"{last} is of another {other[0]}: name another folder, or remove it to begin anew"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.best = BestEpoch(**state["best"])

    def is_best(self, loss: float, epoch: int) -> bool:
        """Return whether no epoch before had as low a loss on watched pairs; count if one had.

        Raises ConfigurationError if the loss is no number.
        """
        if not math.isfinite(loss):
            raise ConfigurationError(
                f"the loss on the watched pairs is {loss} after epoch {epoch + 1}: lower the rate"
            )
        if loss < self.best.loss:
            self.best = BestEpoch(loss, epoch)
            return True
        self.best.waited += 1
        return False

    def stop(self, epoch: int, run: Path) -> None:
        """End the run, or begin to train a text tower that was fixed, from the best weights."""
        if self._is_text_frozen(epoch) and self.recipe.frozen_epochs < self.recipe.epochs:
            self.load_best(run)
            self.best.waited = 0
            self.step = self.recipe.frozen_epochs * self.per_epoch
        else:
            self.step = self.steps

    def load_best(self, run: Path) -> None:
        """Load the weights of model.pth."""
        weights = torch.load(run / MODEL, weights_only=True)["state_dict"]
        self.network.load_state_dict({k.removeprefix(WRAPPER): v for k, v in weights.items()})

    def _is_text_frozen(self, epoch: int) -> bool:
        return epoch < self.recipe.frozen_epochs

    def _open_epoch(self, epoch: int) -> None:
        """Fix or release the text tower; a fixed one gives the same caption without dropout."""
        frozen = self._is_text_frozen(epoch)
        self.network.train()
        for part in self.text:
            part.requires_grad_(not frozen).train(not frozen)
        if bank := self._bank(epoch):
            bank.open(epoch)

    def _origin(self) -> dict[str, str]:
        """Return all that determines the weights, so that only the same run is resumed."""
        ids = "\n".join(row["id"] for row in self.pairs.rows)
        return {
            "recipe": self.recipe.model_dump_json(),
            "table of pairs": hashlib.sha256(ids.encode()).hexdigest(),
            "start": self.start,
        }

    def _batch(self, epoch: int, place: int) -> NDArray[np.int64]:
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.pairs))
        return order[place * self.recipe.batch : (place + 1) * self.recipe.batch]

    def _learn(self, rows: NDArray[np.int64], epoch: int, rate: float) -> float:
        if self.step % self.per_epoch == 0:
            self._open_epoch(epoch)
        bank = self._bank(epoch)
        if bank is None:
            return self.learner.learn(rows, self.step, rate)
        loss = bank.learn(rows, self.step, rate)
        if (self.step + 1) % self.per_epoch == 0 and not self._is_text_frozen(epoch):
            bank.close(epoch, rate)
        return loss

    def _bank(self, epoch: int) -> Bank | None:
        return self.bank if epoch >= self.recipe.bankless_epochs else None

    def _rate(self) -> float:
        warm = self.recipe.warm_up * self.steps
        if self.step < warm:
            return self.recipe.rate * (self.step + 1) / warm
        share = (self.step - warm) / max(1.0, self.steps - warm)
        return self.recipe.rate * 0.5 * (1 + math.cos(math.pi * share))


def replace_video_tower(start: StartingPoint, pairs: Pairs, recipe: Recipe) -> StartingPoint:
    """Return a network with the trained text tower of `start` and a fresh video tower.

    A fresh text tower tells readers apart long before hearts, so that a convolutional tower beside
    it stays at chance for hundreds of steps; a trained one leads it within a few epochs.
    """
    trained = start.network
    sizes = replace(trained.sizes, video=_video_sizes(pairs, recipe))
    network = fresh_network(sizes, recipe.seed)
    network.text_model, network.txt_proj = trained.text_model, trained.txt_proj
    return StartingPoint(network, start.tokenizer, f"text of {start.sha256}")


def fresh_network(sizes: NetworkSizes, seed: int) -> CmrClip:
    """Return a network to train from scratch; time starts out as nothing, as published."""
    torch.manual_seed(seed)
    network = CmrClip(sizes)
    tower = network.video_model
    if isinstance(tower, VideoTower):
        for table in (tower.cls_token, tower.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
    return network


def _sizes(pairs: Pairs, recipe: Recipe, vocabulary: int) -> NetworkSizes:
    text = recipe.text
    return NetworkSizes(
        video=_video_sizes(pairs, recipe),
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


def _video_sizes(pairs: Pairs, recipe: Recipe) -> AnyVideoSizes:
    _, frames, height, width = pairs.frames.shape
    if recipe.network == "convolutional":
        slots = slot_lengths(pairs.form)
        if height != width or not slots:
            raise ConfigurationError(
                "a convolutional network needs square frames, and a clip whose slots have a stated"
                " length each and are black if a view is missing, as export/clips/demo.yaml"
            )
        made = recipe.convolutional
        return ConvolutionalSizes(height, slots, made.channels, made.width)
    if height != width or height % recipe.patch:
        raise ConfigurationError(
            f"frames of {height} x {width} cannot be cut into patches of {recipe.patch}"
        )
    video = recipe.video
    return VideoSizes(
        image=height,
        patch=recipe.patch,
        width=video.width,
        depth=video.depth,
        heads=video.heads,
        hidden=4 * video.width,
        frames=frames,
    )


def _refuse_other_frames(pairs: Pairs, sizes: AnyVideoSizes) -> None:
    if isinstance(sizes, ConvolutionalSizes) and slot_lengths(pairs.form) != sizes.slots:
        raise ConfigurationError(
            f"the checkpoint takes views of {', '.join(map(str, sizes.slots))} frames and these"
            " pairs have others: make pairs with the clip.json beside the checkpoint"
        )
    _, frames, height, width = pairs.frames.shape
    if (height, width) != (sizes.image, sizes.image) or frames > sizes.frames:
        raise ConfigurationError(
            f"the checkpoint takes up to {sizes.frames} frames of {sizes.image} x {sizes.image},"
            f" these pairs have {frames} of {height} x {width}: make pairs of its form"
        )


def _cut(path: Path, column: str, before: int) -> None:
    """Take out of a log what a killed run did after it was last kept: it is done again."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if int(row[column]) < before + (column == "step")]
    with path.open("w", encoding="utf-8", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(kept)


def _write_checkpoint(training: _Training, run: Path) -> None:
    """Write the weights as the published trainer does, so that `onnx` exports them as any other."""
    network = training.network
    weights = {f"{WRAPPER}{name}": value for name, value in network.state_dict().items()}
    aside = (run / MODEL).with_suffix(".part")
    torch.save({"state_dict": weights}, aside)
    aside.replace(run / MODEL)
    video, text = network.sizes.video, network.sizes.text
    unseen = {  # what no tensor shows
        "video": {"num_heads": video.heads}
        if isinstance(video, VideoSizes)
        else {"image": video.image},
        "text": {"num_attention_heads": text.heads},
    }
    (run / SIZES).write_text(json.dumps(unseen, indent=1) + "\n", encoding="utf-8")
    _write_tokenizer(training.tokenizer, run)
    (run / RECIPE).write_text(training.recipe.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_form(training.pairs.form, run)


def _write_tokenizer(tokenizer: Tokenizer, run: Path) -> None:
    rows = tokenizer.get_vocab()
    pieces = "\n".join(sorted(rows, key=rows.__getitem__))
    (run / VOCABULARY).write_text(pieces + "\n", encoding="utf-8")
    case = {"do_lower_case": tokenizer.normalizer.lowercase}
    (run / CONFIG).write_text(json.dumps(case) + "\n", encoding="utf-8")
