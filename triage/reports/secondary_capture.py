"""The report page as a Secondary Capture, for viewers without support for SR and PDF.

It shows the sheets of the PDF. One sheet is a Secondary Capture Image (PS3.3 A.8.1), which every
archive accepts; several are the frames of a Multi-frame True Color SC Image (A.8.5).
"""

from threading import Lock

import numpy as np
import pypdfium2
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage as MultiFrame
from pydicom.uid import SecondaryCaptureImageStorage as SingleFrame

from triage.domain.delivery import Product
from triage.reports import header, page, part10
from triage.reports.rendered_document import (
    RenderedKind,
    find_version,
    new_document,
    source_items,
)
from triage.reports.reporting import Reporting

KIND = "secondary_capture"
DPI = 120  #: small print is legible, and the sheet fits a common monitor
POINTS_PER_INCH = 72
PAGE_NUMBER_VECTOR = 0x00182001
RENDER_LOCK = Lock()  #: PDFium is not thread-safe


def build(reporting: Reporting) -> Product:
    """Return the page of an assessment as an image.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
    """
    with header.ignore_value_warnings():
        unversioned = render_sheets(page.render(reporting))
        sop_class = SingleFrame if len(unversioned) == 1 else MultiFrame
        kind = RenderedKind(KIND, sop_class, "OT", 9903, encoder_version="2")
        version = find_version(kind, reporting, unversioned.tobytes())
        frames = render_sheets(page.render(reporting, version))  # (sheets, H, W, 3)
        shown = frames.tobytes()
        capture = new_document(kind, reporting, version)
        capture.SourceImageSequence = source_items(reporting)
        _put_image(capture, frames)
        if len(frames) > 1:
            _put_frames(capture, len(frames))
        capture.PixelData = shown + b"\0" * (len(shown) % 2)
        content = part10.encode(capture)
    return Product(KIND, capture.SOPClassUID, capture.SOPInstanceUID, content)


def render_sheets(drawn: bytes) -> NDArray[np.uint8]:
    """Return the sheets of a PDF in colour, (sheets, H, W, 3)."""
    with RENDER_LOCK:
        document = pypdfium2.PdfDocument(drawn)
        try:
            return np.stack([_render_sheet(sheet) for sheet in document])
        finally:
            document.close()


def _render_sheet(sheet: pypdfium2.PdfPage) -> NDArray[np.uint8]:
    bitmap = sheet.render(scale=DPI / POINTS_PER_INCH, rev_byteorder=True)
    pixels: NDArray[np.uint8] = bitmap.to_numpy()[:, :, :3].copy()
    bitmap.close()
    return pixels


def _put_image(capture: Dataset, frames: NDArray[np.uint8]) -> None:
    """Put the General Image and Image Pixel Modules (PS3.3 C.7.6.1, C.7.6.3)."""
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = "Page of the AI triage report"
    capture.PatientOrientation = None
    capture.BodyPartExamined = "HEART"  # unpaired: needs no laterality
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = "RGB"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = frames.shape[1:3]
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0


def _put_frames(capture: Dataset, sheets: int) -> None:
    """Put the Multi-frame and SC Multi-frame Image Modules (PS3.3 C.7.6.6, C.8.6.3)."""
    capture.NumberOfFrames = sheets
    capture.FrameIncrementPointer = PAGE_NUMBER_VECTOR
    capture.PageNumberVector = list(range(1, sheets + 1))
