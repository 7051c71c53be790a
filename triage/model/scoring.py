"""From embeddings to answers.

A flag needs a trained model, a view that shows the finding, and a question that may flag. If one of
them is missing, the answer is Not Evaluated, with the reason. A flag is not a finding: Present
needs a rule-in score, Absent a rule-out score, and without them the finding is Undetermined.
"""

from collections.abc import Collection
from dataclasses import replace

from triage.domain.assessment import Answer, Flag, Presence, describe_examples
from triage.domain.finding import Finding
from triage.domain.reasons import Reason, ReasonCode, because
from triage.model.bundle import Bundle, DecisiveScore
from triage.model.questions import Question
from triage.ports.encoder import Embedding


def answer_finding(
    finding: Finding, question: Question, bundle: Bundle, views: Collection[str], clip: Embedding
) -> Answer:
    """Return the answer for one finding.

    `views` are the view slots that the study filled, `clip` (D,) is its embedding, L2-normalised.
    """
    question = question.for_views(bundle.manifest.clip.name_views(views))
    seen = tuple(view for view in finding.views if view in views)
    score = float(question.scores(clip[None])[0]) if seen and question.scores else None
    answer = Answer(
        finding=finding,
        score=score,
        threshold=question.threshold,
        flag=Flag.NOT_EVALUATED,
        presence=Presence.NOT_EVALUATED,
        reason="",
        views=seen,
        fitted=question.fitted,
        kind=question.kind,
        examples=question.examples,
        spread=question.spread,
        performance=question.performance,
        target=question.target,
    )
    why_not = _explain_not_evaluated(finding, question, bundle, seen)
    return silence(answer, why_not) if why_not is not None else _decide(question, answer)


def silence(answer: Answer, why_not: Reason) -> Answer:
    """Return an answer as Not Evaluated, with the reason; its score stays for hospital IT."""
    return replace(
        answer,
        flag=Flag.NOT_EVALUATED,
        presence=Presence.NOT_EVALUATED,
        reason=str(why_not),
        why_not=why_not.code,
    )


def _explain_not_evaluated(
    finding: Finding, question: Question, bundle: Bundle, seen: tuple[str, ...]
) -> Reason | None:
    """Return why a finding cannot be evaluated; None if it can."""
    if not bundle.manifest.trained:
        return because(ReasonCode.MODEL_UNTRAINED)
    if not seen:
        return because(ReasonCode.VIEWS_NOT_SHOWN, views=", ".join(finding.views))
    return question.why_not


def _decide(question: Question, answer: Answer) -> Answer:
    """Return the answer with its flag and presence; it has a score and a threshold."""
    score, threshold = answer.score, answer.threshold
    if score is None or threshold is None:
        raise ValueError(f"{answer.finding.id}: a question that may flag has score and threshold")
    compared = f"score {score:.3f}, threshold {threshold:.3f}"
    if answer.fitted:
        compared += f", fitted from {describe_examples(answer.examples)}"
    if answer.target is not None:
        compared += f", {answer.target.origin}"
    flag = Flag.YES if score > threshold else Flag.NO
    presence, decisive = _decide_presence(question, score)
    side = "above" if flag is Flag.YES else "not above"
    decided = replace(answer, flag=flag, presence=presence)
    near = ", but near it" if decided.is_near_miss else ""
    return replace(decided, reason=f"{side} the threshold ({compared}){near}{decisive}")


def _decide_presence(question: Question, score: float) -> tuple[Presence, str]:
    """Return the statement about the finding itself, and the figures that justify it."""
    rule_in, rule_out = question.rule_in, question.rule_out
    if rule_in is not None and score > rule_in.score:
        return Presence.PRESENT, _justify("above the rule-in", "positive", rule_in)
    if rule_out is not None and score < rule_out.score:
        return Presence.ABSENT, _justify("below the rule-out", "negative", rule_out)
    return Presence.UNDETERMINED, ""


def _justify(side: str, sign: str, by: DecisiveScore) -> str:
    value = f"{sign} predictive value {by.predictive_value:.2f} on {by.measured_on}"
    return f", {side} score {by.score:.3f} ({value})"
