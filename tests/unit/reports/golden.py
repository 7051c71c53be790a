"""Golden files: every report as text, so that a reviewer sees changes in a diff.

`python -m tests.unit.reports.golden` rewrites them. Instance UIDs of rendered pages are left out,
because they depend on the version of the PDF library.
"""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pypdfium2
from pydicom import Dataset, dcmread

from tests.builders.reportings import KINDS
from triage.reports import (
    REPORTS,
    build_products,
    fhir,
    hl7,
    key_images,
    pdf,
    secondary_capture,
    structured_report,
    summary,
)
from triage.reports.reporting import Reporting

FOLDER = Path(__file__).parents[2] / "golden" / "reports"
DRAWN = ("EncapsulatedDocument", "EncapsulatedDocumentLength", "PixelData", "SOPInstanceUID")
#: Long lists of images; only their first item is recorded.
LISTS = ("SourceInstanceSequence", "SourceImageSequence")
TREE = ("ContentSequence", "ConceptNameCodeSequence", "ContentTemplateSequence")


def product_texts(reporting: Reporting) -> dict[str, str]:
    """Return the text of every product by name; that of the page, which is compressed, apart."""
    made = [*build_products(reporting, REPORTS), fhir.build(reporting)]
    products = {product.kind: product.content.decode("latin-1") for product in made}
    return {**products, "page": page_text(reporting)}


def page_text(reporting: Reporting) -> str:
    """Return the text of the page in drawing order, as it is delivered."""
    delivered = dcmread(BytesIO(pdf.build(reporting).content))
    drawn = delivered.EncapsulatedDocument[: delivered.EncapsulatedDocumentLength]
    document = pypdfium2.PdfDocument(drawn)
    sheets = [sheet.get_textpage().get_text_bounded() for sheet in document]
    return "\n\n-- next sheet --\n\n".join(text.replace("\r\n", "\n") for text in sheets) + "\n"


def pdf_header(reporting: Reporting) -> str:
    return _header(pdf.build(reporting).content)


def capture_header(reporting: Reporting) -> str:
    return _header(secondary_capture.build(reporting).content)


def segments(reporting: Reporting) -> str:
    return hl7.build(reporting).content.decode().replace("\r", "\n")


def bundle(reporting: Reporting) -> str:
    content = json.loads(fhir.build(reporting).content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def summary_text(reporting: Reporting) -> str:
    content = json.loads(summary.build(reporting).content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def report_text(reporting: Reporting) -> str:
    return _document(structured_report.build(reporting).content)


def selection_text(reporting: Reporting) -> str:
    product = key_images.build(reporting)
    return "no key frames\n" if product is None else _document(product.content)


def _document(content: bytes) -> str:
    """Return the header of a document, and its content tree with one line per item."""
    dataset = dcmread(BytesIO(content))
    return "\n".join([_header(content), *_tree(dataset), ""])


def _tree(item: Dataset, depth: int = 0) -> Iterator[str]:
    link = f"{item.RelationshipType} " if "RelationshipType" in item else ""
    name = _code(item.ConceptNameCodeSequence[0]) if "ConceptNameCodeSequence" in item else "-"
    yield f"{'  ' * depth}{link}{item.ValueType} {name}{_value(item)}"
    for child in item.get("ContentSequence", []):
        yield from _tree(child, depth + 1)


def _value(item: Dataset) -> str:
    match item.ValueType:
        case "CONTAINER":
            templates = item.get("ContentTemplateSequence", [])
            return f" {item.ContinuityOfContent}" + "".join(
                f" TID {template.TemplateIdentifier}" for template in templates
            )
        case "CODE":
            return f" = {_code(item.ConceptCodeSequence[0])}"
        case "NUM":
            (value,) = item.MeasuredValueSequence
            return f" = {value.NumericValue} {value.MeasurementUnitsCodeSequence[0].CodeValue}"
        case "IMAGE":
            (reference,) = item.ReferencedSOPSequence
            frame = reference.get("ReferencedFrameNumber")
            return f" = {reference.ReferencedSOPInstanceUID}" + (f" frame {frame}" if frame else "")
        case "UIDREF":
            return f" = {item.UID}"
        case _:
            return f" = {item.TextValue}"


def _code(item: Dataset) -> str:
    return f"({item.CodeValue}, {item.CodingSchemeDesignator}, {item.CodeMeaning})"


def _header(content: bytes) -> str:
    dataset = Dataset(dcmread(BytesIO(content)))  # without file meta information
    for keyword in TREE if "ContentSequence" in dataset else ():
        dataset.pop(keyword, None)
    for evidence in dataset.get("CurrentRequestedProcedureEvidenceSequence", []):
        for series in evidence.ReferencedSeriesSequence:
            series.ReferencedSOPSequence = series.ReferencedSOPSequence[:1]
    for keyword in DRAWN:
        if keyword in dataset:
            delattr(dataset, keyword)
    for keyword in LISTS:
        if keyword in dataset:
            setattr(dataset, keyword, dataset[keyword].value[:1])
    return f"{dataset}\n"


SHORT = ("usual", "none_flagged", "not_evaluated", "awkward_name", "bare")
MESSAGES = tuple(kind for kind in KINDS if kind != "forty_findings")
#: Suffix of the file, the function that writes it, and the kinds of assessment recorded.
RECORDED: dict[str, tuple[Callable[[Reporting], str], tuple[str, ...]]] = {
    "page.txt": (page_text, tuple(KINDS)),
    "pdf.header.txt": (pdf_header, SHORT),
    "capture.header.txt": (capture_header, ("usual", "forty_findings")),
    "hl7": (segments, MESSAGES),
    "fhir.json": (bundle, (*SHORT, "decided")),
    "summary.json": (summary_text, (*SHORT, "unfamiliar", "familiar", "decided")),
    "structured_report.txt": (report_text, tuple(KINDS)),
    "key_images.txt": (selection_text, tuple(KINDS)),
}
CASES = [(kind, ending) for ending, (_, kinds) in RECORDED.items() for kind in kinds]


def text(kind: str, ending: str) -> str:
    return RECORDED[ending][0](KINDS[kind]())


def path(kind: str, ending: str) -> Path:
    return FOLDER / f"{kind}.{ending}"


if __name__ == "__main__":
    for case in CASES:
        path(*case).write_text(text(*case), encoding="utf-8")
