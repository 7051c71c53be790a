"""What programs of other people make of the Structured Report, and what a radiologist reads."""

import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import highdicom
import pytest
from pydicom import Dataset

from tests.builders.assessments import as_received, evidence, mixed, untrained
from tests.builders.reportings import reporting
from tests.peers import peer
from triage.domain.assessment import Assessment, Flag
from triage.reports import codes, header, structured_report

JARS = ("pixelmed", "commons-codec", "hsqldb", "vecmath")
#: The validator reaches the limits of Java's XPath engine on any longer template.
UNLIMITED = [
    "-Xss256m",
    "-Djdk.xml.xpathExprGrpLimit=0",
    "-Djdk.xml.xpathExprOpLimit=0",
    "-Djdk.xml.xpathTotalOpLimit=0",
    "-Djdk.xml.entityExpansionLimit=0",
]
ASSESSMENTS: dict[str, Callable[[], Assessment]] = {"mixed": mixed, "untrained": untrained}


def japanese() -> list[Dataset]:
    images = evidence()
    for image in images:
        image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        image.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return [as_received(image) for image in images]


def bare() -> list[Dataset]:
    images = evidence()
    for image in images:
        for keyword in (*header.REQUIRED, *header.OPTIONAL):
            if keyword in image:
                delattr(image, keyword)
    return images


EVIDENCE: dict[str, Callable[[], list[Dataset]]] = {
    "valid": evidence,
    "Japanese": japanese,
    "bare": bare,
}


@pytest.fixture(params=ASSESSMENTS)
def assessment(request: pytest.FixtureRequest) -> Assessment:
    return ASSESSMENTS[request.param]()


@pytest.fixture(params=EVIDENCE)
def report(request: pytest.FixtureRequest, assessment: Assessment, tmp_path: Path) -> Path:
    images = EVIDENCE[request.param]()
    path = tmp_path / "report.dcm"
    path.write_bytes(structured_report.build(reporting(assessment, images)).content)
    return path


def judged(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, check=True)
    return (done.stdout + done.stderr).decode()


class Text(HTMLParser):
    """The visible text of a page, one line per piece."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def handle_data(self, data: str) -> None:
        self.lines += [line.strip() for line in data.splitlines() if line.strip()]


def rendered(report: Path) -> str:
    page = Text()
    page.feed(judged(peer("dsr2html"), "--charset-require", report))
    return "\n".join(page.lines)


def test_dciodvfy_finds_no_error(report: Path) -> None:
    said = judged(peer("dciodvfy"), "-new", report).splitlines()
    assert "Comprehensive3DSR" in said
    assert [line for line in said if line.startswith("Error")] == []


def test_dsrdump_reads_the_document(report: Path) -> None:
    said = judged(peer("dsrdump"), report)
    assert "Verification Flag   : UNVERIFIED" in said
    assert [line for line in said.splitlines() if line.startswith("E: ")] == []


def test_pixelmed_finds_the_one_known_error(assessment: Assessment, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(structured_report.build(reporting(assessment)).content)
    java = peer("java")
    jars = ":".join(peer(f"/usr/share/java/{jar}.jar") for jar in JARS)
    validator = "com.pixelmed.validate.DicomSRValidator"
    said = judged(java, *UNLIMITED, "-cp", jars, validator, path).splitlines()
    assert "Root Template Validation Complete" in said
    errors = [line for line in said if line.startswith("Error")]
    # CID 100 is extensible, and holds no code for an MRI of the heart.
    assert len(errors) == 1
    assert errors[0].endswith('(241620005,SCT,"Cardiac MRI") not found in context group 100')
    questions = {codes.of_finding(answer.finding).value for answer in assessment.answers}
    for line in said:
        if line.startswith("Warning"):
            added = re.fullmatch(
                r".*/\w+ \(([^,]+),(\w+),[^/]*: Content Item not in template", line
            )
            assert added, line
            assert added[1] in questions or added[2] == codes.SCHEME


def test_highdicom_reads_the_groups_and_the_evidence(assessment: Assessment) -> None:
    images = evidence()
    content = structured_report.build(reporting(assessment, images)).content
    document = highdicom.sr.srread(BytesIO(content))
    measurements = document.content
    assert isinstance(measurements, highdicom.sr.MeasurementReport)
    groups = measurements.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [
        answer.finding.id for answer in assessment.answers
    ]
    for group, answer in zip(groups, assessment.answers, strict=True):
        assert [m.value for m in group.get_measurements(codes.SCORE)] == (
            [] if answer.score is None else [answer.score]
        )
    listed = {(study, series, image) for study, series, image, _ in document.get_evidence()}
    assert listed == {(i.StudyInstanceUID, i.SeriesInstanceUID, i.SOPInstanceUID) for i in images}


def test_radiologist_reads_name_flag_presence_and_reason_of_each_finding(
    report: Path, assessment: Assessment
) -> None:
    text = rendered(report)
    position = 0
    for answer in assessment.answers:
        question = codes.of_finding(answer.finding).meaning
        presence = codes.PRESENCES[answer.presence].meaning
        for piece in (
            f"Finding asked about:\n{answer.finding.name}\n",
            f"AI triage flag:\n{answer.flag.value} (",
            f"{question}:\n{presence} (",
            answer.reason,
        ):
            position = text.index(piece, position)
    assert "RESEARCH USE ONLY" in text[position:]
    for view in assessment.used:
        assert f"View used:\n{view.view}: {view.series_description}" in text[position:]
    for gap in assessment.missing:
        assert f"View missing:\n{gap.view}: {gap.reason}" in text[position:]


def test_not_evaluated_never_reads_as_absent(report: Path, assessment: Assessment) -> None:
    groups = rendered(report).split("\nQualitative Evaluations")[0].split("\nMeasurement Group")[1:]
    assert len(groups) == len(assessment.answers)
    for group, answer in zip(groups, assessment.answers, strict=True):
        silent = answer.flag is Flag.NOT_EVALUATED
        assert group.count("Not Evaluated") == (2 if silent else 0)
        assert ("Absent" in group) is (answer.presence.value == "Absent")
        assert ("Present" in group) is (answer.presence.value == "Present")


def test_name_of_the_patient_is_read_in_its_own_letters(tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    for images, name in ((evidence(), "Müller"), (japanese(), "山田")):
        path.write_bytes(structured_report.build(reporting(mixed(), images)).content)
        assert name in judged(peer("dsrdump"), path)
