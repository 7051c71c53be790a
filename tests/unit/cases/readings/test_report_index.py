"""Links of reports to studies, and rejected reports."""

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

from tests.builders.readings import basic_text_sr, oru, patient
from triage.cases.readings.report_index import LinkedReading, ReportIndex, read_reports
from triage.domain.errors import ConfigurationError
from triage.phantom.heart import draw_heart
from triage.phantom.impression import compose_impression
from triage.phantom.readers import ReaderStyle

UID = "1.2.840.99999.1.7"
MANY = 3_000


def header(**values: str) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.AccessionNumber = UID, "ACC1"
    dataset.PatientID = "4711"
    dataset.PatientName = "Smith^Anna"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def table(folder: Path, text: str, name: str = "reports.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sr(text: str, **values: str) -> Dataset:
    return basic_text_sr([(codes.DCM.Impressions, text)], header(), **values)


def test_a_linked_reading_has_no_identifiers(tmp_path: Path) -> None:
    impression = "Scar, seen by Dr. Jones. Smith, ACC1, 3/5/2024."
    text = f'accession,impression,confirmed\nacc1,"{impression}",lge\n'
    reports = read_reports([table(tmp_path, text)])
    assert reports.find_reading(header()) == LinkedReading(
        "Scar, seen by Dr. [name]. [name], [number], [date].", ("lge",), labelled=True
    )
    assert reports.find_reading(header(AccessionNumber="ACC2")) is None
    assert (reports.tally.read, reports.tally.joined) == (1, 1)


def test_the_study_uid_takes_precedence_over_the_accession_number(tmp_path: Path) -> None:
    text = f"study_uid,accession,impression\n1.2.3,ACC1,One\n{UID},,Two\n"
    reports = read_reports([table(tmp_path, text)])
    assert reports.find_reading(header()) == LinkedReading("Two")
    assert reports.find_reading(header(StudyInstanceUID="1.2.3")) == LinkedReading("One")
    assert reports.find_reading(header(StudyInstanceUID="1.2.9")) is None
    assert reports.tally.other_study == 1


def test_a_report_on_another_patient_is_rejected_and_counted(tmp_path: Path) -> None:
    table(tmp_path, oru(patient_id="0815"), "a.hl7")
    reports = read_reports([tmp_path])
    assert reports.find_reading(header()) is None
    assert reports.find_reading(header(PatientID="815")) == LinkedReading("Dilated left ventricle.")
    assert reports.find_reading(header(PatientID="")) is not None
    assert reports.tally.other_patient == 1


def test_another_patient_id_of_the_same_patient_is_accepted(tmp_path: Path) -> None:
    other = Dataset()
    other.PatientID = "0815"
    known = header()
    known.OtherPatientIDsSequence = [other]
    assert read_reports([table(tmp_path, oru(patient_id="815"), "a.hl7")]).find_reading(known)


def test_the_fillers_order_number_is_used_last(tmp_path: Path) -> None:
    table(tmp_path, oru(["IMPRESSION: One"], accession="", filler="ACC1"), "a.hl7")
    assert read_reports([tmp_path]).find_reading(header()) == LinkedReading("One")
    table(tmp_path, oru(["IMPRESSION: Two"], accession="ACC1", filler="F"), "b.hl7")
    assert read_reports([tmp_path]).find_reading(header()) == LinkedReading("Two")


@pytest.mark.parametrize("turn", [1, -1])
def test_a_final_report_replaces_a_preliminary_one_and_a_later_one_both(
    tmp_path: Path, turn: int
) -> None:
    messages = [
        oru(["IMPRESSION: Early"], status="F", moment="20240301"),
        oru(["IMPRESSION: Late"], status="C", moment="202403011015"),
        oru(["IMPRESSION: Draft"], status="P", moment="20240307"),
    ]
    path = table(tmp_path, "".join(messages[::turn]), "a.hl7")
    assert read_reports([path]).find_reading(header()) == LinkedReading("Late")


def test_a_cancelled_report_removes_the_earlier_one(tmp_path: Path) -> None:
    path = table(tmp_path, oru(moment="20240301") + oru(status="X", moment="20240302"), "a.hl7")
    assert read_reports([path]).find_reading(header()) is None


def test_two_different_rows_are_an_error_and_two_equal_rows_are_not(tmp_path: Path) -> None:
    same = table(tmp_path, "accession,impression\nA1,x\nA1,x\n")
    assert read_reports([same, same]).tally.read == 4
    twice = table(tmp_path, "accession,impression\nA1,x\nA2,y\nA1,z\n")
    with pytest.raises(ConfigurationError, match="reports.csv, line 4: a second, different report"):
        read_reports([twice])


def test_reports_without_an_impression_are_counted(tmp_path: Path) -> None:
    reports = read_reports(
        [table(tmp_path, "accession,report\nACC1,Scar all over\nA2,IMPRESSION: x\n")]
    )
    assert reports.tally.without_impression == 1
    assert reports.find_reading(header()) is None


def test_srs_among_the_images_are_used_without_a_report_in_a_file(tmp_path: Path) -> None:
    documents = [
        sr("Early."),
        sr("Checked by Okonkwo.", VerificationFlag="VERIFIED"),
        sr("Late.", ContentDate="20250101"),
        sr("Stranger.", StudyInstanceUID="1.2.3", VerificationFlag="VERIFIED"),
    ]
    assert ReportIndex().find_reading(header(), documents) == LinkedReading(
        "Checked by [name].", from_archive=True
    )
    assert ReportIndex().find_reading(header(), [documents[0], documents[2]]) == LinkedReading(
        "Late.", from_archive=True
    )
    assert ReportIndex().find_reading(header(PatientID="9"), documents) is None
    only = read_reports([table(tmp_path, "accession,confirmed\nACC1,lge\n")])
    assert only.find_reading(header(), documents) == LinkedReading(
        "Checked by [name].", ("lge",), labelled=True, from_archive=True
    )
    text = read_reports([table(tmp_path, "accession,impression\nACC1,From the file\n")])
    assert text.find_reading(header(), documents) == LinkedReading("From the file")


def test_folders_are_searched_for_tables_and_messages_only(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    table(tmp_path / "deep", oru(accession="A2"), "4711.oru")
    table(tmp_path, "accession,impression\nACC1,x\n")
    (tmp_path / "image.dcm").write_bytes(b"\0" * 132 + b"MSH|")
    table(tmp_path, "read me", "README.txt")
    assert read_reports([tmp_path]).tally.read == 2
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        read_reports([tmp_path / "nowhere"])
    with pytest.raises(ConfigurationError, match=r"README.txt, line 1"):
        read_reports([tmp_path / "README.txt"])


@pytest.mark.parametrize("kind", ["csv", "hl7"])
def test_many_reports_need_little_memory(tmp_path: Path, kind: str) -> None:
    texts = [
        compose_impression(draw_heart(seed), seed, list(ReaderStyle)[seed % 9])
        for seed in range(100)
    ]
    path = tmp_path / f"reports.{kind}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            file.write("accession,report\n")
        for number in range(MANY):
            lines = ["FINDINGS: " + "words " * 200, "IMPRESSION:", *texts[number % 100].split("\n")]
            if kind == "csv":
                file.write(f'A{number},"' + "\n".join(lines) + '"\n')
            else:
                file.write(
                    oru(lines, accession=f"A{number}", filler=f"F{number}", patient_id=f"P{number}")
                )
    tracemalloc.start()
    reports = read_reports([path])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reports.tally.read == MANY
    size = held / MANY
    print(f"{kind}: {size:.0f} bytes a report, {size / 5:.0f} MB for 200,000")
    assert size < 2_500


def test_no_identifier_of_the_builder_remains(tmp_path: Path) -> None:
    who = patient(Random(9))
    known = who.header
    text = f"study_uid,impression\n{UID},Scar of {who.given} {who.family} at {who.hospital}\n"
    found = read_reports([table(tmp_path, text)]).find_reading(known)
    assert found is not None
    assert found.impression == "Scar of [name] at [place]"
