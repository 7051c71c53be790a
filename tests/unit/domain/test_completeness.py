from triage.domain.completeness import Patience, evidence
from triage.domain.study import State, StudyRevision

STUDY = StudyRevision("1.2", 1, State.RECEIVING, "", 100.0, 110.0, 7, 0, 100.0, "")


def test_a_study_is_not_complete_while_it_is_not_quiet_for_long_enough() -> None:
    assert evidence(STUDY, 124.9, Patience(quiet_s=15)) is None


def test_a_quiet_study_is_complete_and_says_why() -> None:
    assert evidence(STUDY, 125.0, Patience(quiet_s=15)) == "quiet for 15 s after 7 instances"
