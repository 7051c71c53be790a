"""The draft impression: what the flags come to, in sentences that a radiologist may correct.

Rule: every word is of the configuration or stands in this module; no model writes text. Each
finding stands in exactly one sentence, so that "not flagged" is never read as "absent" nor "not
evaluated" as either, and the draft never goes anywhere without its mark.
"""

import math
from collections.abc import Iterator, Sequence

from triage.domain.assessment import OUT_OF_DISTRIBUTION_NOTE, Answer, Assessment, Flag, Presence
from triage.reports import views
from triage.reports.content import one_line

MARK = "DRAFT, assembled by software and not reviewed. Research use only."
NOTHING = "No finding was evaluated; nothing can be said about this study."
DECIMALS = range(2, 7)  #: of a score: two, or as many as tell it from its threshold


def marked_impression(assessment: Assessment) -> str:
    """Return the draft as one paragraph behind its mark."""
    return " ".join((MARK, *sentences(assessment)))


def sentences(assessment: Assessment) -> list[str]:
    """Return the sentences of the draft: flagged, not flagged, ruled out, not evaluated.

    Those of an unfamiliar study stand behind a sentence that says so.
    """
    unfamiliar = [OUT_OF_DISTRIBUTION_NOTE] if assessment.is_unfamiliar else []
    evaluated = [a for a in assessment.answers if a.flag is not Flag.NOT_EVALUATED]
    said = [*_flagged(evaluated), *_not_flagged(evaluated), *_ruled_out(evaluated)]
    return [*unfamiliar, *(said or [NOTHING]), *_not_evaluated(assessment.answers)]


def score_text(answer: Answer) -> str:
    """Return e.g. "score 0.58, threshold 0.53"; blank where nothing was computed."""
    score, threshold = format_figures(answer)
    named = (("score", score), ("threshold", threshold))
    return ", ".join(f"{name} {value}" for name, value in named if value)


def format_figures(answer: Answer) -> tuple[str, str]:
    """Return score and threshold as people read them; blank for what there is not."""
    decimals = next((n for n in DECIMALS if _told_apart(answer, n)), DECIMALS[-1])
    score, threshold = (
        "" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"
        for value in (answer.score, answer.threshold)
    )
    return score, threshold


def _told_apart(answer: Answer, decimals: int) -> bool:
    """Whether rounding hides on which side of the threshold the score lies."""
    if answer.score is None or answer.threshold is None or answer.score == answer.threshold:
        return True
    return f"{answer.score:.{decimals}f}" != f"{answer.threshold:.{decimals}f}"


def _flagged(evaluated: Sequence[Answer]) -> Iterator[str]:
    flagged = [answer for answer in evaluated if answer.flag is Flag.YES]
    if evaluated and not flagged:
        yield "No finding flagged."
    for answer in flagged:
        yield f"{_name(answer)} flagged ({score_text(answer)})."


def _not_flagged(evaluated: Sequence[Answer]) -> Iterator[str]:
    names = [
        f"{_name(answer)} ({score_text(answer)})"
        for answer in evaluated
        if answer.flag is Flag.NO and answer.presence is not Presence.ABSENT
    ]
    if names:
        yield f"Not flagged, and not ruled out: {'; '.join(names)}."


def _ruled_out(evaluated: Sequence[Answer]) -> Iterator[str]:
    names = [
        f"{_name(answer)} ({score_text(answer)})"
        for answer in evaluated
        if answer.presence is Presence.ABSENT
    ]
    if names:
        yield f"Absent, below the rule-out threshold: {'; '.join(names)}."


def _not_evaluated(answers: Sequence[Answer]) -> Iterator[str]:
    for reason, names in group_not_evaluated(answers).items():
        if len(names) == 1:
            yield f"Not evaluated: {names[0]}, {reason}."
        else:
            yield f"Not evaluated, {reason}: {'; '.join(names)}."


def group_not_evaluated(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Return the names of the findings that were not evaluated, by their reason."""
    by_reason: dict[str, list[str]] = {}
    for answer in answers:
        if answer.flag is Flag.NOT_EVALUATED:
            reason = (
                views.spell_out_views(one_line(answer.reason)).rstrip(".") or "no reason is stated"
            )
            by_reason.setdefault(reason, []).append(_name(answer))
    return by_reason


def _name(answer: Answer) -> str:
    return one_line(answer.finding.name)
