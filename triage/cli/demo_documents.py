"""Readable copies of the report documents that the test PACS of `triage demo` received."""

from collections.abc import Iterator
from pathlib import Path

import pypdfium2
from pydicom import dcmread
from pydicom.uid import EncapsulatedPDFStorage

PNG_SCALE = 2.0  #: pixels for each point of 1/72 inch


def extract_documents(path: Path) -> Iterator[Path]:
    """Write the PDF of a DICOM file, and its first page as PNG, beside the file.

    Yields the files written; none for a file that is no Encapsulated PDF (PS3.3 A.45.1).
    """
    dataset = dcmread(path)
    if dataset.SOPClassUID != EncapsulatedPDFStorage:
        return
    # The element has even length, so a PDF of odd length has a padding byte (PS3.3 C.24.2).
    length = dataset.get("EncapsulatedDocumentLength")
    content: bytes = dataset.EncapsulatedDocument
    pdf = path.with_suffix(".pdf")
    pdf.write_bytes(content[:length])
    yield pdf
    picture = path.with_suffix(".page1.png")
    document = pypdfium2.PdfDocument(content[:length])
    try:
        document[0].render(scale=PNG_SCALE).to_pil().save(picture)
    finally:
        document.close()
    yield picture
