"""The score function and threshold of each finding: from its prompts, or fitted from its examples.

A threshold is valid for one bundle and exactly the prompts, or the examples, it was made with. A
question without a valid threshold carries the reason, for radiologists and administrators.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from triage.domain.finding import Finding, FindingSet
from triage.model.bundle import Bundle
from triage.model.fitted import FittedFinding, digest_fit, digest_question
from triage.model.prompts import PromptEmbeddings, mean_cosines
from triage.ports.encoder import Embeddings

ScoreFunction = Callable[[Embeddings], NDArray[np.float64]]  #: from embeddings (n, D) to (n,)
Questions = Mapping[str, "Question"]  #: by finding id


@dataclass(frozen=True)
class Question:
    """How one bundle evaluates one finding."""

    scores: ScoreFunction | None  #: None if no score can be computed
    threshold: float | None  #: None if no finding can be flagged
    rule_out: float | None = None  #: a lower score rules the finding out; None: no score does
    why_not: str = ""  #: why there is no threshold
    fitted: str = ""  #: digest of what was fitted from examples, in hexadecimal


def build_questions(
    findings: FindingSet,
    bundle: Bundle,
    prompts: PromptEmbeddings,
    fitted: Mapping[str, FittedFinding],
) -> Questions:
    """Return the question of each finding; `fitted` is by finding id, for this bundle."""
    return {
        finding.id: _question_by_prompts(finding, bundle, prompts[finding.id])
        if finding.examples is None
        else _question_by_examples(finding, prompts.get(finding.id), fitted.get(finding.id))
        for finding in findings.findings
    }


def _question_by_prompts(
    finding: Finding, bundle: Bundle, prompts: NDArray[np.float32]
) -> Question:
    calibrated = bundle.calibration.findings.get(finding.id) if bundle.calibration else None
    scores = partial(mean_cosines, prompts)
    if calibrated is None or {*calibrated.prompts} != {*finding.prompts}:
        why_not = "no threshold is calibrated for this model and these prompts"
        return Question(scores, None, why_not=why_not)
    return Question(scores, calibrated.threshold, calibrated.rule_out)


def _question_by_examples(
    finding: Finding, prompts: NDArray[np.float32] | None, fitted: FittedFinding | None
) -> Question:
    if fitted is None or fitted.asked != digest_question(finding):
        why_not = "not yet fitted from its examples; run `triage findings fit`"
        return Question(None, None, why_not=why_not)
    scores = partial(fitted.scores, prompts=prompts)
    return Question(scores, fitted.threshold, fitted=digest_fit(fitted))
