"""From embeddings to answers.

Score: cosine similarity, mean over a finding's prompts (CMR-CLIP). Rule: a flag needs a trained
model, a view that shows the finding, and a threshold calibrated for exactly these prompts; where
one is missing the answer is Not Evaluated, with the reason. Absent needs a rule-out threshold.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from triage.domain.assessment import Answer, Flag, Presence
from triage.domain.finding import Finding
from triage.model.bundle import Bundle, Threshold
from triage.ports import Embedding


def score(clip: Embedding, prompts: NDArray[np.float32]) -> float:
    """Return the mean cosine similarity of a clip (D,) to prompts (n, D), both L2-normalised."""
    return float(np.mean(prompts @ clip))


def answer(
    finding: Finding,
    bundle: Bundle,
    views: Collection[str],
    clip: Embedding,
    prompts: NDArray[np.float32],
) -> Answer:
    """Return the answer for one finding; `views` are the view slots that the study filled."""
    seen = tuple(view for view in finding.views if view in views)
    scored = score(clip, prompts) if seen else None
    threshold = _threshold(finding, bundle)
    at = threshold.threshold if threshold else None
    why_not = _why_not(finding, bundle, seen, threshold)
    if why_not or scored is None or threshold is None:
        return Answer(
            finding, scored, at, Flag.NOT_EVALUATED, Presence.NOT_EVALUATED, why_not, seen
        )
    flag, presence, reason = _decide(scored, threshold)
    return Answer(finding, scored, at, flag, presence, reason, seen)


def _threshold(finding: Finding, bundle: Bundle) -> Threshold | None:
    if bundle.calibration is None:
        return None
    threshold = bundle.calibration.findings.get(finding.id)
    if threshold is None or set(threshold.prompts) != set(finding.prompts):
        return None
    return threshold


def _why_not(
    finding: Finding, bundle: Bundle, seen: tuple[str, ...], threshold: Threshold | None
) -> str:
    if not bundle.manifest.trained:
        return "model is untrained"
    if not seen:
        return f"the study shows none of the views {', '.join(finding.views)}"
    if threshold is None:
        return "no threshold is calibrated for this model and these prompts"
    return ""


def _decide(scored: float, threshold: Threshold) -> tuple[Flag, Presence, str]:
    compared = f"score {scored:.3f}, threshold {threshold.threshold:.3f}"
    if scored > threshold.threshold:
        return Flag.YES, Presence.PRESENT, f"above the threshold ({compared})"
    if threshold.rule_out is not None and scored < threshold.rule_out:
        ruled = f"below the rule-out threshold {threshold.rule_out:.3f} ({compared})"
        return Flag.NO, Presence.ABSENT, ruled
    return Flag.NO, Presence.UNDETERMINED, f"not above the threshold ({compared})"
