"""The rules on sentences written by hand, in three sets.

`developed` was written before the rules were finished, and `held_out` after. The first reading of
the held-out set had precision 0.956 and recall 0.943. It showed these errors of the rules, which
were mended for all sentences of their kind:

    a question mark at the start of a sentence ended it
    "without" in the middle of a part took the subject of the next judgement away
    "cardiac MRI shows a normal left ventricle" was read as a normal study
    "its function, however, is preserved" lost its subject at "however"
    "previously" covered every judgement after it, not only the next one
    "of normal size" was read as "normal"
    missing phrases: neither ventricle, either ventricle, ventricular volumes, pericardial and
        pleural effusions, probably present, most likely an artefact, the prior MRI showed,
        LV wall 9 mm

`untouched` was written last; no rule was changed for it. Its figures are those of the first
reading.
"""

import pytest

from tests.unit.findings.extraction.marked_sentences import (
    marked_sentences,
    read_outcomes,
    tally_sentences,
)
from triage.domain.outcome import OutcomeStatus


@pytest.mark.parametrize("name", ["developed", "held_out"])
def test_the_outcomes_of_sentences_are_read(name: str) -> None:
    tally = tally_sentences(name)
    assert tally.precision >= 0.97
    assert tally.recall >= 0.97


def test_sentences_for_which_no_rule_was_made_are_read_nearly_as_well() -> None:
    tally = tally_sentences("untouched")
    assert tally.precision >= 0.95
    assert tally.recall >= 0.93


def test_there_are_many_sentences_and_none_is_in_two_sets() -> None:
    sentences = [
        sentence
        for name in ("developed", "held_out", "untouched")
        for sentence, _ in marked_sentences(name)
    ]
    assert len(sentences) > 500
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("name", ["developed", "held_out"])
def test_upper_case_and_line_ends_change_nothing(name: str) -> None:
    changed = [
        sentence
        for sentence, _ in marked_sentences(name)
        if read_outcomes(sentence.upper()) != read_outcomes(f"  {sentence}\r\n")
    ]
    assert changed == []


@pytest.mark.parametrize(
    ("text", "finding", "status"),
    [
        ("LGE was not performed.", "lge", OutcomeStatus.NOT_MENTIONED),
        ("RV function could not be assessed.", "rv_dysfunction", OutcomeStatus.NOT_MENTIONED),
        ("No gadolinium was given.", "lge", OutcomeStatus.NOT_MENTIONED),
    ],
)
def test_what_was_not_assessed_is_never_absent(
    text: str, finding: str, status: OutcomeStatus
) -> None:
    assert read_outcomes(text).get(finding, OutcomeStatus.NOT_MENTIONED) is status
