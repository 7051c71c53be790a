"""Adapts a trained network to the scanners and readers of a site, and measures whether it helped.

`export.pretrain` trains, from the weights to adapt, on the patients that are not held out. The
network before and after is measured on the held-out patients: the contrastive loss and retrieval
need no label, and every finding with labels has its AUC. The loss of the held-out pairs also chose
the epoch, so the figures after are slightly too good; only other studies give an unbiased figure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional

from export.cmrclip import CmrClip
from export.metrics import (
    ScoreMetrics,
    balanced_threshold,
    measure,
    retrieval,
)
from export.pairs import Pairs
from export.patients import split_patients
from export.pretrain import StartingPoint, TrainingProgress, pretrain
from export.recipe import Recipe, StoppingRecipe
from export.vocabulary_fit import VocabularyFit, measure_vocabulary
from export.watch import ValidationWatch, find_best_epoch
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.model.roc import INTERVAL, RESAMPLINGS, Floats

LEAST_PAIRS = 50
SEED = 0  #: of resampling: the same run gives the same figures


class AdaptationVerdict(StrEnum):
    """Whether the adapted network is better on held-out patients."""

    HELPED = "helped"
    UNCLEAR = "unclear"  #: the loss is lower by no more than chance
    NO_BETTER = "no-better"  #: the loss is not lower
    FINDING_LOST = "finding-lost"  #: the loss is lower, and a finding is separated worse


@dataclass(frozen=True)
class LossChange:
    """The mean change of the loss of held-out pairs, with its interval over resampled patients."""

    mean: float
    low: float  #: 2.5th percentile
    high: float  #: 97.5th percentile


@dataclass(frozen=True)
class HeldOutFigures:
    """The figures of one network on pairs that it was not trained with."""

    loss: float  #: mean contrastive loss of a pair among all of them
    retrieval: Mapping[str, Mapping[str, float]]  #: direction -> rank measures
    findings: Mapping[str, ScoreMetrics]  #: of those with both kinds of labels


@dataclass(frozen=True)
class SiteStudies:
    """The studies of a site, and the findings to measure where they have labels."""

    pairs: Pairs
    findings: FindingSet


@dataclass(frozen=True)
class Adaptation:
    """The result of an adaptation."""

    verdict: AdaptationVerdict
    lost: tuple[str, ...]  #: findings whose AUC fell below its interval before
    before: HeldOutFigures
    after: HeldOutFigures
    change: LossChange
    studies: int  #: in the training
    patients: int
    held_out_studies: int
    held_out_patients: int
    best_epoch: int  #: counted from 1
    epochs: int  #: trained
    vocabulary: VocabularyFit
    start: str  #: SHA-256 of the weights that were adapted


def adapt(
    site: SiteStudies,
    start: StartingPoint,
    recipe: Recipe,
    run: Path,
    done: Callable[[TrainingProgress], None] = lambda _: None,
) -> Adaptation:
    """Adapt the network of `start` to a site in the folder `run`, resuming a killed run.

    The network of `start` is changed. The best weights are written to model.pth.
    Raises ConfigurationError for too few pairs or patients, or pairs of another form.
    """
    pairs = site.pairs
    if len(pairs) < LEAST_PAIRS:
        raise ConfigurationError(
            f"{len(pairs)} pairs are too few to adapt a network, which needs at least"
            f" {LEAST_PAIRS}: bring more studies with reports, or keep the bundle as it is and set"
            " its thresholds on your labelled studies with `calibrate`"
        )
    stopping = recipe.stopping or StoppingRecipe()
    training, held_out = split_patients(pairs, stopping.held_out)
    watch = ValidationWatch(held_out, site.findings)
    start.tokenizer.enable_padding()
    vocabulary = measure_vocabulary(pairs.impressions, start.tokenizer)
    losses, before = measure_pairs(watch, start.network, start.tokenizer, recipe.temperature)
    chosen = recipe.model_copy(update={"stopping": stopping})
    network = pretrain(training, chosen, run, done, start=start, watch=watch)
    new_losses, after = measure_pairs(watch, network, start.tokenizer, recipe.temperature)
    change = _mean_change(new_losses - losses, held_out.patients())
    lost = _lost_findings(before, after)
    best, trained = find_best_epoch(run)
    return Adaptation(
        verdict=_decide(change, lost),
        lost=lost,
        before=before,
        after=after,
        change=change,
        studies=len(training),
        patients=len({*training.patients()}),
        held_out_studies=len(held_out),
        held_out_patients=len({*held_out.patients()}),
        best_epoch=best + 1,
        epochs=trained,
        vocabulary=vocabulary,
        start=start.sha256,
    )


def measure_pairs(
    watch: ValidationWatch, network: CmrClip, tokenizer: Tokenizer, temperature: float
) -> tuple[Floats, HeldOutFigures]:
    """Return the loss of each watched pair, (N,), and all figures of a network."""
    embedded = watch.embed(network, tokenizer)
    losses = embedded.losses(temperature).double().numpy()
    studies, texts = (_unit(points) for points in (embedded.studies, embedded.texts))
    rng = np.random.default_rng(SEED)
    found = {}
    for id_, cosines in embedded.scores.items():
        scores, labels = cosines.double().numpy(), watch.pairs.labels(id_)
        if {0.0, 1.0} <= {*labels.tolist()}:
            threshold = balanced_threshold(scores, labels)
            found[id_] = measure(scores, labels, threshold, rng)
    return losses, HeldOutFigures(
        loss=float(losses.mean()),
        retrieval=_retrieve(texts, studies),
        findings={id_: metrics for id_, metrics in found.items() if metrics is not None},
    )


def _retrieve(texts: Floats, studies: Floats) -> dict[str, dict[str, float]]:
    return {
        "impression to study": retrieval(texts, studies),
        "study to impression": retrieval(studies, texts),
    }


def _unit(points: torch.Tensor) -> Floats:
    unit: Floats = functional.normalize(points.double(), dim=-1).numpy()
    return unit


def _mean_change(differences: Floats, patients: tuple[str, ...]) -> LossChange:
    """Return the mean of differences (N,) with its interval over resampled patients."""
    _, groups = np.unique(patients, return_inverse=True)
    sums, counts = np.bincount(groups, differences), np.bincount(groups)
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLINGS)
    low, high = np.percentile((drawn @ sums) / (drawn @ counts), INTERVAL)
    return LossChange(float(differences.mean()), float(low), float(high))


def _lost_findings(before: HeldOutFigures, after: HeldOutFigures) -> tuple[str, ...]:
    return tuple(
        id_ for id_, metrics in before.findings.items() if after.findings[id_].auc < metrics.auc_low
    )


def _decide(change: LossChange, lost: tuple[str, ...]) -> AdaptationVerdict:
    if change.mean >= 0:
        return AdaptationVerdict.NO_BETTER
    if change.high >= 0:
        return AdaptationVerdict.UNCLEAR
    return AdaptationVerdict.FINDING_LOST if lost else AdaptationVerdict.HELPED
