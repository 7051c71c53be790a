"""What the visible companions of the Structured Report have in common: the header of their page.

Rule: the page decides the UID. Whatever makes it look different, another library that draws it
among that, makes it another instance; so no two pages ever share one.
"""

import hashlib
from dataclasses import dataclass
from operator import attrgetter

from pydicom import Dataset
from pydicom.uid import UID

from triage.reports import codes, header, identity, references
from triage.reports.document import TITLE
from triage.reports.document_version import next_version
from triage.reports.reporting import Reporting


@dataclass(frozen=True)
class RenderedKind:
    """One kind of companion."""

    name: str
    sop_class_uid: UID
    modality: str
    series_number: int  #: beside the Structured Report's, above those that scanners give
    encoder_version: str  #: goes up with every change of what its module writes


def new_document(kind: RenderedKind, reporting: Reporting, shown: bytes) -> Dataset:
    """Return an object with everything but its content; `shown` is what a reader sees of it.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    images = header.checked_evidence(reporting.evidence, reporting.assessment)
    companion = header.patient_and_study_header(images)
    _put_series(companion, kind, reporting)
    companion.SOPClassUID = kind.sop_class_uid
    version = f"{kind.encoder_version} {hashlib.sha256(shown).hexdigest()}"
    found = next_version(reporting, version, kind.name, kind.sop_class_uid)
    companion.SOPInstanceUID = found.sop_instance_uid
    companion.InstanceNumber = found.number
    companion.ContentDate, companion.ContentTime = header.latest_moment(images)
    companion.BurnedInAnnotation = "YES"
    companion.RecognizableVisualFeatures = "NO"
    companion.ContributingEquipmentSequence = [_algorithm(reporting)]
    return companion


def source_items(reporting: Reporting) -> list[Dataset]:
    """Return references to all images that the model looked at (PS3.3 Table 10-11)."""
    images = references.source_images(reporting.evidence)
    return [
        references.instance_item(each)
        for each in sorted(images, key=attrgetter("sop_instance_uid"))
    ]


def _put_series(companion: Dataset, kind: RenderedKind, reporting: Reporting) -> None:
    """The series, and the equipment that made it (PS3.3 C.7.3.1, C.7.5.1)."""
    by = reporting.equipment
    companion.Modality = kind.modality
    companion.SeriesInstanceUID = identity.series_uid(kind.name, reporting.assessment.study_uid)
    companion.SeriesNumber = kind.series_number
    companion.SeriesDescription = TITLE
    if companion.StudyDate:
        companion.SeriesDate, companion.SeriesTime = companion.StudyDate, companion.StudyTime
    companion.Manufacturer = by.manufacturer
    companion.ManufacturerModelName = by.name
    companion.DeviceSerialNumber = by.serial
    companion.SoftwareVersions = by.software_version
    companion.ConversionType = "WSD"  # PS3.3 C.8.6.1: a workstation made it


def _algorithm(reporting: Reporting) -> Dataset:
    """The algorithm in the Contributing Equipment Sequence (IHE AIR 6.5.3.1)."""
    model, item = reporting.assessment.model, Dataset()
    item.PurposeOfReferenceCodeSequence = [references.code_item(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = reporting.equipment.manufacturer
    item.ManufacturerModelName = model.name
    item.SoftwareVersions = model.version
    item.ContributionDescription = "Image-text scoring of the findings"
    return item
