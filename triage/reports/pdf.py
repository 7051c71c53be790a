"""The report page as an Encapsulated PDF (PS3.3 A.45.1), for viewers without SR support.

The PDF is unchanged; the header names the same patient, and states that it is not verified.
"""

from pydicom.uid import EncapsulatedPDFStorage

from triage.domain.delivery import Product
from triage.reports import codes, header, page, part10, references
from triage.reports.document import TITLE
from triage.reports.rendered_document import (
    RenderedKind,
    find_version,
    new_document,
    source_items,
)
from triage.reports.reporting import Reporting

KIND = "pdf"
TYPE = RenderedKind(KIND, EncapsulatedPDFStorage, "DOC", 9902, encoder_version="2")


def build(reporting: Reporting) -> Product:
    """Return the page of an assessment as an Encapsulated PDF.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    with header.ignore_value_warnings():
        version = find_version(TYPE, reporting, page.render(reporting))
        drawn = page.render(reporting, version)
        document = new_document(TYPE, reporting, version)
        # Encapsulated Document Module (PS3.3 C.24.2)
        document.AcquisitionDateTime = None
        document.SourceInstanceSequence = source_items(reporting)
        document.DocumentTitle = TITLE
        document.ConceptNameCodeSequence = [references.code_item(codes.REPORT)]
        document.VerificationFlag = "UNVERIFIED"
        document.MIMETypeOfEncapsulatedDocument = "application/pdf"
        document.EncapsulatedDocumentLength = len(drawn)
        document.EncapsulatedDocument = drawn + b"\0" * (len(drawn) % 2)
        content = part10.encode(document)
    return Product(KIND, document.SOPClassUID, document.SOPInstanceUID, content)
