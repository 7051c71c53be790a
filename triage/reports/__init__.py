"""The reports: each turns an assessment into one DICOM object or message.

A builder is a pure function: no clock, network, database or file. The same input gives the same
bytes under the same UIDs (test_same_input_gives_same_bytes_in_any_order_and_process); the time of
making is part of the input. To add a
report, write one module here and add one line to `REPORTS`; README.md has an example.

    structured_report   Comprehensive 3D SR after TID 1500, built from tree
    key_images          Key Object Selection of the key frames
    pdf                 the report page as Encapsulated PDF
    secondary_capture   the report page as an image
    hl7                 HL7 v2 message ORU^R01
    summary             the flags as JSON, without patient data
    fhir                a FHIR R4 transaction; not in the registry, as no destination sends it yet

    reporting           the input of every report
    header              patient, study and dates from the images
    equipment           the worker as a piece of equipment
    identity            UIDs derived from the content of a report
    document_version    UID, instance number and predecessor of a document
    codes               the coded concepts
    content             content items of a Structured Report
    tree                the content tree of the Structured Report
    references          references to instances by study and series
    document            modules that Structured Report and Key Object Selection share
    rendered_document   modules that the DICOM objects of the page share
    part10              encodes a data set as a DICOM file
    draft               the draft impression
    views               the names of views for people
    page                the report page: page_findings, layout, sheet, fonts
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from triage.domain.delivery import DICOM, HL7, JSON, Product
from triage.reports import hl7, key_images, pdf, secondary_capture, structured_report, summary
from triage.reports.reporting import Reporting

#: Returns None if the assessment has no content for this report.
Builder = Callable[[Reporting], Product | None]
#: Returns a product in other SOP classes, the preferred one first.
Alternatives = Callable[[Reporting, Product], Sequence[Product]]


@dataclass(frozen=True)
class ReportType:
    """One entry of the registry."""

    media_type: str  #: of its products; decides which destinations take them
    build: Builder
    #: SOP classes of its products; of those in one group a destination gets one, the first it takes
    sop_classes: tuple[tuple[str, ...], ...] = ()
    #: for destinations that do not accept the SOP class of the product
    alternatives: Alternatives | None = None


#: Every report by its name in the setting `reports`. A product goes to every destination that takes
#: its media type.
REPORTS: Mapping[str, ReportType] = MappingProxyType(
    {
        structured_report.KIND: ReportType(
            DICOM,
            structured_report.build,
            ((Comprehensive3DSRStorage, *structured_report.OLDER),),
            structured_report.alternatives,
        ),
        key_images.KIND: ReportType(
            DICOM, key_images.build, ((KeyObjectSelectionDocumentStorage,),)
        ),
        pdf.KIND: ReportType(DICOM, pdf.build, ((EncapsulatedPDFStorage,),)),
        secondary_capture.KIND: ReportType(
            DICOM,
            secondary_capture.build,
            ((SecondaryCaptureImageStorage,), (MultiFrameTrueColorSecondaryCaptureImageStorage,)),
        ),
        hl7.KIND: ReportType(HL7, hl7.build),
        summary.KIND: ReportType(JSON, summary.build),
    }
)


def build_products(reporting: Reporting, kinds: Iterable[str]) -> Iterator[Product]:
    """Yield the products of an assessment for these kinds of report, with alternatives.

    Each has the time of making that its content states.
    """
    for kind in kinds:
        for product in _build_forms(reporting, REPORTS[kind]):
            made_at = reporting.made_at_of(product.sop_instance_uid)
            yield replace(product, made_at=made_at.timestamp())


def _build_forms(reporting: Reporting, report: ReportType) -> Iterator[Product]:
    product = report.build(reporting)
    if product is not None:
        yield product
        if report.alternatives is not None:
            yield from report.alternatives(reporting, product)
