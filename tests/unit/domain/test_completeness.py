from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.domain.announcement import AnnouncedStudy
from triage.domain.completeness import (
    ArchiveCount,
    CompletenessPolicy,
    Evidence,
    EvidenceKind,
    StackCount,
    ViewCount,
    combine_policies,
    evidence,
    select_queries,
)
from triage.domain.study import State, StudyRevision

STUDY = StudyRevision("1.2", 1, State.RECEIVING, "", 100.0, 110.0, 7, 0, 100.0, "")
BOTH = frozenset(EvidenceKind)
PATIENCE = CompletenessPolicy(quiet_s=15, settle_s=3, limit_s=60, accepted_evidence=BOTH)
FULL = (StackCount(25, 25), StackCount(50, 25))
WHOLE = Evidence(stacks=FULL, views=ViewCount(4, 0))
ANNOUNCED = Evidence(announced=AnnouncedStudy(7, 7))
COUNTED = Evidence(count=ArchiveCount(7, "PACS"))


def test_a_study_is_not_complete_while_it_is_not_quiet_for_long_enough() -> None:
    assert evidence(STUDY, 124.9, CompletenessPolicy(quiet_s=15)) is None


def test_a_quiet_study_is_complete_and_says_why() -> None:
    assert (
        evidence(STUDY, 125.0, CompletenessPolicy(quiet_s=15)) == "quiet for 15 s after 7 instances"
    )


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (WHOLE, "all 4 views are there and all 2 cine stacks are full, after 7 instances"),
        (ANNOUNCED, "all 7 announced instances are here"),
        (
            Evidence(announced=AnnouncedStudy(7, 7, discontinued=True)),
            "all 7 announced instances are here; a procedure step was discontinued",
        ),
        (replace(ANNOUNCED, associations=1), "all 7 announced instances are here"),
        (COUNTED, "all 7 instances that PACS has are here"),
        (replace(COUNTED, associations=1), "all 7 instances that PACS has are here"),
    ],
)
def test_1_whole_evidence_ends_the_wait_when_the_study_has_settled(
    known: Evidence, why: str
) -> None:
    assert evidence(STUDY, 112.9, PATIENCE, known) is None
    assert evidence(STUDY, 113.0, PATIENCE, known) == why


@pytest.mark.parametrize(
    "known",
    [
        replace(WHOLE, views=ViewCount(3, 1)),
        replace(WHOLE, views=ViewCount(0, 0)),
        replace(WHOLE, views=None),
        replace(WHOLE, stacks=()),
        replace(WHOLE, stacks=(*FULL, StackCount(24, 25))),
        replace(WHOLE, associations=1),
        Evidence(announced=AnnouncedStudy(8, 7)),
        Evidence(announced=AnnouncedStudy(6, 6)),  # more is here than was announced
        Evidence(announced=AnnouncedStudy(7, 7, in_progress=True)),
        Evidence(announced=AnnouncedStudy(0, 0)),
        replace(WHOLE, announced=AnnouncedStudy(8, 7)),
        replace(COUNTED, announced=AnnouncedStudy(8, 7)),
        replace(WHOLE, announced=AnnouncedStudy(0, 0, in_progress=True)),
        Evidence(count=ArchiveCount(8, "PACS")),
        Evidence(count=ArchiveCount(0, "PACS")),
    ],
)
def test_1_evidence_with_a_gap_is_none(known: Evidence) -> None:
    assert evidence(STUDY, 124.9, PATIENCE, known) is None


def test_evidence_that_the_site_does_not_want_is_none() -> None:
    unwanted = replace(PATIENCE, accepted_evidence=frozenset())
    assert evidence(STUDY, 120.0, unwanted, replace(WHOLE, count=ArchiveCount(7, "PACS"))) is None
    assert not select_queries(STUDY, 120.0, unwanted, FULL)


def test_1_a_quiet_study_waits_for_associations_that_are_open_up_to_the_limit() -> None:
    known = Evidence(associations=2)
    assert evidence(STUDY, 159.9, PATIENCE, known) is None
    assert evidence(STUDY, 160.0, PATIENCE, known) == (
        "at the limit of 60 s after its first instance, with 7 instances; "
        "2 association(s) that brought some still open"
    )


def test_a_quiet_study_of_which_the_pacs_has_more_says_so() -> None:
    why = evidence(STUDY, 125.0, PATIENCE, Evidence(count=ArchiveCount(9, "PACS")))
    assert why == "quiet for 15 s after 7 instances, though PACS has 9"


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    assert evidence(STUDY, 50.0, PATIENCE, Evidence(associations=1))


