"""Patient, study and dates of a report, taken from the images.

Identifiers of patient and study are copied unchanged, because archives match on them. Only an
invalid date, time or sex becomes blank; no value is made up. Images of two patients or two studies
are rejected, because a report in the wrong patient's folder is the worst possible error here.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import Dataset

from triage.dicom.patient import refuse_two_patients, text_value
from triage.domain.assessment import Assessment

#: Type 2 of the Patient and General Study Modules (PS3.3 C.7.1.1, C.7.2.1): blank if unknown.
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
#: Type 3: copied if the images have them.
OPTIONAL = ("IssuerOfPatientID", "StudyDescription", "TimezoneOffsetFromUTC")
#: Pairs of date and time at which the study was still in progress.
MOMENTS = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
#: Content Date and Time are Type 1 and need a value even if no image has a date.
UNDATED = ("19000101", "000000")


@contextmanager
def ignore_value_warnings() -> Iterator[None]:
    """Suppress pydicom's warnings about invalid values.

    Images with invalid UIDs (leading zeros) can be referenced only by these UIDs, and a wrongly
    declared character set garbles letters but does not prevent the report.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom\.")
        yield


def checked_evidence(evidence: Sequence[Dataset], assessment: Assessment) -> list[Dataset]:
    """Return `evidence` sorted by series and instance.

    Raises:
        ValueError: It is not of this study, or lacks an image that the assessment names.
        StudyDeclined: It shows more than one patient.
    """
    if not evidence:
        raise ValueError(f"no images are given as evidence for study {assessment.study_uid}")
    other = {str(image.StudyInstanceUID) for image in evidence} - {assessment.study_uid}
    if other:
        raise ValueError(f"images of {min(other)} are no evidence for {assessment.study_uid}")
    named = {source.sop_instance_uid for view in assessment.used for source in view.images}
    named |= {k.image.sop_instance_uid for answer in assessment.answers for k in answer.key_frames}
    missing = named - {str(image.SOPInstanceUID) for image in evidence}
    if missing:
        raise ValueError(f"{min(missing)} was assessed, but is not among the evidence")
    refuse_two_patients(evidence, assessment.study_uid)
    return sorted(evidence, key=lambda image: (image.SeriesInstanceUID, image.SOPInstanceUID))


def patient_and_study_header(images: Sequence[Dataset]) -> Dataset:
    """Return the attributes of patient and study, in UTF-8."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.StudyInstanceUID = images[0].StudyInstanceUID
    for keyword in REQUIRED:
        setattr(header, keyword, _first_value(images, keyword))
    for keyword in OPTIONAL:
        if value := _first_value(images, keyword):
            setattr(header, keyword, value)
    return header


def latest_moment(images: Sequence[Dataset]) -> tuple[str, str]:
    """Return date and time of the latest image: a report does not use a clock."""
    moments = {
        (day, text_value(image, time_keyword) or "000000")
        for image in images
        for date_keyword, time_keyword in MOMENTS
        if (day := text_value(image, date_keyword))
    }
    return max(moments, default=UNDATED)


def _first_value(images: Sequence[Dataset], keyword: str) -> str:
    """Return the value in the first image that has one; else blank."""
    return next((text for image in images if (text := text_value(image, keyword))), "")
