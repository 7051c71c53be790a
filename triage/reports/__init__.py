"""The reports: each turns an assessment into one DICOM object, and nothing else.

Rule: a builder is pure. It has no clock, network, database or file; the same input gives the same
bytes under the same UIDs. A new report is one new file here and one line in `REPORTS`.

    identity            UIDs from what a report says
    equipment           who writes the reports
    reporting           what a report is made from
    header              patient, study and dates from the images
    codes               the coded concepts
    content             content items of a Structured Report
    part10              a data set as a DICOM file
    structured_report   Comprehensive 3D SR after TID 1500
"""

from collections.abc import Callable

from triage.domain.delivery import Product
from triage.reports import structured_report
from triage.reports.reporting import Reporting

#: None where there is nothing that this report could say.
Builder = Callable[[Reporting], Product | None]

REPORTS: dict[str, Builder] = {
    structured_report.KIND: structured_report.build,
}
