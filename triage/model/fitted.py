"""What was fitted from a finding's examples, in the embedding of one bundle.

Few examples: SimpleShot (Wang et al. 2019, arXiv 1911.04623). Embeddings are centred and
L2-normalised, and a study is nearer to the mean of those that have the finding or to the mean of
those that have not. Many: a logistic regression, as the paper's heads for diagnoses.

Rule: it names the bundle, the question and every example by digest, so that it is never used for
another, and what it was made from can be told.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from triage.domain.finding import Finding
from triage.model.prompts import mean_cosines
from triage.ports.encoder import Embeddings
from triage.yaml_models import StrictModel

Numbers = NDArray[np.float64]
Vector = tuple[float, ...]  #: (D,)


class FewShot(StrictModel):
    """Two class means; the score is by how much a study is nearer to those that have it."""

    way: Literal["few_shot"] = "few_shot"
    centre: Vector  #: what embeddings are centred by
    present: Vector  #: mean of those that have the finding, centred and L2-normalised
    absent: Vector  #: of those that have not

    def scores(self, embeddings: Embeddings) -> Numbers:
        """Return the scores (n,) of embeddings (n, D); 0 lies in the middle, 2 is the most."""
        points = centre_embeddings(embeddings, np.array(self.centre))
        far, near = (
            np.linalg.norm(points - np.array(mean), axis=1) for mean in (self.absent, self.present)
        )
        return np.asarray(far - near, np.float64)


class Head(StrictModel):
    """A logistic regression; the score is its probability, of its own examples' frequency."""

    way: Literal["head"] = "head"
    weights: Vector
    intercept: float

    def scores(self, embeddings: Embeddings) -> Numbers:
        """Return the probabilities (n,) of embeddings (n, D)."""
        return np.asarray(1 / (1 + np.exp(-(embeddings @ np.array(self.weights) + self.intercept))))


class ScoreSpread(StrictModel):
    """How a score spreads over past cases."""

    mean: float
    deviation: Annotated[float, Field(gt=0)]

    def standard(self, scores: Numbers) -> Numbers:
        """Return scores in deviations from the mean."""
        return (scores - self.mean) / self.deviation


class ScoreScale(StrictModel):
    """What brings the scores of examples and of prompts to one scale."""

    examples: ScoreSpread
    prompts: ScoreSpread


class Fitted(StrictModel):
    """A finding fitted from examples."""

    finding: str  #: its id
    asked: str  #: digest of the prompts and examples that the file names; see `digest_question`
    examples: dict[str, str]  #: SHA-256 of each example's vector, by Study UID
    fit: Annotated[FewShot | Head, Field(discriminator="way")]
    beside: ScoreScale | None = None  #: where the finding has prompts too
    threshold: float

    def scores(self, embeddings: Embeddings, prompts: NDArray[np.float32] | None) -> Numbers:
        """Return the scores (n,) of embeddings (n, D); `prompts` (p, D) if the finding has some.

        With prompts, the mean of both in deviations among past cases.
        """
        by_examples = self.fit.scores(embeddings)
        if self.beside is None or prompts is None:
            return by_examples
        by_prompts = self.beside.prompts.standard(mean_cosines(prompts, embeddings))
        return (self.beside.examples.standard(by_examples) + by_prompts) / 2


def centre_embeddings(embeddings: NDArray[np.floating], centre: Numbers) -> Numbers:
    """Return embeddings (n, D) less a centre (D,), L2-normalised; the centre itself stays zero."""
    moved = embeddings - centre
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.maximum(length, 1e-12), np.float64)


def digest_question(finding: Finding) -> str:
    """Return the digest of how a finding is asked, in hexadecimal: its prompts and examples."""
    said = {"prompts": finding.prompts, "examples": finding.examples and asdict(finding.examples)}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def digest_fit(fitted: Fitted) -> str:
    """Return the digest of all that was fitted, in hexadecimal."""
    return hashlib.sha256(fitted.model_dump_json().encode()).hexdigest()
