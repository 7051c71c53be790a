"""From embeddings to answers.

Rule: a flag needs a trained model, a view that shows the finding, and a question with a
threshold; where one is missing the answer is Not Evaluated, with the reason. Absent needs a
rule-out threshold.
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
    scored = float(question.scores(clip[None])[0]) if seen and question.scores else None
    at = question.threshold
    why_not = _why_not(finding, question, bundle, seen)
    if why_not or scored is None or at is None:
        return Answer(
            finding, scored, at, Flag.NOT_EVALUATED, Presence.NOT_EVALUATED, why_not, seen
        )
    flag, presence, reason = _decide(question, scored, at)
    return Answer(finding, scored, at, flag, presence, reason, seen, fitted=question.fitted)


def _why_not(finding: Finding, question: Question, bundle: Bundle, seen: tuple[str, ...]) -> str:
    if not bundle.manifest.trained:
        return "model is untrained"
    if not seen:
        return f"the study shows none of the views {', '.join(finding.views)}"
    return question.why_not


def _decide(question: Question, scored: float, at: float) -> tuple[Flag, Presence, str]:
    rule_out = question.rule_out
    likeness = "likeness to example studies, " if question.fitted else ""
    compared = f"{likeness}score {scored:.3f}, threshold {at:.3f}"
    if scored > at:
        return Flag.YES, Presence.PRESENT, f"above the threshold ({compared})"
    if rule_out is not None and scored < rule_out:
        ruled = f"below the rule-out threshold {rule_out:.3f} ({compared})"
        return Flag.NO, Presence.ABSENT, ruled
    return Flag.NO, Presence.UNDETERMINED, f"not above the threshold ({compared})"
