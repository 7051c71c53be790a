"""Patient, study and dates of a report, as the images state them.

Rule: what identifies patient and study is handed on unchanged, for archives match on it. Only what
is no date, time or sex at all becomes blank, and nothing is made up. Images of two patients or two
studies are refused: a report in the wrong folder is the worst that this package could do.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import Dataset

from triage.dicom.patient import refuse_two_patients, text_value
from triage.domain.assessment import Assessment

#: Type 2 of the Patient and General Study Modules (PS3.3 C.7.1.1, C.7.2.1): there, maybe blank.
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
#: Type 3: there where the images have them.
OPTIONAL = ("IssuerOfPatientID", "StudyDescription", "TimezoneOffsetFromUTC")
#: Pairs of date and time, any of which says when the study was still going on.
MOMENTS = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
#: Content Date and Time are Type 1, so there is a value even where no image has a date.
UNDATED = ("19000101", "000000")


@contextmanager
def ignore_value_warnings() -> Iterator[None]:
    """Let pydicom read and write what is not valid without a warning.

    The input is as it is: the images of a patient are referenced by UIDs with leading zeros or not
    at all, and a wrongly declared character set costs letters, not the report.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom\.")
        yield


def checked_evidence(evidence: Sequence[Dataset], assessment: Assessment) -> list[Dataset]:
    """Return `evidence` in an order of its own; raise unless it is all of one patient's study."""
    if not evidence:
        raise ValueError(f"no images are given as evidence for study {assessment.study_uid}")
    strangers = {str(image.StudyInstanceUID) for image in evidence} - {assessment.study_uid}
    if strangers:
        raise ValueError(f"images of {min(strangers)} are no evidence for {assessment.study_uid}")
    named = {source.sop_instance_uid for view in assessment.used for source in view.images}
    named |= {k.image.sop_instance_uid for answer in assessment.answers for k in answer.key_frames}
    lacking = named - {str(image.SOPInstanceUID) for image in evidence}
    if lacking:
        raise ValueError(f"{min(lacking)} was looked at, but is not among the evidence")
    refuse_two_patients(evidence, assessment.study_uid)
    return sorted(evidence, key=lambda image: (image.SeriesInstanceUID, image.SOPInstanceUID))


def patient_and_study_header(images: Sequence[Dataset]) -> Dataset:
    """Return the attributes of patient and study, in UTF-8 whatever the images came in."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.StudyInstanceUID = images[0].StudyInstanceUID
    for keyword in REQUIRED:
        setattr(header, keyword, _stated(images, keyword))
    for keyword in OPTIONAL:
        if value := _stated(images, keyword):
            setattr(header, keyword, value)
    return header


def latest_moment(images: Sequence[Dataset]) -> tuple[str, str]:
    """Return date and time of the youngest image: a report has no clock of its own."""
    moments = {
        (day, text_value(image, time_keyword) or "000000")
        for image in images
        for date_keyword, time_keyword in MOMENTS
        if (day := text_value(image, date_keyword))
    }
    return max(moments, default=UNDATED)


def _stated(images: Sequence[Dataset], keyword: str) -> str:
    """The value of the first image that has one."""
    return next((text for image in images if (text := text_value(image, keyword))), "")