def test_dear_questions_are_asked_only_when_the_answer_may_be_yes() -> None:
    assert not select_queries(STUDY, 112.9, PATIENCE, FULL)
    assert select_queries(STUDY, 113.0, PATIENCE, FULL) == {EvidenceKind.VIEWS, EvidenceKind.COUNT}
    assert select_queries(STUDY, 113.0, PATIENCE, (StackCount(1, 25),)) == {EvidenceKind.COUNT}


def test_a_study_of_several_sources_waits_for_the_most_patient() -> None:
    one = CompletenessPolicy(15, 3, 60, BOTH)
    other = CompletenessPolicy(5, 4, 90, frozenset({EvidenceKind.COUNT}))
    assert combine_policies([one, other]) == CompletenessPolicy(
        15, 4, 90, frozenset({EvidenceKind.COUNT})
    )
    assert combine_policies([one, other]) == combine_policies([other, one])


knowns = st.builds(
    Evidence,
    associations=st.integers(0, 3),
    stacks=st.lists(st.builds(StackCount, st.integers(1, 60), st.integers(1, 30)), max_size=4),
    views=st.none() | st.builds(ViewCount, st.integers(0, 4), st.integers(0, 4)),
    count=st.none() | st.builds(ArchiveCount, st.integers(0, 20), st.just("PACS")),
)
times = st.floats(0, 200, allow_nan=False)
patiences = st.builds(
    CompletenessPolicy,
    st.floats(0.1, 60),
    st.floats(0.1, 60),
    st.floats(0.1, 200),
    st.sets(st.sampled_from(EvidenceKind)).map(frozenset),
)


def is_whole(study: StudyRevision, known: Evidence, signs: frozenset[EvidenceKind]) -> bool:
    """Say again, in other words, what whole evidence is."""
    count, views = known.count, known.views
    counted = (
        EvidenceKind.COUNT in signs
        and count is not None
        and 1 <= count.instances <= study.instances
    )
    full = [
        stack.images / stack.expected == stack.images // stack.expected for stack in known.stacks
    ]
    seen = (
        EvidenceKind.VIEWS in signs
        and views is not None
        and views.filled > 0
        and views.missing == 0
    )
    return counted or (seen and full != [] and all(full) and known.associations == 0)


@given(times, times, patiences, knowns)
def test_never_before_the_floor_unless_the_evidence_is_whole_and_always_by_the_limit(
    age_s: float, silent_s: float, patience: CompletenessPolicy, known: Evidence
) -> None:
    now = 10_000.0
    silent_s = min(age_s, silent_s)
    study = replace(STUDY, first_instance_at=now - age_s, last_instance_at=now - silent_s)
    limit = now - study.first_instance_at >= patience.limit_s
    quiet = now - study.last_instance_at >= patience.quiet_s
    why = evidence(study, now, patience, known)
    if limit:
        assert why is not None
    elif not quiet:
        assert why is None or is_whole(study, known, patience.accepted_evidence)
    elif not known.associations:
        assert why is not None


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=30), patiences)
def test_however_long_it_trickles_it_ends_by_the_limit(
    gaps: list[float], patience: CompletenessPolicy
) -> None:
    """An association that stays open and instances that keep coming cannot hold it for ever."""
    for at in accumulate(gaps, initial=100.0):
        study = replace(STUDY, last_instance_at=at)
        if at - study.first_instance_at >= patience.limit_s:
            assert evidence(study, at, patience, Evidence(associations=1))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (AnnouncedStudy(9, 7), "; 7 of 9 announced are here"),
        (AnnouncedStudy(7, 7, in_progress=True), "; a procedure step is in progress"),
        (
            AnnouncedStudy(9, 7, discontinued=True),
            "; 7 of 9 announced are here; a procedure step was discontinued",
        ),
        (AnnouncedStudy(7, 7), ""),
    ],
)
def test_what_is_missing_of_what_was_announced_is_said_and_waited_for_no_longer(
    said: AnnouncedStudy, words: str
) -> None:
    known = Evidence(announced=said)
    patient = replace(PATIENCE, accepted_evidence=frozenset())
    assert evidence(STUDY, 125.0, patient, known) == f"quiet for 15 s after 7 instances{words}"
    limit = evidence(STUDY, 160.0, patient, known)
    assert limit == f"at the limit of 60 s after its first instance, with 7 instances{words}"
