"""Patient and study in the report are those of the images, even if these are malformed."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from tests.builders.assessments import STUDY_UID, as_received, evidence, mixed, untrained
from tests.builders.reportings import reporting
from triage.dicom.patient import PATIENT
from triage.domain.errors import StudyDeclined
from triage.reports import header, structured_report

COPIED = [keyword for keyword in header.OPTIONAL if keyword != "TimezoneOffsetFromUTC"]
SAME = (*header.REQUIRED, *COPIED, "StudyInstanceUID")
REAL_DATA = Path(
    os.environ.get("TRIAGE_REAL_DATA", str(Path(__file__).parents[4] / "shared" / "data"))
)


def report_on(images: list[Dataset]) -> Dataset:
    assessment = untrained(str(images[0].StudyInstanceUID), images)
    return dcmread(BytesIO(structured_report.build(reporting(assessment, images)).content))


def spoilt(**values: object) -> list[Dataset]:
    """Return the evidence as received, with values replaced, or removed if None."""
    images = evidence()
    with header.ignore_value_warnings():
        for image in images:
            for keyword, value in values.items():
                setattr(image, keyword, value)
                if value is None:
                    delattr(image, keyword)
    return [as_received(image) for image in images]


def test_patient_and_study_are_copied_from_the_images() -> None:
    images = evidence()
    report = report_on([as_received(image) for image in images])
    assert report.SpecificCharacterSet == "ISO_IR 192"
    for keyword in SAME:
        assert report.get(keyword) == images[0].get(keyword), keyword


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Ångström^Zoë"),
        ("ISO_IR 192", "Nguyễn^Thị Hoa"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_stay_readable_from_any_character_set(charset: str | list[str], name: str) -> None:
    images = spoilt(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName=name)
    assert images[0].SpecificCharacterSet != "ISO_IR 192" or charset == "ISO_IR 192"
    report = report_on(images)
    assert report.PatientName == name
    assert report.ReferringPhysicianName == name


def test_missing_attributes_become_blank_or_absent() -> None:
    images = spoilt(**dict.fromkeys((*header.REQUIRED, "IssuerOfPatientID", "StudyDescription")))
    report = report_on(images)
    assert all(not report[keyword].value for keyword in header.REQUIRED)
    assert all(keyword not in report for keyword in COPIED)
    assert "SeriesDate" not in report


@pytest.mark.parametrize(
    ("keyword", "dirty", "clean"),
    [
        ("StudyDate", "2024.03.05", "20240305"),
        ("StudyDate", "20240231", ""),
        ("StudyDate", "yesterday", ""),
        ("StudyDate", "", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientBirthDate", "1960", ""),
        ("StudyTime", "10:15:00", "101500"),
        ("StudyTime", "101500.123", "101500.123"),
        ("StudyTime", "10", "10"),
        ("StudyTime", "256199", ""),
        ("PatientSex", "f", "F"),
        ("PatientSex", "unknown", ""),
        ("PatientID", "A" * 70, "A" * 70),
        ("AccessionNumber", "12345678901234567", "12345678901234567"),
        ("StudyID", None, ""),
        ("TimezoneOffsetFromUTC", "+0930", "+0930"),
    ],
)
def test_invalid_values_become_blank_and_others_stay(
    keyword: str, dirty: str | None, clean: str | None
) -> None:
    report = report_on(spoilt(**{keyword: dirty}))
    with header.ignore_value_warnings():
        value = report.get(keyword)
    assert value == clean


def test_a_value_of_only_some_images_is_used() -> None:
    images = evidence()
    for image in images[:-1]:
        del image.AccessionNumber
    assert report_on(images).AccessionNumber == "ACC0001"


def test_the_series_has_the_date_of_the_study() -> None:
    report = report_on(evidence())
    assert (report.SeriesDate, report.SeriesTime) == ("20240305", "101500")


@pytest.mark.parametrize("keyword", PATIENT)
def test_two_patients_are_rejected_without_naming_them(keyword: str) -> None:
    images = evidence()
    other = "19610101" if keyword == "PatientBirthDate" else "Smith"
    setattr(images[30], keyword, other)
    with pytest.raises(StudyDeclined, match=keyword) as refused:
        structured_report.build(reporting(mixed(), images))
    assert STUDY_UID in str(refused.value)
    assert other not in str(refused.value)
    assert str(evidence()[0].get(keyword)) not in str(refused.value)


def test_another_spelling_is_the_same_patient() -> None:
    images = evidence()
    images[30].PatientName = "MÜLLER^JÜRGEN^^"
    images[31].PatientID = ""
    report = report_on(images)
    assert report.PatientID == "CMR-0001"


def test_images_of_another_study_are_rejected() -> None:
    images = evidence()
    images[30].StudyInstanceUID = "1.2.3"
    with pytest.raises(ValueError, match=r"1\.2\.3 are no evidence"):
        structured_report.build(reporting(mixed(), images))


def test_evidence_without_an_assessed_image_is_rejected() -> None:
    with pytest.raises(ValueError, match="not among the evidence"):
        structured_report.build(reporting(mixed(), evidence()[1:]))
    with pytest.raises(ValueError, match="no images"):
        structured_report.build(reporting(mixed(), []))


def test_uids_with_leading_zeros_are_in_the_evidence_but_not_in_the_tree() -> None:
    images = evidence()
    with header.ignore_value_warnings():
        images[0].SOPInstanceUID = UID("1.2.3.04")
    assessment = untrained(STUDY_UID, images)
    content = structured_report.build(reporting(assessment, images)).content
    report = dcmread(BytesIO(content))
    with header.ignore_value_warnings():
        assert "1.2.3.04" in str(report.CurrentRequestedProcedureEvidenceSequence)
        assert "1.2.3.04" not in str(report.ContentSequence)
        assert images[1].SOPInstanceUID in str(report.ContentSequence)


def test_a_real_study_keeps_its_patient_and_its_images() -> None:
    folder = REAL_DATA / "siemens_vida_cine"
    if not folder.is_dir():
        pytest.skip(f"no real data in {REAL_DATA}; set TRIAGE_REAL_DATA")
    files = [path for name in ("Se6", "Se2") for path in sorted(folder.glob(f"*/{name}/*"))]
    images: list[Dataset] = [dcmread(path, stop_before_pixels=True) for path in files]
    report = report_on(images)
    listed = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert len(listed) == 50
    assert listed == {image.SOPInstanceUID for image in images}
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
        assert (report.get(keyword) or "") == (images[0].get(keyword) or ""), keyword
