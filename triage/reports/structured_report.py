"""The Structured Report: a Comprehensive 3D SR after TID 1500 (IHE AIR: qualitative findings).

Rule: a reader must be able to tell "not flagged" from "absent" and both from "not evaluated", and
see what was not looked at. So every finding has its group, flagged or not, with its reason, and
the item "Finding" (TID 1501 row 3b), which importers take for an observation, only if flagged.

Still to come: the image library, frames that illustrate a finding, similar cases, and references
to the documents that a later revision replaces.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from highdicom.sr import ContentItem
from highdicom.sr.utils import collect_evidence
from pydicom import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage

from triage.domain.assessment import Answer, Assessment, Flag, Presence, SourceImage, UsedView
from triage.domain.delivery import Product
from triage.reports import codes, header, identity, part10
from triage.reports.content import (
    CONTEXT,
    MODIFIER,
    code,
    container,
    image,
    number,
    plain,
    text,
    uidref,
)
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting

KIND = "structured_report"
#: Goes up with every change of what this module or those it uses write.
ENCODER_VERSION = "1"
#: Above the numbers that scanners give, so that the report stands behind the images.
SERIES_NUMBER = 9901
DISCLAIMER = "AI output, unverified, research use only"
INTENDED_USE = "RESEARCH USE ONLY. Unverified AI output; not for diagnosis or treatment."
SCORE_DEFINITION = "mean cosine similarity of images and prompts, -1 to 1, not a probability"


def build(reporting: Reporting) -> Product:
    """Return the Structured Report on an assessment; the evidence is not changed.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment, or an answer contradicts itself.
    """
    assessment, equipment = reporting.assessment, reporting.equipment
    with header.tolerant():
        images = header.one_study(reporting.evidence, assessment)
        document = header.patient_and_study(images)
        _put_series_and_equipment(document, assessment, equipment)
        _put_document(document, assessment, equipment, header.last_moment(images))
        _put_content(document, _root(assessment, equipment), images)
        content = part10.encode(document)
    return Product(KIND, document.SOPClassUID, document.SOPInstanceUID, content)


def _put_series_and_equipment(
    document: Dataset, assessment: Assessment, equipment: Equipment
) -> None:
    """SR Document Series and Enhanced General Equipment Modules (PS3.3 C.17.1, C.7.5.2)."""
    document.Modality = "SR"
    document.SeriesInstanceUID = identity.series_uid(KIND, assessment.study_uid)
    document.SeriesNumber = SERIES_NUMBER
    document.SeriesDescription = "AI triage (RESEARCH USE ONLY)"
    # The study's own, so that every revision gives its series the same.
    if document.StudyDate:
        document.SeriesDate, document.SeriesTime = document.StudyDate, document.StudyTime
    document.ReferencedPerformedProcedureStepSequence = []
    document.Manufacturer = equipment.manufacturer
    document.ManufacturerModelName = equipment.name
    document.DeviceSerialNumber = equipment.serial
    document.SoftwareVersions = equipment.software_version


def _put_document(
    document: Dataset, assessment: Assessment, equipment: Equipment, moment: tuple[str, str]
) -> None:
    """SR Document General and SOP Common Modules (PS3.3 C.17.2, C.12.1)."""
    document.SOPClassUID = Comprehensive3DSRStorage
    document.SOPInstanceUID = identity.instance_uid(
        ENCODER_VERSION, KIND, Comprehensive3DSRStorage, equipment.device_uid, assessment
    )
    document.InstanceNumber = assessment.revision
    document.ContentDate, document.ContentTime = moment
    document.PreliminaryFlag = "PRELIMINARY"
    document.CompletionFlag = "COMPLETE"
    document.CompletionFlagDescription = DISCLAIMER
    document.VerificationFlag = "UNVERIFIED"
    document.PerformedProcedureCodeSequence = []
    document.CodingSchemeIdentificationSequence = [codes.private_scheme(equipment.manufacturer)]
    document.ContributingEquipmentSequence = [_algorithm_as_equipment(assessment, equipment)]


def _algorithm_as_equipment(assessment: Assessment, equipment: Equipment) -> Dataset:
    """The algorithm in the Contributing Equipment Sequence, as IHE AIR 6.5.3.1 wants it."""
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = (
        codes.PROCESSING_EQUIPMENT[:3]
    )
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = equipment.manufacturer
    item.ManufacturerModelName = assessment.model.name
    item.SoftwareVersions = assessment.model.version
    item.DeviceUID = equipment.device_uid
    item.ContributionDescription = "Image-text scoring of the findings"
    return item


def _put_content(document: Dataset, root: ContentItem, images: Sequence[Dataset]) -> None:
    """SR Document Content Module (PS3.3 C.17.3), and all images in the evidence (C.17.2.3)."""
    current, _ = collect_evidence(images, root, document.StudyInstanceUID)
    document.CurrentRequestedProcedureEvidenceSequence = current
    document.update(root)


def _root(assessment: Assessment, equipment: Equipment) -> ContentItem:
    """TID 1500."""
    items = [
        code(codes.LANGUAGE, codes.ENGLISH, MODIFIER),
        *_observer(assessment, equipment),
        code(codes.PROCEDURE, codes.CARDIAC_MRI, MODIFIER),
        container(codes.MEASUREMENTS, [*_algorithm(assessment), *_groups(assessment)]),
        container(codes.EVALUATIONS, [*_overall(assessment), *_coverage(assessment)]),
    ]
    return container(codes.REPORT, items, relationship=None, template="1500")


def _observer(assessment: Assessment, equipment: Equipment) -> Iterator[ContentItem]:
    """TID 1002 and TID 1004: a device has observed, not a person."""
    yield code(codes.OBSERVER_TYPE, codes.DEVICE, CONTEXT)
    yield uidref(codes.DEVICE_UID, equipment.device_uid, CONTEXT)
    yield text(codes.DEVICE_NAME, equipment.name, CONTEXT)
    yield text(codes.DEVICE_MANUFACTURER, equipment.manufacturer, CONTEXT)
    yield text(codes.DEVICE_MODEL, assessment.model.name, CONTEXT)
    yield text(codes.DEVICE_SERIAL, equipment.serial, CONTEXT)


def _algorithm(assessment: Assessment) -> Iterator[ContentItem]:
    """TID 4019."""
    model = assessment.model
    yield text(codes.ALGORITHM_NAME, model.name, MODIFIER)
    yield text(codes.ALGORITHM_VERSION, model.version, MODIFIER)
    for parameter in (
        f"model_sha256={model.digest}",
        f"findings_sha256={assessment.findings_digest}",
        f"inputs_sha256={assessment.inputs_digest}",
        f"execution_provider={model.execution_provider}",
        f"trained={'yes' if model.trained else 'no'}",
        f"score={SCORE_DEFINITION}",
    ):
        yield text(codes.ALGORITHM_PARAMETERS, parameter, MODIFIER)


def _groups(assessment: Assessment) -> Iterator[ContentItem]:
    for answer in assessment.answers:
        _check(answer)
        yield container(codes.GROUP, list(_group(answer, assessment)), template="1501")


def _check(answer: Answer) -> None:
    """Raise for an answer that would be read as something that nobody found out."""
    evaluated = answer.flag is not Flag.NOT_EVALUATED
    if evaluated is (answer.presence is Presence.NOT_EVALUATED):
        raise ValueError(f"{answer.finding.id}: flag {answer.flag}, but {answer.presence}")
    if evaluated and (answer.score is None or not math.isfinite(answer.score)):
        raise ValueError(f"{answer.finding.id}: flag {answer.flag} without a score")


def _group(answer: Answer, assessment: Assessment) -> Iterator[ContentItem]:
    """TID 1501: one finding."""
    finding = answer.finding
    concept = codes.of_finding(finding)
    yield text(codes.TRACKING_ID, finding.id, CONTEXT)
    yield uidref(
        codes.TRACKING_UID, identity.tracking_uid(assessment.study_uid, finding.id), CONTEXT
    )
    if answer.flag is Flag.YES:
        yield code(codes.FINDING, concept)
    if finding.site is not None:
        yield code(codes.SITE, codes.verified(finding.site), MODIFIER)
    # The meaning of a standard code need not be what the site calls the finding.
    yield text(codes.ASKED, finding.name)
    yield from _numbers(answer)
    yield code(codes.FLAG, codes.FLAGS[answer.flag])
    yield code(concept, codes.PRESENCES[answer.presence])
    yield _reason(answer)
    yield from _sources(answer, assessment.used)
    for prompt in finding.prompts:
        yield text(codes.PROMPT, prompt)


def _numbers(answer: Answer) -> Iterator[ContentItem]:
    """TID 300 without its modifiers. A NUM cannot be empty: what is no number is left out."""
    for name, value in ((codes.SCORE, answer.score), (codes.THRESHOLD, answer.threshold)):
        if value is not None and math.isfinite(value):
            yield number(name, value, codes.RATIO)


def _reason(answer: Answer) -> ContentItem:
    evaluated = answer.flag is not Flag.NOT_EVALUATED
    return text(codes.WHY if evaluated else codes.WHY_NOT_EVALUATED, answer.reason)


def _sources(answer: Answer, used: Sequence[UsedView]) -> Iterator[ContentItem]:
    """An image of each view of the finding, the first that will do; the evidence has all."""
    missing = set(answer.views) - {view.view for view in used}
    if missing:
        raise ValueError(f"{answer.finding.id} names view {min(missing)}, which is not used")
    for view in used:
        first = next(filter(_readable, view.images), None) if view.view in answer.views else None
        if first is not None:
            same = (i for i in view.images if i.sop_instance_uid == first.sop_instance_uid)
            yield image(codes.SOURCE, first, [i.frame for i in same if i.frame is not None])


def _readable(source: SourceImage) -> bool:
    """Whether readers bear a reference to it in the tree."""
    # DCMTK gives up the whole document where a UID there has leading zeros, which scanners do
    # write. In the evidence it does no harm.
    return UID(source.sop_instance_uid).is_valid and UID(source.sop_class_uid).is_valid


def _overall(assessment: Assessment) -> Iterator[ContentItem]:
    """What the report comes to."""
    yield code(codes.FLAG, codes.FLAGS[assessment.flag])
    yield code(codes.PRIORITY, codes.PRIORITIES[assessment.priority])
    yield text(codes.INTENDED_USE, f"{INTENDED_USE} {assessment.model.intended_use}")
    names = [a.finding.name for a in assessment.answers if a.flag is Flag.NOT_EVALUATED]
    if names:
        asked = len(assessment.answers)
        yield text(codes.UNANSWERED, f"{len(names)} of {asked}: {'; '.join(names)}")


def _coverage(assessment: Assessment) -> Iterator[ContentItem]:
    """What was looked at, and what was not."""
    for view in assessment.used:
        series = plain(view.series_description) or "series without description"
        yield text(codes.VIEW_USED, f"{view.view}: {series}; {view.why}")
    for gap in assessment.missing:
        yield text(codes.VIEW_MISSING, f"{gap.view}: {gap.reason}")
    by_reason = attrgetter("reason")
    for reason, group in groupby(sorted(assessment.unused, key=by_reason), by_reason):
        stacks = list(group)
        images = sum(stack.images for stack in stacks)
        yield text(
            codes.UNUSED, f"{_count(images, 'image')} in {_count(len(stacks), 'stack')}: {reason}"
        )


def _count(number_of: int, thing: str) -> str:
    return f"{number_of} {thing}" if number_of == 1 else f"{number_of} {thing}s"
