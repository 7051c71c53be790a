"""From embeddings to answers.

A flag needs a trained model, a view that shows the finding, and a question with a threshold. If one
of them is missing, the answer is Not Evaluated, with the reason. Absent needs a rule-out threshold.
"""

from collections.abc import Collection

from triage.domain.assessment import Answer, Flag, Presence
from triage.domain.finding import Finding
from triage.model.bundle import Bundle
from triage.model.questions import Question
from triage.ports.encoder import Embedding


def answer_finding(
    finding: Finding, question: Question, bundle: Bundle, views: Collection[str], clip: Embedding
) -> Answer:
    """Return the answer for one finding.

    `views` are the view slots that the study filled, `clip` (D,) is its embedding, L2-normalised.
    """
    seen = tuple(view for view in finding.views if view in views)
    score = float(question.scores(clip[None])[0]) if seen and question.scores else None
    threshold = question.threshold
    why_not = _explain_not_evaluated(finding, question, bundle, seen)
    if why_not or score is None or threshold is None:
        return Answer(
            finding, score, threshold, Flag.NOT_EVALUATED, Presence.NOT_EVALUATED, why_not, seen
        )
    flag, presence, reason = _decide(question, score, threshold)
    return Answer(finding, score, threshold, flag, presence, reason, seen, fitted=question.fitted)


def _explain_not_evaluated(
    finding: Finding, question: Question, bundle: Bundle, seen: tuple[str, ...]
) -> str:
    """Return why a finding cannot be evaluated; empty if it can."""
    if not bundle.manifest.trained:
        return "model is untrained"
    if not seen:
        return f"the study shows none of the views {', '.join(finding.views)}"
    return question.why_not


def _decide(question: Question, score: float, threshold: float) -> tuple[Flag, Presence, str]:
    rule_out = question.rule_out
    likeness = "similarity to example studies, " if question.fitted else ""
    compared = f"{likeness}score {score:.3f}, threshold {threshold:.3f}"
    if score > threshold:
        return Flag.YES, Presence.PRESENT, f"above the threshold ({compared})"
    if rule_out is not None and score < rule_out:
        reason = f"below the rule-out threshold {rule_out:.3f} ({compared})"
        return Flag.NO, Presence.ABSENT, reason
    return Flag.NO, Presence.UNDETERMINED, f"not above the threshold ({compared})"
