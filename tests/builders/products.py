"""The builders of the products that people read."""

from collections.abc import Callable

from triage.domain.delivery import DICOM, Product
from triage.reports import REPORTS, fhir, hl7, pdf, secondary_capture
from triage.reports.reporting import Reporting

BUILDERS: dict[str, Callable[[Reporting], Product]] = {
    module.KIND: module.build for module in (pdf, secondary_capture, hl7, fhir)
}

#: The reports that are DICOM objects.
DICOM_REPORTS = tuple(kind for kind, report in REPORTS.items() if report.media_type == DICOM)
