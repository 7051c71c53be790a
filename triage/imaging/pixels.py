"""Decode the chosen images: stored pixels become real values (rescaled, without padding).

Sizes that the data set and the code stream state are checked before memory is allocated for them
(`code_streams`), and compressed frames are decoded in another process (`decoder_process`). Pixel
data that cannot be decoded is reported as DamagedInstance. A file is read once for all its frames,
and only the requested frames are decoded.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from triage.domain.errors import DamagedInstance
from triage.imaging.code_streams import FrameForm, check_code_stream
from triage.imaging.decoder_child import UNDECODABLE
from triage.imaging.decoder_process import shared_decoder
from triage.imaging.geometry import read_number
from triage.imaging.images import Image
from triage.telemetry.progress import note_progress

Pixels = NDArray[np.float32]  #: (rows, columns)

GREY_DIMENSIONS = 2  #: rows and columns
#: Elements that a decoder needs (PS3.3 C.7.6.3).
PIXEL_MODULE = (
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored"),
    *("PixelRepresentation", "PhotometricInterpretation"),
)
#: Largest rows times columns that is decoded; MR matrices are a hundredth of it.
MOST_PIXELS = 1 << 24


class UndecodableImages(DamagedInstance):
    """Images of a view cannot be decoded; the message is the reason of the first."""

    def __init__(self, lost: Mapping[str, str], *, is_all: bool) -> None:
        super().__init__(next(iter(lost.values())))
        self.lost = lost  #: reasons, by the paths of the files
        self.is_all = is_all  #: True if no image of the view was decoded


def read_pixels(images: Sequence[Image], read: Callable[[str], bytes]) -> list[Pixels]:
    """Return the pixel values of each image, in order.

    Raises:
        UndecodableImages: Images cannot be decoded; all others were.
    """
    by_path: dict[str, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_path[image.path].append(index)
    decoded: dict[int, Pixels] = {}
    lost: dict[str, str] = {}
    for path, indices in by_path.items():
        note_progress()
        try:
            decoded |= _decode_file({index: images[index] for index in indices}, read(path))
        except DamagedInstance as error:
            lost[path] = str(error)
    if lost:
        raise UndecodableImages(lost, is_all=not decoded)
    return [decoded[index] for index in range(len(images))]


def _decode_file(images: Mapping[int, Image], part10: bytes) -> dict[int, Pixels]:
    """Return the pixel values of the images of one file, by their index."""
    try:
        for image in images.values():
            _refuse_oversized(image.header)
        dataset = dcmread(BytesIO(part10))
        return {index: _real_values(image, dataset) for index, image in images.items()}
    except MemoryError:
        raise DamagedInstance("not enough memory to decode its pixels") from None
    except UNDECODABLE as error:
        raise DamagedInstance(f"pixel data does not decode ({type(error).__name__})") from None


def _real_values(image: Image, dataset: Dataset) -> Pixels:
    stored = _decode_frame(image, dataset)
    if stored.ndim != GREY_DIMENSIONS:
        raise DamagedInstance("not a single greyscale image")
    pixels = _rescale(stored, image.header).astype(np.float32)
    inverted = image.header.get("PhotometricInterpretation") == "MONOCHROME1"
    return -pixels if inverted else pixels


def _refuse_oversized(header: Dataset) -> None:
    rows, columns = read_number(header, "Rows") or 0, read_number(header, "Columns") or 0
    if rows * columns > MOST_PIXELS:
        raise DamagedInstance(f"{rows:.0f} x {columns:.0f} pixels are too many for an MR image")


def _decode_frame(image: Image, dataset: Dataset) -> NDArray[Any]:
    """Return the stored values of one frame, (rows, columns)."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return _decode_compressed(dataset, image.frame)
    index = None if image.frame is None else image.frame - 1
    array: NDArray[Any] = pixel_array(dataset, index=index)
    return array


def _decode_compressed(dataset: Dataset, number: int | None) -> NDArray[Any]:
    """Return the stored values of one frame; None: the single frame of the data set."""
    count = int(dataset.get("NumberOfFrames") or 1)
    if int(dataset.SamplesPerPixel) != 1 or (number is None and count != 1):
        raise DamagedInstance("not a single greyscale image")
    shape = int(dataset.Rows), int(dataset.Columns)
    syntax = dataset.file_meta.TransferSyntaxUID
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    frame = get_frame(
        dataset.PixelData, (number or 1) - 1, number_of_frames=count, extended_offsets=offsets
    )
    check_code_stream(frame, syntax, FrameForm(*shape, 1, int(dataset.BitsAllocated)))
    elements = {keyword: dataset[keyword].value for keyword in PIXEL_MODULE if keyword in dataset}
    return shared_decoder().decode(frame, str(syntax), elements, shape)


def _rescale(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Return rescaled values without padding; pydicom has dropped overlay bits already."""
    values = _without_padding(stored, header)
    if (
        read_number(header, "RescaleSlope") == 0
    ):  # forbidden by PS3.3 C.11.1.1.2: keep stored values
        return values
    rescaled: NDArray[Any] = apply_modality_lut(values, header)
    return rescaled


def _without_padding(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Replace padding (PS3.3 C.7.5.1.1.2) by the smallest value of the image."""
    padding = read_number(header, "PixelPaddingValue")
    if padding is None:
        return stored
    limit = read_number(header, "PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else limit))
    padded = (stored >= low) & (stored <= high)
    if not padded.any() or padded.all():
        return stored
    return np.where(padded, stored[~padded].min(), stored)
