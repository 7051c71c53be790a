"""The Structured Report is valid for other programs, and its rendering reads as intended."""

from io import BytesIO
from pathlib import Path

import highdicom
import pytest

from tests.builders.reportings import KINDS
from tests.integration.judges import (
    KNOWN_ERROR,
    dciodvfy,
    dsrdump,
    is_expected_warning,
    lines_starting_with,
    pixelmed,
    rendered_text,
)
from triage.domain.assessment import Assessment, Flag
from triage.reports import codes, structured_report, views
from triage.reports.reporting import Reporting

NAMES = {
    "usual": "Müller",
    "japanese_name": "山田",
    "cyrillic_name": "Достоевская",
    "awkward_name": "محمد",
}


@pytest.fixture(params=KINDS)
def reporting(request: pytest.FixtureRequest) -> Reporting:
    return KINDS[request.param]()


@pytest.fixture
def assessment(reporting: Reporting) -> Assessment:
    return reporting.assessment


@pytest.fixture
def report(reporting: Reporting, tmp_path: Path) -> Path:
    path = tmp_path / "report.dcm"
    path.write_bytes(structured_report.build(reporting).content)
    return path


def test_dciodvfy_and_dcmtk_find_no_error_in_any_sop_class(
    reporting: Reporting, tmp_path: Path
) -> None:
    first = structured_report.build(reporting)
    forms = {"Comprehensive3DSR": first}
    forms["ComprehensiveSR"], forms["EnhancedSR"] = structured_report.alternatives(reporting, first)
    for name, product in forms.items():
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(product.content)
        lines = dciodvfy(path)
        assert name in lines
        assert lines_starting_with(lines, "Error") == []
        dump = dsrdump(path)
        assert "Verification Flag   : UNVERIFIED" in dump
        assert lines_starting_with(dump.splitlines(), "E: ") == []


def test_pixelmed_finds_the_one_known_error(report: Path, assessment: Assessment) -> None:
    lines = pixelmed(report)
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    (error,) = lines_starting_with(lines, "Error")
    assert error.endswith(KNOWN_ERROR)
    questions = {codes.finding_concept(answer.finding).value for answer in assessment.answers}
    assert [
        w for w in lines_starting_with(lines, "Warning") if not is_expected_warning(w, questions)
    ] == []


def test_highdicom_reads_the_groups_and_the_evidence(reporting: Reporting, report: Path) -> None:
    document = highdicom.sr.srread(BytesIO(report.read_bytes()))
    measurements = document.content
    assert isinstance(measurements, highdicom.sr.MeasurementReport)
    groups = measurements.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [
        answer.finding.id for answer in reporting.assessment.answers
    ]
    for group, answer in zip(groups, reporting.assessment.answers, strict=True):
        assert [m.value for m in group.get_measurements(codes.score_concept(answer))] == (
            [] if answer.score is None else [round(answer.score, 6)]
        )
    listed = {
        (study, series, image)
        for study, series, image, _ in document.get_evidence(current_procedure_only=True)
    }
    assert listed == {
        (i.StudyInstanceUID, i.SeriesInstanceUID, i.SOPInstanceUID) for i in reporting.evidence
    }


def test_the_rendering_has_name_flag_presence_and_reason_of_each_finding(
    report: Path, assessment: Assessment
) -> None:
    text = rendered_text(report)
    position = 0
    for answer in assessment.answers:
        question = codes.finding_concept(answer.finding).meaning
        presence = codes.PRESENCES[answer.presence].meaning
        for piece in (
            f"Finding asked about:\n{answer.finding.name}\n",
            f"AI triage flag:\n{answer.flag.value} (",
            f"{question}:\n{presence} (",
            views.spell_out_views(answer.reason),
        ):
            position = text.index(piece, position)
    assert "RESEARCH USE ONLY" in text[position:]
    for view in assessment.used:
        assert (
            f"View used:\n{views.view_title(view.view)}: {view.series_description}"
            in text[position:]
        )
    for gap in assessment.missing:
        assert f"View missing:\n{views.view_title(gap.view)}: {gap.reason}" in text[position:]


def test_the_rendering_begins_with_the_verdict(report: Path, assessment: Assessment) -> None:
    text = rendered_text(report)
    first = text.index("AI triage, research use only\n")
    pieces = (
        f"AI triage flag:\n{assessment.flag.value} (",
        f"AI suggested reading priority:\n{codes.PRIORITIES[assessment.priority].meaning} (",
        "RESEARCH USE ONLY",
        "\nImaging Measurements\n",
    )
    places = [text.index(piece, first) for piece in pieces]
    assert places == sorted(places)
    assert "Image Library" not in text[: places[2]]


def test_not_evaluated_never_reads_as_absent(report: Path, assessment: Assessment) -> None:
    groups = (
        rendered_text(report).split("\nQualitative Evaluations")[0].split("\nMeasurement Group")[1:]
    )
    assert len(groups) == len(assessment.answers)
    for group, answer in zip(groups, assessment.answers, strict=True):
        silent = answer.flag is Flag.NOT_EVALUATED
        assert group.count("Not Evaluated") == (2 if silent else 0)
        assert ("Absent" in group) is (answer.presence.value == "Absent")
        assert ("Present" in group) is (answer.presence.value == "Present")


@pytest.mark.parametrize("kind", NAMES)
def test_the_name_of_the_patient_is_rendered_in_its_script(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(structured_report.build(KINDS[kind]()).content)
    assert NAMES[kind] in dsrdump(path)
