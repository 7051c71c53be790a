"""The header that the DICOM objects of the report page share.

The hash of the rendered page is part of the UID. A page that looks different, for instance because
another library version renders it, is therefore another instance. What only the version of the
document decides, such as its time, is not drawn on the page that is hashed.
"""

import hashlib
from dataclasses import dataclass
from operator import attrgetter

from pydicom import Dataset
from pydicom.uid import UID

from triage.reports import codes, header, identity, references
from triage.reports.document import TITLE
from triage.reports.document_version import DocumentVersion, next_version
from triage.reports.reporting import Reporting


@dataclass(frozen=True)
class RenderedKind:
    """One kind of DICOM object that contains the page."""

    name: str
    sop_class_uid: UID
    modality: str
    series_number: int  #: next to the Structured Report's, above the numbers of scanners
    encoder_version: str  #: increase with every change of what its module writes


def find_version(kind: RenderedKind, reporting: Reporting, shown: bytes) -> DocumentVersion:
    """Return the version of a document; `shown` is its content as drawn without a version."""
    encoder_version = f"{kind.encoder_version} {hashlib.sha256(shown).hexdigest()}"
    return next_version(reporting, encoder_version, kind.name, kind.sop_class_uid)


def new_document(kind: RenderedKind, reporting: Reporting, version: DocumentVersion) -> Dataset:
    """Return an object with everything but its content.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    images = header.checked_evidence(reporting.evidence, reporting.assessment)
    document = header.patient_and_study_header(images)
    _put_series(document, kind, reporting)
    document.SOPClassUID = kind.sop_class_uid
    document.SOPInstanceUID = version.sop_instance_uid
    document.InstanceNumber = version.number
    header.put_time(document, version.made_at)
    document.BurnedInAnnotation = "YES"
    document.RecognizableVisualFeatures = "NO"
    document.ContributingEquipmentSequence = [_algorithm(reporting)]
    return document


def source_items(reporting: Reporting) -> list[Dataset]:
    """Return references to all images of the evidence (PS3.3 Table 10-11)."""
    images = references.source_images(reporting.evidence)
    return [
        references.instance_item(source)
        for source in sorted(images, key=attrgetter("sop_instance_uid"))
    ]


def _put_series(document: Dataset, kind: RenderedKind, reporting: Reporting) -> None:
    """Put the General Series and General Equipment Modules (PS3.3 C.7.3.1, C.7.5.1)."""
    by = reporting.equipment
    document.Modality = kind.modality
    document.SeriesInstanceUID = identity.series_uid(kind.name, reporting.assessment.study_uid)
    document.SeriesNumber = kind.series_number
    document.SeriesDescription = TITLE
    if document.StudyDate:
        document.SeriesDate, document.SeriesTime = document.StudyDate, document.StudyTime
    document.Manufacturer = by.manufacturer
    document.ManufacturerModelName = by.name
    document.DeviceSerialNumber = by.serial
    document.SoftwareVersions = by.software_version
    document.ConversionType = "WSD"  # PS3.3 C.8.6.1: workstation


def _algorithm(reporting: Reporting) -> Dataset:
    """Return the algorithm for the Contributing Equipment Sequence (IHE AIR 6.5.3.1)."""
    model, item = reporting.assessment.model, Dataset()
    item.PurposeOfReferenceCodeSequence = [references.code_item(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = reporting.equipment.manufacturer
    item.ManufacturerModelName = model.name
    item.SoftwareVersions = model.version
    item.ContributionDescription = "Image-text scoring of the findings"
    return item
