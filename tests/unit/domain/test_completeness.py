from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.domain.announcement import Announced
from triage.domain.completeness import (
    Count,
    Known,
    Patience,
    Sign,
    Stack,
    Views,
    evidence,
    may_be_whole,
    together,
)
from triage.domain.study import State, StudyRevision

STUDY = StudyRevision("1.2", 1, State.RECEIVING, "", 100.0, 110.0, 7, 0, 100.0, "")
BOTH = frozenset(Sign)
PATIENCE = Patience(quiet_s=15, settle_s=3, at_most_s=60, signs=BOTH)
FULL = (Stack(25, 25), Stack(50, 25))
WHOLE = Known(stacks=FULL, views=Views(4, 0))
ANNOUNCED = Known(announced=Announced(7, 7))
COUNTED = Known(count=Count(7, "PACS"))


def test_a_study_is_not_complete_while_it_is_not_quiet_for_long_enough() -> None:
    assert evidence(STUDY, 124.9, Patience(quiet_s=15)) is None


def test_a_quiet_study_is_complete_and_says_why() -> None:
    assert evidence(STUDY, 125.0, Patience(quiet_s=15)) == "quiet for 15 s after 7 instances"


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (WHOLE, "all 4 views are there and all 2 cine stacks are full, after 7 instances"),
        (ANNOUNCED, "all 7 announced instances are here"),
        (
            Known(announced=Announced(7, 7, discontinued=True)),
            "all 7 announced instances are here; a procedure step was discontinued",
        ),
        (replace(ANNOUNCED, associations=1), "all 7 announced instances are here"),
        (COUNTED, "all 7 instances that PACS has are here"),
        (replace(COUNTED, associations=1), "all 7 instances that PACS has are here"),
    ],
)
def test_1_whole_evidence_ends_the_wait_when_the_study_has_settled(known: Known, why: str) -> None:
    assert evidence(STUDY, 112.9, PATIENCE, known) is None
    assert evidence(STUDY, 113.0, PATIENCE, known) == why


@pytest.mark.parametrize(
    "known",
    [
        replace(WHOLE, views=Views(3, 1)),
        replace(WHOLE, views=Views(0, 0)),
        replace(WHOLE, views=None),
        replace(WHOLE, stacks=()),
        replace(WHOLE, stacks=(*FULL, Stack(24, 25))),
        replace(WHOLE, associations=1),
        Known(announced=Announced(8, 7)),
        Known(announced=Announced(6, 6)),  # more is here than was announced
        Known(announced=Announced(7, 7, in_progress=True)),
        Known(announced=Announced(0, 0)),
        replace(WHOLE, announced=Announced(8, 7)),
        replace(COUNTED, announced=Announced(8, 7)),
        replace(WHOLE, announced=Announced(0, 0, in_progress=True)),
        Known(count=Count(8, "PACS")),
        Known(count=Count(0, "PACS")),
    ],
)
def test_1_evidence_with_a_gap_is_none(known: Known) -> None:
    assert evidence(STUDY, 124.9, PATIENCE, known) is None


def test_evidence_that_the_site_does_not_want_is_none() -> None:
    unwanted = replace(PATIENCE, signs=frozenset())
    assert evidence(STUDY, 120.0, unwanted, replace(WHOLE, count=Count(7, "PACS"))) is None
    assert not may_be_whole(STUDY, 120.0, unwanted, FULL)


def test_1_a_quiet_study_waits_for_associations_that_are_open_up_to_the_limit() -> None:
    known = Known(associations=2)
    assert evidence(STUDY, 159.9, PATIENCE, known) is None
    assert evidence(STUDY, 160.0, PATIENCE, known) == (
        "at the limit of 60 s after its first instance, with 7 instances; "
        "2 association(s) that brought some still open"
    )


def test_a_quiet_study_of_which_the_pacs_has_more_says_so() -> None:
    why = evidence(STUDY, 125.0, PATIENCE, Known(count=Count(9, "PACS")))
    assert why == "quiet for 15 s after 7 instances, though PACS has 9"


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    assert evidence(STUDY, 50.0, PATIENCE, Known(associations=1))


