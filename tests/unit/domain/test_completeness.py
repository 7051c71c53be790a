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
    find_completion,
    select_queries,
)
from triage.domain.study import State, StudyRevision

STUDY = StudyRevision("1.2", 1, State.RECEIVING, "", 100.0, 110.0, 7, 0, 100.0, "")
ANY_KIND = frozenset(EvidenceKind)
POLICY = CompletenessPolicy(quiet_s=15, settle_s=3, limit_s=60, accepted_evidence=ANY_KIND)
FULL = (StackCount(25, 25), StackCount(50, 25))
WHOLE = Evidence(stacks=FULL, views=ViewCount(4, 0))
ANNOUNCED = Evidence(announced=AnnouncedStudy(7, 7))
COUNTED = Evidence(count=ArchiveCount(7, "PACS"))


def test_a_study_is_not_complete_while_it_is_not_quiet_for_long_enough() -> None:
    assert find_completion(STUDY, 124.9, CompletenessPolicy(quiet_s=15)) is None


def test_a_quiet_study_is_complete_with_a_reason() -> None:
    reason = find_completion(STUDY, 125.0, CompletenessPolicy(quiet_s=15))
    assert str(reason) == "quiet for 15 s after 7 instances"


@pytest.mark.parametrize(
    ("evidence", "why"),
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
def test_complete_evidence_ends_the_wait_once_the_study_has_settled(
    evidence: Evidence, why: str
) -> None:
    assert find_completion(STUDY, 112.9, POLICY, evidence) is None
    assert str(find_completion(STUDY, 113.0, POLICY, evidence)) == why


@pytest.mark.parametrize(
    "evidence",
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
def test_incomplete_evidence_does_not_end_the_wait(evidence: Evidence) -> None:
    assert find_completion(STUDY, 124.9, POLICY, evidence) is None


def test_evidence_that_the_policy_does_not_accept_is_ignored() -> None:
    unwanted = replace(POLICY, accepted_evidence=frozenset())
    assert (
        find_completion(STUDY, 120.0, unwanted, replace(WHOLE, count=ArchiveCount(7, "PACS")))
        is None
    )
    assert not select_queries(STUDY, 120.0, unwanted, FULL)


def test_a_quiet_study_waits_for_open_associations_up_to_the_limit() -> None:
    evidence = Evidence(associations=2)
    assert find_completion(STUDY, 159.9, POLICY, evidence) is None
    assert str(find_completion(STUDY, 160.0, POLICY, evidence)) == (
        "at the limit of 60 s after its first instance, with 7 instances; "
        "2 association(s) that sent instances are still open"
    )


def test_the_reason_states_that_the_pacs_has_more_instances() -> None:
    why = find_completion(STUDY, 125.0, POLICY, Evidence(count=ArchiveCount(9, "PACS")))
    assert str(why) == "quiet for 15 s after 7 instances; PACS has 9"


def test_a_clock_that_was_set_back_delays_nothing() -> None:
    assert find_completion(STUDY, 50.0, POLICY, Evidence(associations=1))


def test_expensive_queries_wait_until_they_can_succeed() -> None:
    assert not select_queries(STUDY, 112.9, POLICY, FULL)
    assert select_queries(STUDY, 113.0, POLICY, FULL) == {EvidenceKind.VIEWS, EvidenceKind.COUNT}
    assert select_queries(STUDY, 113.0, POLICY, (StackCount(1, 25),)) == {EvidenceKind.COUNT}


def test_policies_of_several_sources_combine_to_the_longest_times() -> None:
    one = CompletenessPolicy(15, 3, 60, ANY_KIND)
    other = CompletenessPolicy(5, 4, 90, frozenset({EvidenceKind.COUNT}))
    assert combine_policies([one, other]) == CompletenessPolicy(
        15, 4, 90, frozenset({EvidenceKind.COUNT})
    )
    assert combine_policies([one, other]) == combine_policies([other, one])


evidences = st.builds(
    Evidence,
    associations=st.integers(0, 3),
    stacks=st.lists(st.builds(StackCount, st.integers(1, 60), st.integers(1, 30)), max_size=4),
    views=st.none() | st.builds(ViewCount, st.integers(0, 4), st.integers(0, 4)),
    count=st.none() | st.builds(ArchiveCount, st.integers(0, 20), st.just("PACS")),
)
times = st.floats(0, 200, allow_nan=False)
policies = st.builds(
    CompletenessPolicy,
    st.floats(0.1, 60),
    st.floats(0.1, 60),
    st.floats(0.1, 200),
    st.sets(st.sampled_from(EvidenceKind)).map(frozenset),
)


def is_whole(study: StudyRevision, evidence: Evidence, kinds: frozenset[EvidenceKind]) -> bool:
    """Restate independently when evidence is complete."""
    count, views = evidence.count, evidence.views
    counted = (
        EvidenceKind.COUNT in kinds
        and count is not None
        and 1 <= count.instances <= study.instances
    )
    full = [
        stack.images / stack.expected == stack.images // stack.expected for stack in evidence.stacks
    ]
    seen = (
        EvidenceKind.VIEWS in kinds
        and views is not None
        and views.filled > 0
        and views.missing == 0
    )
    return counted or (seen and full != [] and all(full) and evidence.associations == 0)


@given(times, times, policies, evidences)
def test_a_study_is_complete_by_evidence_quiet_time_or_limit_and_not_before(
    age_s: float, silent_s: float, policy: CompletenessPolicy, evidence: Evidence
) -> None:
    now = 10_000.0
    silent_s = min(age_s, silent_s)
    study = replace(STUDY, first_instance_at=now - age_s, last_instance_at=now - silent_s)
    limit = now - study.first_instance_at >= policy.limit_s
    quiet = now - study.last_instance_at >= policy.quiet_s
    why = find_completion(study, now, policy, evidence)
    if limit:
        assert why is not None
    elif not quiet:
        assert why is None or is_whole(study, evidence, policy.accepted_evidence)
    elif not evidence.associations:
        assert why is not None


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=30), policies)
def test_a_study_that_keeps_growing_is_complete_at_the_limit(
    gaps: list[float], policy: CompletenessPolicy
) -> None:
    """An association that stays open and instances that keep coming cannot hold it for ever."""
    for at in accumulate(gaps, initial=100.0):
        study = replace(STUDY, last_instance_at=at)
        if at - study.first_instance_at >= policy.limit_s:
            assert find_completion(study, at, policy, Evidence(associations=1))


@pytest.mark.parametrize(
    ("announced", "words"),
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
def test_missing_announced_instances_are_stated_and_extend_no_wait(
    announced: AnnouncedStudy, words: str
) -> None:
    evidence = Evidence(announced=announced)
    policy = replace(POLICY, accepted_evidence=frozenset())
    quiet = find_completion(STUDY, 125.0, policy, evidence)
    assert str(quiet) == f"quiet for 15 s after 7 instances{words}"
    limit = find_completion(STUDY, 160.0, policy, evidence)
    assert str(limit) == f"at the limit of 60 s after its first instance, with 7 instances{words}"
