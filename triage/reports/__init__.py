"""The reports: each turns an assessment into one DICOM object or message.

Rule: a builder is pure. It has no clock, network, database or file; the same input gives the same
bytes under the same UIDs. A new report is one new file here and one line in `REPORTS`.

    identity            UIDs from what a report says
    equipment           who writes the reports
    header              patient, study and dates from the images
    codes               the coded concepts
    content             content items of a Structured Report
    part10              a data set as a DICOM file
    reporting           what every report is made from
    structured_report   Comprehensive 3D SR after TID 1500
    draft               the draft impression, in the configuration's words
    page                one sheet for the radiologist: page_findings, sheet, layout, letters, views
    companion           what the page's DICOM objects have in common
    pdf                 the page as Encapsulated PDF
    secondary_capture   the page as an image
    hl7                 ORU^R01; no destination speaks it yet
    fhir                a transaction of R4; no destination speaks it yet
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from triage.domain.delivery import Product
from triage.reports import pdf, secondary_capture, structured_report
from triage.reports.reporting import Reporting

Builder = Callable[[Reporting], Product]

#: What a DICOM destination can be sent; a site chooses of these.
REPORTS: Mapping[str, Builder] = MappingProxyType(
    {
        structured_report.KIND: structured_report.build,
        pdf.KIND: pdf.build,
        secondary_capture.KIND: secondary_capture.build,
    }
)