def test_dear_questions_are_asked_only_when_the_answer_may_be_yes() -> None:
    assert not may_be_whole(STUDY, 112.9, PATIENCE, FULL)
    assert may_be_whole(STUDY, 113.0, PATIENCE, FULL) == {Sign.VIEWS, Sign.COUNT}
    assert may_be_whole(STUDY, 113.0, PATIENCE, (Stack(1, 25),)) == {Sign.COUNT}


def test_a_study_of_several_sources_waits_for_the_most_patient() -> None:
    one = Patience(15, 3, 60, BOTH)
    other = Patience(5, 4, 90, frozenset({Sign.COUNT}))
    assert together([one, other]) == Patience(15, 4, 90, frozenset({Sign.COUNT}))
    assert together([one, other]) == together([other, one])


knowns = st.builds(
    Known,
    associations=st.integers(0, 3),
    stacks=st.lists(st.builds(Stack, st.integers(1, 60), st.integers(1, 30)), max_size=4),
    views=st.none() | st.builds(Views, st.integers(0, 4), st.integers(0, 4)),
    count=st.none() | st.builds(Count, st.integers(0, 20), st.just("PACS")),
)
times = st.floats(0, 200, allow_nan=False)
patiences = st.builds(
    Patience,
    st.floats(0.1, 60),
    st.floats(0.1, 60),
    st.floats(0.1, 200),
    st.sets(st.sampled_from(Sign)).map(frozenset),
)


def is_whole(study: StudyRevision, known: Known, signs: frozenset[Sign]) -> bool:
    """Say again, in other words, what whole evidence is."""
    count, views = known.count, known.views
    counted = Sign.COUNT in signs and count is not None and 1 <= count.instances <= study.instances
    full = [
        stack.images / stack.expected == stack.images // stack.expected for stack in known.stacks
    ]
    seen = Sign.VIEWS in signs and views is not None and views.filled > 0 and views.missing == 0
    return counted or (seen and full != [] and all(full) and known.associations == 0)


@given(times, times, patiences, knowns)
def test_never_before_the_floor_unless_the_evidence_is_whole_and_always_by_the_limit(
    age_s: float, silent_s: float, patience: Patience, known: Known
) -> None:
    now = 10_000.0
    silent_s = min(age_s, silent_s)
    study = replace(STUDY, first_instance_at=now - age_s, last_instance_at=now - silent_s)
    limit = now - study.first_instance_at >= patience.at_most_s
    quiet = now - study.last_instance_at >= patience.quiet_s
    why = evidence(study, now, patience, known)
    if limit:
        assert why is not None
    elif not quiet:
        assert why is None or is_whole(study, known, patience.signs)
    elif not known.associations:
        assert why is not None


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=30), patiences)
def test_however_long_it_trickles_it_ends_by_the_limit(
    gaps: list[float], patience: Patience
) -> None:
    """An association that stays open and instances that keep coming cannot hold it for ever."""
    for at in accumulate(gaps, initial=100.0):
        study = replace(STUDY, last_instance_at=at)
        if at - study.first_instance_at >= patience.at_most_s:
            assert evidence(study, at, patience, Known(associations=1))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Announced(9, 7), "; 7 of 9 announced are here"),
        (Announced(7, 7, in_progress=True), "; a procedure step is in progress"),
        (
            Announced(9, 7, discontinued=True),
            "; 7 of 9 announced are here; a procedure step was discontinued",
        ),
        (Announced(7, 7), ""),
    ],
)
def test_what_is_missing_of_what_was_announced_is_said_and_waited_for_no_longer(
    said: Announced, words: str
) -> None:
    known = Known(announced=said)
    patient = replace(PATIENCE, signs=frozenset())
    assert evidence(STUDY, 125.0, patient, known) == f"quiet for 15 s after 7 instances{words}"
    limit = evidence(STUDY, 160.0, patient, known)
    assert limit == f"at the limit of 60 s after its first instance, with 7 instances{words}"
