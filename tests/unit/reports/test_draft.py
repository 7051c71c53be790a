from dataclasses import replace

import pytest

from tests.builders.assessments import ANSWERS, mixed, untrained
from tests.builders.reportings import all_flagged, forty, none_flagged
from triage.domain.assessment import Answer, Assessment, Flag
from triage.reports import draft

DILATION = replace(
    ANSWERS[0], finding=replace(ANSWERS[1].finding, name="LV dilation"), score=0.58, threshold=0.53
)
LGE = replace(
    ANSWERS[3],
    finding=replace(ANSWERS[3].finding, name="LGE"),
    reason="no delayed-enhancement series",
)


def sentences_on(*answers: Answer) -> list[str]:
    return draft.sentences(replace(mixed(), answers=answers))


def test_flagged_and_not_evaluated_findings_have_a_sentence_each() -> None:
    assert sentences_on(DILATION, LGE) == [
        "LV dilation flagged for review (score 0.58, threshold 0.53).",
        "Not evaluated (no delayed-enhancement series): LGE.",
    ]


def test_the_draft_begins_with_its_mark() -> None:
    for assessment in (mixed(), untrained(), none_flagged()):
        assert draft.marked_impression(assessment).startswith("DRAFT, ")


def test_not_flagged_absent_and_not_evaluated_differ() -> None:
    none, not_flagged, absent, silent = draft.sentences(none_flagged())
    assert none == "No finding flagged."
    assert not_flagged == (
        "Not flagged, and not ruled out: Left ventricular systolic dysfunction (score 0.12,"
        " threshold 0.28); Large pericardial effusion (score 0.25, threshold 0.30)."
    )
    assert absent == (
        "Absent, below the rule-out threshold: Left ventricular dilation (score 0.05,"
        " threshold 0.27)."
    )
    assert silent == (
        "Not evaluated (the study shows none of the views late enhancement short axis, late"
        " enhancement four-chamber): Late gadolinium enhancement."
    )


def test_a_near_miss_has_its_mark() -> None:
    near = replace(ANSWERS[2], score=0.296, threshold=0.3, spread=0.1)
    _none, text = sentences_on(near)
    assert text == (
        "Not flagged, and not ruled out: Large pericardial effusion (score 0.296, threshold 0.300,"
        " just below its threshold)."
    )


def test_a_study_without_evaluated_findings_is_not_called_unflagged() -> None:
    text = draft.marked_impression(untrained())
    assert draft.NOTHING in text
    assert "No finding flagged" not in text
    assert "model is untrained" in text


@pytest.mark.parametrize("assessment", [mixed(), all_flagged(), untrained(), forty()])
def test_each_finding_is_in_exactly_one_sentence(assessment: Assessment) -> None:
    sentences = draft.sentences(assessment)
    for answer in assessment.answers:
        name = answer.finding.name
        # "question 1" begins "question 10".
        named = [s for s in sentences if any(f"{name}{end}" in s for end in (" ", ";", ".", ","))]
        assert len(named) == 1
        assert ("flagged for review (" in named[0]) is (answer.flag is Flag.YES)


@pytest.mark.parametrize(
    ("score", "threshold", "figures"),
    [
        (0.58, 0.53, ("0.58", "0.53")),
        (0.4700, 0.4696, ("0.4700", "0.4696")),
        (0.5, 0.5, ("0.50", "0.50")),
        (-0.01, None, ("-0.01", "")),
        (None, 0.5, ("", "0.50")),
        (float("nan"), 0.5, ("", "0.50")),
    ],
)
def test_rounding_does_not_hide_the_side_of_the_threshold(
    score: float | None, threshold: float | None, figures: tuple[str, str]
) -> None:
    assert draft.format_figures(replace(ANSWERS[0], score=score, threshold=threshold)) == figures


def test_texts_of_the_configuration_stay_on_one_line() -> None:
    (sentence,) = sentences_on(
        replace(DILATION, finding=replace(DILATION.finding, name="LV\r\ndil\x07"))
    )
    assert sentence == "LV dil flagged for review (score 0.58, threshold 0.53)."
