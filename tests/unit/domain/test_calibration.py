"""The calibration of a site as a part of a finding's version."""

import pytest

from tests.builders.calibrations import WEEKLY, by_budget, labelled
from triage.domain.calibration import CalibrationPolicy, CalibrationTarget, TargetKind
from triage.domain.finding_version import (
    ChangeNote,
    FindingChange,
    FindingVersion,
    calibrate,
    drop_calibration,
    edit,
    open_version,
    restore,
)
from triage.domain.reasons import Reason, ReasonCode

NOTE = ChangeNote("anna", 1.0, "why")
FIRST = open_version("lge", "{}", NOTE, is_in_use=True)
CALIBRATED = calibrate(FIRST, labelled(FIRST, 40, 12), NOTE)


def code_of(version: FindingVersion, bundle: str) -> ReasonCode | None:
    checked = version.check_calibration(bundle)
    return checked.code if isinstance(checked, Reason) else None


def test_a_calibration_holds_for_one_content_and_one_bundle() -> None:
    assert CALIBRATED.check_calibration("b1") == CALIBRATED.calibration
    assert code_of(CALIBRATED, "b2") is ReasonCode.CALIBRATED_OTHER_BUNDLE
    edited = edit(CALIBRATED, '{"name":"LGE"}', NOTE)
    assert code_of(edited, "b1") is ReasonCode.CALIBRATED_OTHER_CONTENT
    assert edit(edited, "{}", NOTE).check_calibration("b1") == CALIBRATED.calibration


def test_undoing_restores_the_calibration_of_the_earlier_version() -> None:
    assert restore(CALIBRATED, FIRST, NOTE).calibration is None
    dropped = drop_calibration(CALIBRATED, NOTE)
    assert (dropped.check_calibration("b1"), dropped.reported) == (None, 3)
    assert restore(dropped, CALIBRATED, NOTE).calibration == CALIBRATED.calibration


def test_a_calibration_names_the_version_whose_note_has_its_author() -> None:
    assert (CALIBRATED.number, CALIBRATED.change) == (2, FindingChange.CALIBRATED)
    assert CALIBRATED.calibration is not None
    assert CALIBRATED.calibration.version == 2


def test_reports_use_thresholds_of_enough_patients() -> None:
    calibration = CALIBRATED.calibration
    assert calibration is not None
    kept = calibration.keep_for_reports(30)
    assert kept is not None
    assert [each.views for each in kept.thresholds] == ["view_0"]
    assert calibration.list_dropped(kept) == ["view_1"]
    assert calibration.keep_for_reports(41) is None


def test_a_budget_states_that_its_accuracy_is_unknown() -> None:
    budget = calibrate(FIRST, by_budget(FIRST), NOTE).calibration
    assert budget is not None
    assert budget.policy is CalibrationPolicy.BUDGET
    assert budget.keep_for_reports(30) == budget
    assert str(budget) == "budget 5/week, accuracy unknown"
    assert WEEKLY.origin == "threshold set by a budget of 5/week, accuracy unknown"


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (TargetKind.SENSITIVITY, 0.9, "sensitivity=0.9"),
        (TargetKind.SPECIFICITY, 0.95, "specificity=0.95"),
        (TargetKind.PREDICTIVE_VALUE, 0.5, "ppv=0.5"),
        (TargetKind.EQUAL_ERROR, 0.0, "equal-error"),
        (TargetKind.SHARE, 0.02, "2%"),
        (TargetKind.FLAGS_A_WEEK, 5, "5/week"),
    ],
)
def test_a_target_is_written_as_it_is_asked(kind: TargetKind, value: float, shown: str) -> None:
    assert str(CalibrationTarget(kind, value)) == shown


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TargetKind.SENSITIVITY, 0.0),
        (TargetKind.SENSITIVITY, 1.0),
        (TargetKind.SHARE, float("nan")),
        (TargetKind.FLAGS_A_WEEK, -1),
        (TargetKind.FLAGS_A_WEEK, float("inf")),
        (TargetKind.EQUAL_ERROR, 0.5),
    ],
)
def test_a_target_that_means_nothing_is_refused(kind: TargetKind, value: float) -> None:
    with pytest.raises(ValueError, match=str(kind)):
        CalibrationTarget(kind, value)
