"""The ORU^R01 message, parsed strictly."""

import warnings
from dataclasses import replace
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.assessments import STUDY_UID, mixed
from tests.builders.reportings import KINDS, forty, reporting, usual
from triage.domain.assessment import Flag
from triage.reports import draft, hl7
from triage.reports.reporting import Reporting

WORDS = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~"}


def build_message(reporting: Reporting) -> str:
    return hl7.build(reporting).content.decode()


def fields(message: str, name: str) -> list[list[str]]:
    return [line.split("|") for line in message.split("\r") if line.startswith(f"{name}|")]


def read(text: str) -> str:
    """Return an escaped text as a receiver reads it (section 2.7.1)."""
    pieces = text.split("\\")
    return "".join(WORDS[p] if n % 2 else p for n, p in enumerate(pieces))


@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_parser_accepts_it_and_returns_it(kind: str) -> None:
    message = build_message(KINDS[kind]())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed: Any = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT)
        assert parsed.validate()
    assert parsed.name == "ORU_R01"
    assert parsed.to_er7() == message.rstrip("\r")


@pytest.mark.parametrize("kind", KINDS)
def test_each_line_is_a_segment_in_the_standard_order(kind: str) -> None:
    message = build_message(KINDS[kind]())
    assert message.endswith("\r")
    assert "\n" not in message
    names = [line[:3] for line in message.rstrip("\r").split("\r")]
    assert names[:4] == ["MSH", "PID", "OBR", "NTE"]
    assert set(names[4:]) <= {"TQ1", "OBX", "NTE"}
    numbers = [int(obx[1]) for obx in fields(message, "OBX")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_header_states_version_character_set_and_message_type() -> None:
    (msh,) = fields(build_message(KINDS["usual"]()), "MSH")
    assert msh[8] == "ORU^R01^ORU_R01"
    assert msh[6] == "20261104093015+0100"
    assert (msh[10], msh[11], msh[17]) == ("P", "2.5.1", "UNICODE UTF-8")
    assert 0 < len(msh[9]) <= 20


def test_the_order_is_preliminary_and_for_research() -> None:
    message = build_message(KINDS["usual"]())
    (obr,) = fields(message, "OBR")
    assert (obr[3], obr[18], obr[25]) == ("ACC0001", "ACC0001", "P")
    assert {obx[11] for obx in fields(message, "OBX")} == {"P", "X"}
    assert "RESEARCH USE ONLY" in fields(message, "NTE")[0][3]


def test_the_study_uid_replaces_a_missing_accession_number() -> None:
    message = build_message(KINDS["no_accession"]())
    (obr,) = fields(message, "OBR")
    assert obr[3] == f"{STUDY_UID}^^{STUDY_UID}^ISO"
    assert obr[18] == ""
    assert fields(message, "OBX")[0][3:6] == [
        "110180^Study Instance UID^DCM",
        "",
        f"^{STUDY_UID}^ISO",
    ]


def test_patients_without_number_are_not_merged() -> None:
    message = build_message(KINDS["bare"]())
    (pid,) = fields(message, "PID")
    assert pid[3].split("^")[0] == STUDY_UID
    assert pid[5] == "^^^^^^U"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("usual", ["Müller^Jürgen^^^^^L^A"]),
        (
            "japanese_name",
            ["Yamada^Tarou^^^^^L^A", "山田^太郎^^^^^L^I", "やまだ^たろう^^^^^L^P"],
        ),
        ("awkward_name", [r"O'Brien\F\\T\\R\^<Zoë>^محمد^^^^L^A"]),
    ],
)
def test_a_name_has_one_repetition_per_representation(kind: str, names: list[str]) -> None:
    (pid,) = fields(build_message(KINDS[kind]()), "PID")
    assert pid[5].split("~") == names


