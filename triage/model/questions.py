"""How each finding is asked of a bundle: by its prompts, or by what was fitted from its examples.

Rule: a threshold holds for one bundle and exactly the words, or the examples, it was made with. A
question that has none says why, in words for the radiologist and for who mends it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from triage.domain.finding import Finding, FindingSet
from triage.model.bundle import Bundle
from triage.model.fitted import Fitted, digest_fit, digest_question
from triage.model.prompts import PromptEmbeddings, mean_cosines
from triage.ports.encoder import Embeddings

ScoreFunction = Callable[[Embeddings], NDArray[np.float64]]  #: of embeddings (n, D), (n,)
Questions = Mapping[str, "Question"]  #: by finding's id


@dataclass(frozen=True)
class Question:
    """One finding, as a bundle is asked for it."""

    scores: ScoreFunction | None  #: None where nothing can be computed
    threshold: float | None
    rule_out: float | None = None  #: a score below it rules the finding out; None: nothing does
    why_not: str = ""  #: why nothing can be flagged
    fitted: str = ""  #: digest of what was fitted from examples, in hexadecimal


def build_questions(
    findings: FindingSet,
    bundle: Bundle,
    prompts: PromptEmbeddings,
    fitted: Mapping[str, Fitted],
) -> Questions:
    """Return the question of each finding; `fitted` is by finding's id, of this bundle."""
    return {
        finding.id: _by_prompts(finding, bundle, prompts[finding.id])
        if finding.examples is None
        else _by_examples(finding, prompts.get(finding.id), fitted.get(finding.id))
        for finding in findings.findings
    }


def _by_prompts(finding: Finding, bundle: Bundle, prompts: NDArray[np.float32]) -> Question:
    known = bundle.calibration.findings.get(finding.id) if bundle.calibration else None
    scores = partial(mean_cosines, prompts)
    if known is None or {*known.prompts} != {*finding.prompts}:
        why_not = "no threshold is calibrated for this model and these prompts"
        return Question(scores, None, why_not=why_not)
    return Question(scores, known.threshold, known.rule_out)


def _by_examples(
    finding: Finding, prompts: NDArray[np.float32] | None, fitted: Fitted | None
) -> Question:
    if fitted is None or fitted.asked != digest_question(finding):
        return Question(
            None, None, why_not="not yet fitted from its examples (triage findings fit)"
        )
    scores = partial(fitted.scores, prompts=prompts)
    return Question(scores, fitted.threshold, fitted=digest_fit(fitted))
