"""Modules that Structured Report and Key Object Selection share: series, equipment, evidence.

So both documents state the same author, the same study, and that the output is not verified.
"""

from collections.abc import Iterable, Iterator

from highdicom.sr import ContentItem
from pydicom import Dataset

from triage.domain.assessment import Assessment, Flag, KeyFrame, SourceImage
from triage.reports import codes, identity, references
from triage.reports.content import CONTEXT, is_readable, text, uidref
from triage.reports.equipment import Equipment

TITLE = "AI triage (RESEARCH USE ONLY)"
INTENDED_USE = "RESEARCH USE ONLY. Unverified AI output; not for diagnosis or treatment."


def put_series(document: Dataset, kind: str, modality: str, number: int) -> None:
    """Put the Series Module (PS3.3 C.17.1, C.17.6.1): one series for all documents of a kind."""
    document.Modality = modality
    document.SeriesInstanceUID = identity.series_uid(kind, document.StudyInstanceUID)
    document.SeriesNumber = number
    document.SeriesDescription = TITLE
    # Date and time of the study, so that they are equal in every revision of the series.
    if document.StudyDate:
        document.SeriesDate, document.SeriesTime = document.StudyDate, document.StudyTime
    document.ReferencedPerformedProcedureStepSequence = []


def put_equipment(document: Dataset, assessment: Assessment, equipment: Equipment) -> None:
    """Put Enhanced General Equipment (PS3.3 C.7.5.2) and Contributing Equipment."""
    document.Manufacturer = equipment.manufacturer
    document.ManufacturerModelName = equipment.name
    document.DeviceSerialNumber = equipment.serial
    document.SoftwareVersions = equipment.software_version
    document.ContributingEquipmentSequence = [_algorithm_as_equipment(assessment, equipment)]


def put_current_evidence(document: Dataset, images: Iterable[SourceImage]) -> None:
    """Put the images that the document is based on (PS3.3 C.17.2.3)."""
    current = references.study_item(document.StudyInstanceUID, images)
    document.CurrentRequestedProcedureEvidenceSequence = [current]


def observer_items(assessment: Assessment, equipment: Equipment) -> Iterator[ContentItem]:
    """Yield the observer context (TID 1002, TID 1004): a device, without Observer Type."""
    yield uidref(codes.DEVICE_UID, equipment.device_uid, CONTEXT)
    yield text(codes.DEVICE_NAME, equipment.name, CONTEXT)
    yield text(codes.DEVICE_MANUFACTURER, equipment.manufacturer, CONTEXT)
    yield text(codes.DEVICE_MODEL, assessment.model.name, CONTEXT)
    yield text(codes.DEVICE_SERIAL, equipment.serial, CONTEXT)


def key_frames(assessment: Assessment) -> list[KeyFrame]:
    """Return the readable key frames of all flagged findings, each image once."""
    frames = (
        frame
        for answer in assessment.answers
        if answer.flag is Flag.YES
        for frame in answer.key_frames
        if is_readable(frame.image)
    )
    by_image: dict[SourceImage, KeyFrame] = {}
    for frame in frames:
        by_image.setdefault(frame.image, frame)
    return list(by_image.values())


def _algorithm_as_equipment(assessment: Assessment, equipment: Equipment) -> Dataset:
    """Return the algorithm for the Contributing Equipment Sequence (IHE AIR 6.5.3.1)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [references.code_item(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = equipment.manufacturer
    item.ManufacturerModelName = assessment.model.name
    item.SoftwareVersions = assessment.model.version
    item.DeviceUID = equipment.device_uid
    item.ContributionDescription = "Image-text scoring of the findings"
    return item