def test_prefix_and_suffix_are_swapped() -> None:
    images = KINDS["usual"]().evidence
    for image in images:
        image.PatientName = "Family^Given^Middle^Prefix^Suffix"
    (pid,) = fields(build_message(reporting(usual(), images)), "PID")
    assert pid[5] == "Family^Given^Middle^Suffix^Prefix^^L^A"


@pytest.mark.parametrize(("kind", "flagged"), [("usual", "Undetermined"), ("decided", "Present")])
def test_flagged_ruled_out_undetermined_and_not_evaluated_differ(kind: str, flagged: str) -> None:
    observations = [
        obx for obx in fields(build_message(KINDS[kind]()), "OBX") if obx[2] == "CWE" and obx[4]
    ]
    assert [(obx[4], obx[5].split("^")[1], obx[8], obx[11]) for obx in observations] == [
        ("1", flagged, "A", "P"),
        ("2", "Absent", "", "P"),
        ("3", "Undetermined", "", "P"),
        ("4", "Not Evaluated", "", "X"),
    ]


def test_score_has_its_threshold_as_reference() -> None:
    (first, *_) = [obx for obx in fields(build_message(KINDS["usual"]()), "OBX") if obx[2] == "NM"]
    assert (first[4], first[5], first[7]) == ("1", "0.341000", "<=0.280000")


@pytest.mark.parametrize(
    ("kind", "asked"), [("usual", True), ("none_flagged", False), ("not_evaluated", False)]
)
def test_only_a_flag_changes_the_priority(kind: str, asked: bool) -> None:  # noqa: FBT001
    message = build_message(KINDS[kind]())
    assert [tq1[9] for tq1 in fields(message, "TQ1")] == (["A"] if asked else [])
    (obr,) = fields(message, "OBR")
    assert len(obr) == 26, "no field follows OBR-25"


@pytest.mark.parametrize("kind", ["usual", "forty_findings"])
def test_the_whole_draft_is_in_lines_that_receivers_keep(kind: str) -> None:
    (text,) = [obx[5] for obx in fields(build_message(KINDS[kind]()), "OBX") if obx[2] == "TX"]
    lines = text.split("~")
    assert max(map(len, lines)) < 200
    assert read(" ".join(lines)) == draft.marked_impression(KINDS[kind]().assessment)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn"])))
def test_any_text_survives_escaping(text: str) -> None:
    assert read(hl7.escape(text)) == text


@pytest.mark.parametrize("name", [r"a\b", r"\F\x", "a|b^c&d~e", r"\\", r"x\E\y"])
def test_the_library_keeps_our_escapes(name: str) -> None:
    images = KINDS["usual"]().evidence
    for image in images:
        image.StudyID = "1"
    finding = replace(mixed().answers[0].finding, name=name, code=None)
    answers = (replace(mixed().answers[0], finding=finding),)
    message = build_message(reporting(replace(mixed(), answers=answers), images))
    (question,) = [obx[3] for obx in fields(message, "OBX") if obx[2] == "CWE" and obx[4]]
    assert read(question.split("^")[1]) == name


def test_other_content_is_another_message() -> None:
    first, second = (hl7.build(reporting(assessment)) for assessment in (usual(), forty(Flag.NO)))
    assert first.sop_instance_uid != second.sop_instance_uid
    controls = [fields(product.content.decode(), "MSH")[0][9] for product in (first, second)]
    assert controls[0] != controls[1]
    assert first.media_type == "application/hl7-v2+er7"
    assert first.sop_class_uid == ""


@pytest.mark.parametrize(
    ("day", "time", "offset", "stamp"),
    [
        ("20240305", "101500.123", "+0100", "20240305101500+0100"),
        ("20240305", "1015", "", "202403051015"),
        ("20240305", "10", "", "202403051000"),
        ("20240305", "", "+0100", "20240305"),
        ("", "1015", "+0100", ""),
    ],
)
def test_a_time_stamp_has_only_known_parts(day: str, time: str, offset: str, stamp: str) -> None:
    assert hl7._moment(day, time, offset) == stamp
