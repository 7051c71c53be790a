"""Reports in HL7 messages, valid and malformed."""

from pathlib import Path

import pytest

from tests.builders.readings import oru
from tests.builders.reportings import KINDS
from triage.cases.readings.deidentify import deidentify
from triage.cases.readings.oru import OURS, read_oru
from triage.cases.readings.reading_report import ReadingReport
from triage.cases.readings.segments import is_hl7
from triage.reports import codes, hl7


def read(folder: Path, content: bytes | str) -> list[ReadingReport]:
    path = folder / "messages.hl7"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert is_hl7(path)
    return [report for _, report in read_oru(path)]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize(
    "frame", [("", ""), ("\x0b", "\x1c\r"), ("FHS|^~\\&\rBHS|^~\\&\r", "BTS|1\rFTS|1\r")]
)
@pytest.mark.parametrize("version", ["2.2", "2.31", "2.5.1", ""])
def test_a_file_of_messages_is_read(
    tmp_path: Path, end: str, frame: tuple[str, str], version: str
) -> None:
    one, two = (oru(accession=f"A{n}", version=version, study_uid=f"1.2.3.{n}") for n in (1, 2))
    content = "".join(frame[0] + message + frame[1] for message in (one, two)).replace("\r", end)
    first, second = read(tmp_path, content)
    assert (first.accession, first.filler, first.study_uid) == ("A1", "F1", "1.2.3.1")
    assert (second.accession, second.study_uid) == ("A2", "1.2.3.2")
    assert first.impression == "Dilated left ventricle."
    assert first.patient_ids == ("4711",)
    assert first.final
    assert first.moment == "20240305101500"


def test_escapes_repetitions_and_broken_lines_are_resolved(tmp_path: Path) -> None:
    text = (
        r"FINDINGS: x~IMPRESSION:\.br\1. A \T\ B \S\ \F\ \R\ \E\ \H\big\N\~2. C\X0D\3. D\Z9\ "
        "\n4. E"
    )
    (report,) = read(tmp_path, oru([text], value_type="FT"))
    assert report.impression == "1. A & B ^ | ~ \\ big\n2. C\n3. D\n4. E"


def test_other_separators_are_read(tmp_path: Path) -> None:
    message = oru(["IMPRESSION:~A $T$ B"]).replace("\\", "$").replace("|", "#").replace("^", "!")
    (report,) = read(tmp_path, message)
    assert (report.impression, report.accession) == ("A & B", "ACC1")


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("UNICODE UTF-8", "utf-8"),
        ("", "latin-1"),
        ("", "utf-8"),
    ],
)
def test_character_sets_are_decoded(tmp_path: Path, charset: str, encoding: str) -> None:
    (report,) = read(tmp_path, oru(["IMPRESSION: Größer"], charset=charset).encode(encoding))
    assert report.impression == "Größer"


def test_a_segment_labelled_as_impression_is_one(tmp_path: Path) -> None:
    for obx_3 in ("71250&IMP^MRI^L", "19005-8^Impressions^LN", "X^IMPRESSION^L"):
        (report,) = read(tmp_path, oru(["Scar.", "Dilated LV."], obx_3=obx_3))
        assert report.impression == "Scar.\nDilated LV."


def test_a_report_without_headings_or_of_markup_has_no_impression(tmp_path: Path) -> None:
    for lines in (["Scar."], [], ["{\\E\\rtf1 IMPRESSION: Scar}"], ["<html>IMPRESSION:<br>x"]):
        (report,) = read(tmp_path, oru(lines))
        assert report.impression is None


def test_accession_and_study_are_found_in_all_usual_fields(tmp_path: Path) -> None:
    message = oru(accession="") + "IPC|A9|RP|1.2.3.9^^^|SPS\rNTE|1||x\rZXX|1|2\r"
    (report,) = read(tmp_path, message)
    assert (report.accession, report.study_uid) == ("A9", "1.2.3.9")
    message = (
        oru(accession="")
        + "OBX|9|HD|110180^Study Instance UID^DCM||^1.2.3.8^ISO\rOBX|9|ST|121022^x^DCM||A8\r"
    )
    (report,) = read(tmp_path, message)
    assert (report.accession, report.study_uid) == ("A8", "1.2.3.8")


def test_status_of_results_and_orders(tmp_path: Path) -> None:
    (preliminary,) = read(tmp_path, oru(status="P"))
    (cancelled,) = read(tmp_path, oru(status="X"))
    assert (preliminary.final, preliminary.impression) == (False, "Dilated left ventricle.")
    assert cancelled.impression is None


def test_persons_in_the_message_are_removed_from_the_text(tmp_path: Path) -> None:
    (report,) = read(
        tmp_path,
        oru(["IMPRESSION: Scar, seen by hartmann, Rossi and H. Okonkwo. Jürgen of Abbey Road."]),
    )
    assert deidentify(report.impression or "", report.known) == (
        "Scar, seen by [name] and [name]. [name] of [place]."
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "capture" not in kind])
def test_messages_of_the_worker_are_skipped(tmp_path: Path, kind: str) -> None:
    assert OURS == codes.SCHEME
    assert read(tmp_path, hl7.build(KINDS[kind]()).content) == []


def test_other_and_large_messages_are_handled(tmp_path: Path) -> None:
    adt = oru().replace("ORU^R01", "ADT^A01")
    large = oru(["FINDINGS:", *(f"line {n}" for n in range(20_000)), "IMPRESSION:", "Scar."])
    (report,) = read(tmp_path, adt + large)
    assert report.impression == "Scar."
