"""Patient and study of a report, taken from the images, and the time of its making.

Identifiers of patient and study are copied unchanged, because archives match on them. Only an
invalid date, time or sex becomes blank; no value is made up. Images of two patients or two studies
are rejected, because a report in the wrong patient's folder is the worst possible error here.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

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
FIRST_YEAR = 1972  #: since then, nearly all offsets from UTC are whole minutes, as DICOM needs


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


def put_time(document: Dataset, made_at: datetime) -> None:
    """Put the time of making, and the offset of its zone (PS3.3 C.12.1, C.17.2).

    One offset holds for all dates of an object, those of the study among them.
    """
    offset = utc_offset(document, made_at)
    at = made_at.astimezone(datetime.strptime(offset, "%z").tzinfo)
    document.TimezoneOffsetFromUTC = offset
    document.ContentDate = document.InstanceCreationDate = f"{at:%Y%m%d}"
    document.ContentTime = document.InstanceCreationTime = f"{at:%H%M%S.%f}"


def utc_offset(patient_and_study: Dataset, made_at: datetime) -> str:
    """Return the offset from UTC of the times of the study, as "+0100".

    It is that of the images or, if they state none, that of the site on the day of the study.
    """
    if stated := patient_and_study.get("TimezoneOffsetFromUTC"):
        return str(stated)
    day = made_at
    if patient_and_study.StudyDate:
        noon = datetime.strptime(f"{patient_and_study.StudyDate}12+0000", "%Y%m%d%H%z")
        day = noon.replace(year=max(noon.year, FIRST_YEAR), tzinfo=made_at.tzinfo)
    minutes = round((day.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}{rest:02}"


def _first_value(images: Sequence[Dataset], keyword: str) -> str:
    """Return the value in the first image that has one; else blank."""
    return next((text for image in images if (text := text_value(image, keyword))), "")
