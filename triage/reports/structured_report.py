"""The Structured Report: a Comprehensive 3D SR after TID 1500 (IHE AIR: qualitative findings).

The same content is available in three SOP classes. A destination without support for Comprehensive
3D SR gets the same tree as a Comprehensive SR or an Enhanced SR. Each is a document of its own with
its own UID and its own predecessors. This module writes the document; `tree` builds the content.
"""

from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from triage.domain.assessment import Assessment, SourceImage
from triage.domain.delivery import Product
from triage.reports import codes, header, part10, references, tree
from triage.reports.content import is_readable
from triage.reports.document import put_current_evidence, put_equipment, put_series
from triage.reports.document_version import DocumentVersion, next_version
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting

KIND = "structured_report"
#: Increase with every change of what this module or a module that it uses writes.
ENCODER_VERSION = "6"
#: Above the series numbers of scanners, so that the report is listed after the images.
SERIES_NUMBER = 9901
DISCLAIMER = "AI output, unverified, research use only"
#: Alternatives to a Comprehensive 3D SR, the preferred one first.
OLDER = (ComprehensiveSRStorage, EnhancedSRStorage)


def build(reporting: Reporting) -> Product:
    """Return the Structured Report of an assessment.

    The evidence must contain the images that the assessment names; it is not modified.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment, or an answer contradicts itself.
    """
    assessment, equipment = reporting.assessment, reporting.equipment
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, assessment)
        document = header.patient_and_study_header(images)
        put_series(document, KIND, "SR", SERIES_NUMBER)
        put_equipment(document, assessment, equipment)
        _put_document(document, equipment)
        version = _put_identity(document, reporting, Comprehensive3DSRStorage)
        header.put_time(document, version.made_at)
        _put_evidence(document, assessment, images)
        document.update(tree.root(assessment, equipment))
        content = part10.encode(document)
    return Product(KIND, document.SOPClassUID, document.SOPInstanceUID, content)


def alternatives(reporting: Reporting, product: Product) -> Sequence[Product]:
    """Return the same report in older SOP classes, the preferred one first."""
    return [_recast(reporting, product, sop_class_uid) for sop_class_uid in OLDER]


def _recast(reporting: Reporting, product: Product, sop_class_uid: str) -> Product:
    with header.ignore_value_warnings():
        document = dcmread(BytesIO(product.content))  # unchanged elements keep their bytes
        _put_identity(document, reporting, sop_class_uid)
        content = part10.encode(document)
    uid = document.SOPInstanceUID
    return Product(KIND, sop_class_uid, uid, content, alternative_to=product.sop_instance_uid)


def _put_document(document: Dataset, equipment: Equipment) -> None:
    """Put the SR Document General and SOP Common Modules (PS3.3 C.17.2, C.12.1)."""
    document.PreliminaryFlag = "PRELIMINARY"
    document.CompletionFlag = "COMPLETE"
    document.CompletionFlagDescription = DISCLAIMER
    document.VerificationFlag = "UNVERIFIED"
    document.PerformedProcedureCodeSequence = []
    document.CodingSchemeIdentificationSequence = [codes.private_scheme(equipment.manufacturer)]


def _put_identity(document: Dataset, reporting: Reporting, sop_class_uid: str) -> DocumentVersion:
    """Put the attributes of these modules that differ between the SOP classes of one report."""
    version = next_version(reporting, ENCODER_VERSION, KIND, sop_class_uid, by_class=True)
    document.SOPClassUID = UID(sop_class_uid)
    document.SOPInstanceUID = version.sop_instance_uid
    document.InstanceNumber = version.number
    document.pop("PredecessorDocumentsSequence", None)
    if version.replaces is not None:
        series_uid = str(document.SeriesInstanceUID)
        before = SourceImage(sop_class_uid, version.replaces.sop_instance_uid, series_uid)
        document.PredecessorDocumentsSequence = [
            references.document_item(reporting.assessment.study_uid, before, codes.REPLACED_REPORT)
        ]
    return version


def _put_evidence(document: Dataset, assessment: Assessment, images: Sequence[Dataset]) -> None:
    """Put the assessed images, and the patient's earlier ones; none in both (PS3.3 C.17.2.3)."""
    current = references.source_images(images)
    put_current_evidence(document, current)
    known = {source.sop_instance_uid for source in current}
    priors: dict[str, list[SourceImage]] = {}
    for case in assessment.similar:
        if case.key or not case.images:
            continue
        if case.study_uid == assessment.study_uid:
            raise ValueError(f"study {case.study_uid} is listed as similar to itself")
        others = [i for i in case.images if i.sop_instance_uid not in known and is_readable(i)]
        priors.setdefault(case.study_uid, []).extend(others)
    items = [references.study_item(uid, found) for uid, found in sorted(priors.items()) if found]
    if items:
        document.PertinentOtherEvidenceSequence = items
