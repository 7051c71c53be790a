"""The Key Object Selection: the key frames of flagged findings, for viewers (TID 2010).

It has key frames of this study only; without any there is no document. If it referenced images of
another study, it would have to be duplicated into that study (PS3.3 C.17.6.2.1). Images have no
concept name here (TID 2010 row 8).
"""

from collections.abc import Iterator, Sequence

from highdicom.sr import ContentItem
from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from triage.domain.assessment import Assessment, Flag, KeyFrame
from triage.domain.delivery import Product
from triage.reports import codes, header, part10
from triage.reports.content import CONTEXT, MODIFIER, code, container, image, text
from triage.reports.document import (
    INTENDED_USE,
    key_frames,
    observer_items,
    put_current_evidence,
    put_equipment,
    put_series,
)
from triage.reports.document_version import next_version
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting

KIND = "key_images"
#: Increase with every change of what this module or a module that it uses writes.
ENCODER_VERSION = "3"
SERIES_NUMBER = 9904  #: next to the worker's other series


def build(reporting: Reporting) -> Product | None:
    """Return the Key Object Selection of an assessment; None without key frames.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    assessment, equipment = reporting.assessment, reporting.equipment
    frames = key_frames(assessment)
    if not frames:
        return None
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, assessment)
        document = header.patient_and_study_header(images)
        put_series(document, KIND, "KO", SERIES_NUMBER)
        put_equipment(document, assessment, equipment)
        _put_document(document, reporting)
        put_current_evidence(document, [frame.image for frame in frames])
        document.update(_root(assessment, equipment, frames))
        content = part10.encode(document)
    return Product(KIND, document.SOPClassUID, document.SOPInstanceUID, content)


def _put_document(document: Dataset, reporting: Reporting) -> None:
    """Put the Key Object Document and SOP Common Modules (PS3.3 C.17.6.2, C.12.1)."""
    version = next_version(reporting, ENCODER_VERSION, KIND, KeyObjectSelectionDocumentStorage)
    document.SOPClassUID = KeyObjectSelectionDocumentStorage
    document.SOPInstanceUID = version.sop_instance_uid
    document.InstanceNumber = version.number
    header.put_time(document, version.made_at)


def _root(assessment: Assessment, equipment: Equipment, frames: Sequence[KeyFrame]) -> ContentItem:
    items = [
        code(codes.LANGUAGE, codes.ENGLISH, MODIFIER),
        code(codes.OBSERVER_TYPE, codes.DEVICE, CONTEXT),
        *observer_items(assessment, equipment),
        text(codes.KEY_OBJECT_DESCRIPTION, " ".join(_description(assessment))),
        *(image(None, frame.image) for frame in frames),
    ]
    return container(codes.OF_INTEREST, items, relationship=None, template="2010")


def _description(assessment: Assessment) -> Iterator[str]:
    yield INTENDED_USE
    names = [a.finding.name for a in assessment.answers if a.flag is Flag.YES and a.key_frames]
    yield f"Images with the most influence on the flags of: {'; '.join(names)}."
