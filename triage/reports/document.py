"""What a Structured Report and a Key Object Selection have in common: series, writer, evidence.

Rule: whichever of our documents a reader opens, it says the same about who wrote it, that nobody
verified it, and of what study it is.
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
    # The study's own, so that every revision gives its series the same.
    if document.StudyDate:
        document.SeriesDate, document.SeriesTime = document.StudyDate, document.StudyTime
    document.ReferencedPerformedProcedureStepSequence = []


def put_equipment(document: Dataset, assessment: Assessment, equipment: Equipment) -> None:
    """Put who writes: Enhanced General Equipment (PS3.3 C.7.5.2), and what contributed."""
    document.Manufacturer = equipment.manufacturer
    document.ManufacturerModelName = equipment.name
    document.DeviceSerialNumber = equipment.serial
    document.SoftwareVersions = equipment.software_version
    document.ContributingEquipmentSequence = [_algorithm_as_equipment(assessment, equipment)]


def put_current_evidence(document: Dataset, images: Iterable[SourceImage]) -> None:
    """Put what the document is made from (PS3.3 C.17.2.3)."""
    current = references.study_item(document.StudyInstanceUID, images)
    document.CurrentRequestedProcedureEvidenceSequence = [current]


def observer_items(assessment: Assessment, equipment: Equipment) -> Iterator[ContentItem]:
    """Return TID 1002 and TID 1004 without Observer Type: a device has observed, not a person."""
    yield uidref(codes.DEVICE_UID, equipment.device_uid, CONTEXT)
    yield text(codes.DEVICE_NAME, equipment.name, CONTEXT)
    yield text(codes.DEVICE_MANUFACTURER, equipment.manufacturer, CONTEXT)
    yield text(codes.DEVICE_MODEL, assessment.model.name, CONTEXT)
    yield text(codes.DEVICE_SERIAL, equipment.serial, CONTEXT)


def key_frames(assessment: Assessment) -> list[KeyFrame]:
    """Return the key frames of all flagged findings that readers bear, each image once."""
    frames = (
        frame
        for answer in assessment.answers
        if answer.flag is Flag.YES
        for frame in answer.key_frames
        if is_readable(frame.image)
    )
    once: dict[SourceImage, KeyFrame] = {}
    for frame in frames:
        once.setdefault(frame.image, frame)
    return list(once.values())


def _algorithm_as_equipment(assessment: Assessment, equipment: Equipment) -> Dataset:
    """The algorithm in the Contributing Equipment Sequence, as IHE AIR 6.5.3.1 wants it."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [references.code_item(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = equipment.manufacturer
    item.ManufacturerModelName = assessment.model.name
    item.SoftwareVersions = assessment.model.version
    item.DeviceUID = equipment.device_uid
    item.ContributionDescription = "Image-text scoring of the findings"
    return item
