"""Classifiers fitted from a finding's examples, in the embedding space of one bundle.

With few examples: SimpleShot (Wang et al. 2019, arXiv 1911.04623). Embeddings are centred and
L2-normalised; the score compares the distances to the mean of the studies with the finding and to
the mean of those without. With many examples: a logistic regression, as the paper's heads for
diagnoses.

A fit records the digests of its question and of every example, so that it is never used for another
question and its origin is documented. Field names are the stored format; those that only earlier
releases wrote, such as one threshold for any views, are ignored.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from triage.domain.assessment import ScoreKind
from triage.domain.finding import Finding
from triage.model.prompts import mean_cosines
from triage.ports.encoder import Embeddings
from triage.yaml_models import StrictModel

Numbers = NDArray[np.float64]
Vector = tuple[float, ...]  #: (D,), as stored
#: with the finding, and without it, whose studies show the same views; a fit from fewer never flags
FEWEST_PATIENTS = 10


class FewShot(StrictModel):
    """Two class means; the score is the difference of a study's distances to them."""

    way: Literal["few_shot"] = "few_shot"
    centre: Vector  #: subtracted from every embedding
    present: Vector  #: mean of the studies with the finding, centred and L2-normalised
    absent: Vector  #: mean of the studies without it

    def scores(self, embeddings: Embeddings) -> Numbers:
        """Return the scores (n,) of embeddings (n, D), -2 to 2; 0 is undecided."""
        points = centre_embeddings(embeddings, np.array(self.centre))
        far, near = (
            np.linalg.norm(points - np.array(mean), axis=1) for mean in (self.absent, self.present)
        )
        return np.asarray(far - near, np.float64)


class Head(StrictModel):
    """A logistic regression; the score is a probability at its examples' prevalence."""

    way: Literal["head"] = "head"
    weights: Vector
    intercept: float

    def scores(self, embeddings: Embeddings) -> Numbers:
        """Return the probabilities (n,) of embeddings (n, D)."""
        return np.asarray(1 / (1 + np.exp(-(embeddings @ np.array(self.weights) + self.intercept))))


class ScoreSpread(StrictModel):
    """Mean and deviation of a score over past cases."""

    mean: float
    deviation: Annotated[float, Field(gt=0)]

    def standard(self, scores: Numbers) -> Numbers:
        """Return scores as deviations from the mean."""
        return (scores - self.mean) / self.deviation


class ScoreScale(StrictModel):
    """The statistics that bring the scores of examples and of prompts to one scale."""

    examples: ScoreSpread
    prompts: ScoreSpread


class FittedThreshold(StrictModel):
    """The threshold of a fit for studies that show certain views."""

    threshold: float
    spread: Annotated[float, Field(gt=0)]  #: standard deviation of the scores that it was set on


class FittedFinding(StrictModel, extra="ignore"):
    """A finding fitted from examples."""

    finding: str  #: id of the finding
    asked: str  #: digest of the prompts and examples in the findings file (`digest_question`)
    examples: dict[str, str]  #: SHA-256 of each example's vector, by Study UID
    fit: Annotated[FewShot | Head, Field(discriminator="way")]
    beside: ScoreScale | None = None  #: set if the finding has prompts too
    #: for studies that show exactly these views (`ClipForm.name_views`); others are not flagged
    by_views: dict[str, FittedThreshold] = Field(default_factory=dict)

    @property
    def kind(self) -> ScoreKind:
        """Return what the score measures."""
        if self.beside is not None:
            return ScoreKind.STANDARDISED
        return ScoreKind.CLASSIFIER if isinstance(self.fit, Head) else ScoreKind.DISTANCES

    def scores(self, embeddings: Embeddings, prompts: NDArray[np.float32] | None) -> Numbers:
        """Return the scores (n,) of embeddings (n, D); `prompts` (p, D) if the finding has any.

        With prompts, the score is the mean of both scores, each standardised on past cases.
        """
        by_examples = self.fit.scores(embeddings)
        if self.beside is None or prompts is None:
            return by_examples
        by_prompts = self.beside.prompts.standard(mean_cosines(prompts, embeddings))
        return (self.beside.examples.standard(by_examples) + by_prompts) / 2


def centre_embeddings(embeddings: NDArray[np.floating], centre: Numbers) -> Numbers:
    """Return embeddings (n, D) minus a centre (D,), L2-normalised; the centre becomes zero."""
    moved = embeddings - centre
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.maximum(length, 1e-12), np.float64)


def measure_spread(scores: Numbers) -> ScoreSpread:
    """Return mean and deviation of scores."""
    return ScoreSpread(mean=float(scores.mean()), deviation=max(float(scores.std()), 1e-9))


def digest_question(finding: Finding) -> str:
    """Return the digest of a finding's prompts and examples, in hexadecimal."""
    content = {
        "prompts": finding.prompts,
        "examples": finding.examples and asdict(finding.examples),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest_fit(fitted: FittedFinding) -> str:
    """Return the digest of a fit, in hexadecimal."""
    return hashlib.sha256(fitted.model_dump_json().encode()).hexdigest()
