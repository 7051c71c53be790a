"""Thresholds that a site sets on its past cases, with a library in memory."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders.calibrations import SENSITIVE, WEEKLY
from tests.builders.drawn_cases import draw_cases
from tests.fakes import FakeLibrary
from tests.unit.model.scored_bundles import bundle
from triage.domain.calibration import CalibrationTarget, TargetKind
from triage.domain.errors import CalibrationRefused
from triage.domain.finding import Finding
from triage.domain.finding_version import ChangeNote, open_version
from triage.pipeline.calibrate_findings import FindingCalibrator, describe_left_out

FINDING = Finding("lv", "LV", ("dilated",), ("cine_sa",), None, "", None)
VERSION = open_version("lv", "{}", ChangeNote("anna", 1.0, "why"))
PROMPTS = np.eye(8, dtype=np.float32)[:1]
SHORT, BOTH = ("cine_sa",), ("cine_lax", "cine_sa")
SHARE = CalibrationTarget(TargetKind.SHARE, 0.02)
#: scores around which studies with and without the finding are drawn
HAVING, LACKING = 0.4, 0.2


@pytest.fixture
def calibrator() -> FindingCalibrator:
    return FindingCalibrator(bundle(), FakeLibrary(), lambda _: PROMPTS)


def fill(
    calibrator: FindingCalibrator,
    having: int,
    lacking: int,
    views: tuple[str, ...] = SHORT,
    seed: int = 0,
) -> dict[str, bool]:
    """Add cases with and without the finding; return their labels."""
    labels = {}
    for name, middle, count in (("having", HAVING, having), ("lacking", LACKING, lacking)):
        for case, point in draw_cases(PROMPTS, middle, count, views, f"{name} {seed}"):
            calibrator.library.add(case, point)
            labels[case.study_uid] = name == "having"
    return labels


def test_each_set_of_views_gets_a_threshold_of_its_own(calibrator: FindingCalibrator) -> None:
    labels = fill(calibrator, 20, 30) | fill(calibrator, 12, 12, BOTH, seed=1)
    made = calibrator.set_by_labels(VERSION, FINDING, SENSITIVE, labels)
    found = made.calibration.thresholds
    assert [(each.views, each.positives, each.studies) for each in found] == [
        ("cine_sa", 20, 50),
        ("cine_lax+cine_sa", 12, 24),
    ]
    assert all(0.2 < each.threshold < 0.4 for each in found)
    assert (made.calibration.content, made.calibration.bundle) == (
        VERSION.digest,
        calibrator.bundle.digest,
    )
    assert (made.left_out, made.unknown) == ((), 0)


def test_too_few_patients_are_refused_with_the_missing_number(
    calibrator: FindingCalibrator,
) -> None:
    labels = fill(calibrator, 4, 9)
    with pytest.raises(CalibrationRefused) as refusal:
        calibrator.set_by_labels(VERSION, FINDING, SENSITIVE, labels | {"unknown": True})
    text = str(refusal.value)
    assert "6 more patient(s) with it and 1 more patient(s) without it are needed" in text
    assert "1 labelled studies are no such case" in text


def test_a_set_with_too_few_patients_is_left_out_and_named(calibrator: FindingCalibrator) -> None:
    labels = fill(calibrator, 20, 30) | fill(calibrator, 3, 12, BOTH, seed=1)
    (left,) = calibrator.set_by_labels(VERSION, FINDING, SENSITIVE, labels).left_out
    assert (left.views, left.positives, left.missing_negatives) == ("cine_lax+cine_sa", 3, 0)
    assert describe_left_out(left) == "7 more patient(s) with it are needed"


def test_patients_count_once_and_their_latest_study_counts(calibrator: FindingCalibrator) -> None:
    labels = fill(calibrator, 12, 12)
    for uid in list(labels):
        case, point = calibrator.library.get_case(uid), calibrator.library.get_embedding(uid)
        assert case is not None
        assert point is not None
        earlier = replace(case, study_uid=f"{uid}.1", study_date="20200101")
        calibrator.library.add(earlier, -point)
        labels[earlier.study_uid] = not labels[uid]
    (found,) = calibrator.set_by_labels(VERSION, FINDING, SENSITIVE, labels).calibration.thresholds
    assert (found.studies, found.positives) == (24, 12)
    assert 0.2 < found.threshold < 0.4


def test_studies_without_a_view_of_the_finding_are_not_scored(
    calibrator: FindingCalibrator,
) -> None:
    labels = fill(calibrator, 20, 30, ("lge_sa",))
    with pytest.raises(CalibrationRefused, match="no such study is a case of this bundle"):
        calibrator.set_by_labels(VERSION, FINDING, SENSITIVE, labels)


def test_a_share_of_the_latest_studies_is_flagged(calibrator: FindingCalibrator) -> None:
    fill(calibrator, 0, 400)
    (found,) = calibrator.set_by_budget(VERSION, FINDING, SHARE).calibration.thresholds
    assert found.flagged is not None
    assert found.flagged.value == pytest.approx(0.02)
    assert (found.studies, found.positives, found.performance) == (400, 0, None)


def test_flags_a_week_are_a_share_of_the_studies_of_a_week(calibrator: FindingCalibrator) -> None:
    fill(calibrator, 0, 350)  # 70 days of 5 studies: 35 a week
    (found,) = calibrator.set_by_budget(VERSION, FINDING, WEEKLY).calibration.thresholds
    assert found.flagged is not None
    assert found.flagged.value == pytest.approx(5 / 35, abs=1 / 350)


@pytest.mark.parametrize(
    ("studies", "target", "said"),
    [
        (60, SHARE, "40 more studies are needed"),
        (120, CalibrationTarget(TargetKind.SHARE, 0.005), "80 more studies are needed"),
        (50, WEEKLY, "flags a week need studies of 14 days"),
        (0, WEEKLY, "flags a week need studies of 14 days"),
        (0, SHARE, "no such study is a case of this bundle"),
    ],
)
def test_a_budget_needs_studies(
    calibrator: FindingCalibrator, studies: int, target: CalibrationTarget, said: str
) -> None:
    fill(calibrator, 0, studies)
    with pytest.raises(CalibrationRefused, match=said):
        calibrator.set_by_budget(VERSION, FINDING, target)
