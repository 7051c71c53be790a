"""The builders of the products that people read."""

from collections.abc import Callable

from triage.domain.delivery import Product
from triage.reports import fhir, hl7, pdf, secondary_capture
from triage.reports.reporting import Reporting

BUILDERS: dict[str, Callable[[Reporting], Product]] = {
    module.KIND: module.build for module in (pdf, secondary_capture, hl7, fhir)
}
