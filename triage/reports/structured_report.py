"""The Structured Report: a Comprehensive 3D SR after TID 1500 (IHE AIR: qualitative findings).

Rule: one content, three SOP classes. A destination that knows no 3D reports gets the same tree as
a Comprehensive SR or as an Enhanced SR, each a document of its own with its own UID and its own
line of predecessors. What the tree says stands in `tree`; here is the document around it.
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
from triage.reports.document_version import next_version
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting

KIND = "structured_report"
#: Goes up with every change of what this module or those it uses write.
ENCODER_VERSION = "3"
#: Above the numbers that scanners give, so that the report stands behind the images.
SERIES_NUMBER = 9901
DISCLAIMER = "AI output, unverified, research use only"
#: In place of a Comprehensive 3D SR, the best first.
OLDER = (ComprehensiveSRStorage, EnhancedSRStorage)


def build(reporting: Reporting) -> Product:
    """Return the Structured Report on an assessment.

    The images that the assessment names must be among the evidence, which is not changed.

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
        _put_document(document, equipment, header.latest_moment(images))
        _put_identity(document, reporting, Comprehensive3DSRStorage)
        _put_evidence(document, assessment, images)
        document.update(tree.root(assessment, equipment))
        content = part10.encode(document)
    return Product(KIND, document.SOPClassUID, document.SOPInstanceUID, content)


def alternatives(reporting: Reporting, product: Product) -> Sequence[Product]:
    """Return the same report in older SOP classes, the best first."""
    return [_recast(reporting, product, sop_class_uid) for sop_class_uid in OLDER]


def _recast(reporting: Reporting, product: Product, sop_class_uid: str) -> Product:
    with header.ignore_value_warnings():
        document = dcmread(BytesIO(product.content))  # what is not touched stays as it is written
        _put_identity(document, reporting, sop_class_uid)
        content = part10.encode(document)
    uid = document.SOPInstanceUID
    return Product(KIND, sop_class_uid, uid, content, alternative_to=product.sop_instance_uid)


def _put_document(document: Dataset, equipment: Equipment, moment: tuple[str, str]) -> None:
    """SR Document General and SOP Common Modules (PS3.3 C.17.2, C.12.1)."""
    document.ContentDate, document.ContentTime = moment
    document.PreliminaryFlag = "PRELIMINARY"
    document.CompletionFlag = "COMPLETE"
    document.CompletionFlagDescription = DISCLAIMER
    document.VerificationFlag = "UNVERIFIED"
    document.PerformedProcedureCodeSequence = []
    document.CodingSchemeIdentificationSequence = [codes.private_scheme(equipment.manufacturer)]


def _put_identity(document: Dataset, reporting: Reporting, sop_class_uid: str) -> None:
    """The same modules, as far as they differ between the SOP classes of one report."""
    found = next_version(reporting, ENCODER_VERSION, KIND, sop_class_uid, by_class=True)
    document.SOPClassUID = UID(sop_class_uid)
    document.SOPInstanceUID = found.sop_instance_uid
    document.InstanceNumber = found.number
    document.pop("PredecessorDocumentsSequence", None)
    if found.replaces is not None:
        series_uid = str(document.SeriesInstanceUID)
        before = SourceImage(sop_class_uid, found.replaces.sop_instance_uid, series_uid)
        document.PredecessorDocumentsSequence = [
            references.document_item(reporting.assessment.study_uid, before, codes.REPLACED_REPORT)
        ]


def _put_evidence(document: Dataset, assessment: Assessment, images: Sequence[Dataset]) -> None:
    """All images looked at, and the patient's own earlier ones; none in both (C.17.2.3)."""
    current = references.source_images(images)
    put_current_evidence(document, current)
    known = {each.sop_instance_uid for each in current}
    priors: dict[str, list[SourceImage]] = {}
    for case in assessment.similar:
        if case.key or not case.images:
            continue
        if case.study_uid == assessment.study_uid:
            raise ValueError(f"study {case.study_uid} is no earlier one of itself")
        fresh = [i for i in case.images if i.sop_instance_uid not in known and is_readable(i)]
        priors.setdefault(case.study_uid, []).extend(fresh)
    items = [references.study_item(uid, found) for uid, found in sorted(priors.items()) if found]
    if items:
        document.PertinentOtherEvidenceSequence = items
