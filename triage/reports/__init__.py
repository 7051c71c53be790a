"""The reports: each turns an assessment into one DICOM object or message.

Rule: a builder is pure. It has no clock, network, database or file; the same input gives the same
bytes under the same UIDs. A new report is one new file here and one line in `OBJECTS` or
`MESSAGES`.

    identity            UIDs from what a report says
    equipment           who writes the reports
    header              patient, study and dates from the images
    codes               the coded concepts
    content             content items of a Structured Report
    references          references to instances by study and series
    lineage             which document this is, and which one it replaces
    document            what Structured Report and Key Object Selection have in common
    tree                what the Structured Report says
    part10              a data set as a DICOM file
    reporting           what every report is made from
    structured_report   Comprehensive 3D SR after TID 1500
    key_images          Key Object Selection of the frames that made the flags
    draft               the draft impression, in the configuration's words
    page                one sheet for the radiologist: page_findings, sheet, layout, letters, views
    companion           what the page's DICOM objects have in common
    pdf                 the page as Encapsulated PDF
    secondary_capture   the page as an image
    hl7                 ORU^R01
    summary             the flags as JSON, without a patient
    fhir                a transaction of R4; no destination speaks it yet
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from triage.domain.delivery import Product
from triage.reports import key_images, pdf, secondary_capture, structured_report, summary
from triage.reports.reporting import Reporting

#: None where there is nothing that this report could say.
Builder = Callable[[Reporting], Product | None]


def _oru(reporting: Reporting) -> Product:
    """Build the HL7 message; its library is loaded by who builds one, not by a receiver."""
    from triage.reports import hl7  # noqa: PLC0415

    return hl7.build(reporting)


#: What is a DICOM object.
OBJECTS: Mapping[str, Builder] = MappingProxyType(
    {
        structured_report.KIND: structured_report.build,
        key_images.KIND: key_images.build,
        pdf.KIND: pdf.build,
        secondary_capture.KIND: secondary_capture.build,
    }
)
#: What is none.
MESSAGES: Mapping[str, Builder] = MappingProxyType({"hl7": _oru, summary.KIND: summary.build})
#: A site chooses of these; each goes to every destination that takes its media type.
REPORTS: Mapping[str, Builder] = MappingProxyType({**OBJECTS, **MESSAGES})

#: The same report in other SOP classes, for destinations that do not take the first.
ALTERNATIVES: Mapping[str, Callable[[Reporting, Product], Sequence[Product]]] = MappingProxyType(
    {structured_report.KIND: structured_report.alternatives}
)


def products(reporting: Reporting, kinds: Iterable[str]) -> Iterator[Product]:
    """Yield everything that is to be made of an assessment, by kind of report."""
    for kind in kinds:
        product = REPORTS[kind](reporting)
        if product is not None:
            yield product
            if kind in ALTERNATIVES:
                yield from ALTERNATIVES[kind](reporting, product)
