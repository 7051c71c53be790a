"""The draft impression: the flags in sentences that a radiologist may correct.

All text comes from the configuration or from this module; no model generates text. Each finding is
in exactly one sentence, so that "not flagged" is not read as "absent", nor "not evaluated" as
either (test_each_finding_is_in_exactly_one_sentence). The draft never appears without `MARK`.
"""

import math
from collections.abc import Iterator, Sequence

from triage.domain.assessment import (
    Answer,
    Assessment,
    Flag,
    Presence,
    describe_examples,
)
from triage.reports import views
from triage.reports.content import one_line

MARK = "DRAFT, assembled by software and not reviewed. Research use only."
NOTHING = "No finding was evaluated; this report makes no statement about the study."
NEAR_MISS = "just below its threshold"  #: marks a score that chance may have kept from a flag
DECIMALS = range(2, 7)  #: of a score: two, or as many as distinguish it from its threshold


def marked_impression(assessment: Assessment) -> str:
    """Return the draft as one paragraph that begins with its mark."""
    return " ".join((MARK, *sentences(assessment)))


def sentences(assessment: Assessment) -> list[str]:
    """Return the sentences of the draft: flagged, not flagged, ruled out, not evaluated.

    The sentences on an out-of-distribution study with flags begin with a note on it.
    """
    note = [one_line(assessment.note)] if assessment.note and assessment.silence is None else []
    evaluated = [a for a in assessment.answers if a.flag is not Flag.NOT_EVALUATED]
    results = [*_flagged(evaluated), *_not_flagged(evaluated), *_ruled_out(evaluated)]
    return [*note, *(results or [NOTHING]), *_not_evaluated(assessment.answers)]


def score_text(answer: Answer) -> str:
    """Return e.g. "score 0.58, threshold 0.53", with the number of examples of a fit.

    A threshold of the site names its origin, and a near miss has its mark.
    """
    score, threshold = format_figures(answer)
    figures = (("score", score), ("threshold", threshold))
    parts = [f"{name} {value}" for name, value in figures if value]
    fit = [f"fitted from {describe_examples(answer.examples)}"] if answer.fitted else []
    site = [answer.target.origin] if answer.target is not None else []
    near = [NEAR_MISS] if answer.is_near_miss else []
    return ", ".join([*parts, *fit, *site, *near])


def format_figures(answer: Answer) -> tuple[str, str]:
    """Return score and threshold for people; blank if unknown."""
    decimals = next((n for n in DECIMALS if _is_distinguishable(answer, n)), DECIMALS[-1])
    score, threshold = (
        "" if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"
        for value in (answer.score, answer.threshold)
    )
    return score, threshold


def group_not_evaluated(answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Return the names of the findings that were not evaluated, by reason."""
    by_reason: dict[str, list[str]] = {}
    for answer in answers:
        if answer.flag is Flag.NOT_EVALUATED:
            reason = views.spell_out_views(one_line(answer.reason)).rstrip(".")
            by_reason.setdefault(reason or "no reason is stated", []).append(_name(answer))
    return by_reason


def _is_distinguishable(answer: Answer, decimals: int) -> bool:
    """Return whether rounding keeps a score and its threshold different."""
    if answer.score is None or answer.threshold is None or answer.score == answer.threshold:
        return True
    return f"{answer.score:.{decimals}f}" != f"{answer.threshold:.{decimals}f}"


def _flagged(evaluated: Sequence[Answer]) -> Iterator[str]:
    flagged = [answer for answer in evaluated if answer.flag is Flag.YES]
    if evaluated and not flagged:
        yield "No finding flagged."
    for answer in flagged:
        ruled_in = ", and ruled in" if answer.presence is Presence.PRESENT else ""
        yield f"{_name(answer)} flagged for review{ruled_in} ({score_text(answer)})."


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
        yield f"Not evaluated ({reason}): {'; '.join(names)}."


def _name(answer: Answer) -> str:
    return one_line(answer.finding.name)
