"""Decode the chosen images: stored pixels become real values (rescaled, without padding).

Sizes that the header and the codec's own header state are checked before memory is allocated for
them. Whatever a decoder raises, pixel data that cannot be decoded is reported as DamagedInstance. A
file is read once for all its frames, and only the requested frames are decoded. Every transfer
syntax is supported that pydicom's plug-ins decode.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from triage.dicom.unreadable import UNREADABLE
from triage.domain.errors import DamagedInstance
from triage.imaging.geometry import read_number
from triage.imaging.images import Image
from triage.telemetry.progress import note_progress

Pixels = NDArray[np.float32]  #: (rows, columns)

#: Exceptions that pydicom's decoders raise for pixel data that they cannot decode.
UNDECODABLE = (*UNREADABLE, RuntimeError, IndexError)
#: Largest rows times columns that is decoded; MR matrices are a hundredth of it.
MOST_PIXELS = 1 << 24


def read_pixels(images: Sequence[Image], read: Callable[[str], bytes]) -> list[Pixels]:
    """Return the pixel values of each image, in order.

    Raises:
        DamagedInstance: An image cannot be decoded.
    """
    by_path: dict[str, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_path[image.path].append(index)
    decoded: dict[int, Pixels] = {}
    for path, indices in by_path.items():
        note_progress()
        decoded |= _decode_file({index: images[index] for index in indices}, read(path))
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
    if stored.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise DamagedInstance("not a single greyscale image")
    pixels = _rescale(stored, image.header).astype(np.float32)
    inverted = image.header.get("PhotometricInterpretation") == "MONOCHROME1"
    return -pixels if inverted else pixels


def _refuse_oversized(header: Dataset) -> None:
    rows, columns = read_number(header, "Rows") or 0, read_number(header, "Columns") or 0
    if rows * columns > MOST_PIXELS:
        raise DamagedInstance(f"{rows:.0f} x {columns:.0f} pixels are too many for an MR image")


def _decode_frame(image: Image, dataset: Dataset) -> NDArray[Any]:
    """Return the stored values of one frame."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _refuse_larger_stream(dataset, (image.frame or 1) - 1)
    index = None if image.frame is None else image.frame - 1
    array: NDArray[Any] = pixel_array(dataset, index=index)
    return array


def _refuse_larger_stream(dataset: Dataset, index: int) -> None:
    """Raise if the codec's own header states another size than the data set.

    Decoders allocate memory by the codec's header before the two sizes are compared.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = generate_frames(dataset.PixelData, number_of_frames=count)
    stream = next((frame for number, frame in enumerate(frames) if number == index), b"")
    size = stream_size(stream)
    if size is not None and size != (int(dataset.Rows), int(dataset.Columns)):
        raise DamagedInstance("the compressed image has another size than the header states")


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream states, or None."""
    siz = stream.find(b"\xff\x4f\xff\x51")  # ISO 15444-1 A.5.1: SOC, SIZ
    if siz >= 0:
        x1, y1, x0, y0 = (_read_integer(stream, siz + 8 + 4 * field, 4) for field in range(4))
        return y1 - y0, x1 - x0
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 <= len(stream) and stream[at] == 0xFF:  # noqa: PLR2004
        marker = stream[at + 1]
        if marker in FRAME_HEADERS:  # ISO 10918-1 B.2.2, ISO 14495-1 C.2.2
            return _read_integer(stream, at + 5, 2), _read_integer(stream, at + 7, 2)
        at += 2 + _read_integer(stream, at + 2, 2)
    return None


#: SOF markers of JPEG without DHT, JPG and DAC in the same range, and SOF55 of JPEG-LS.
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def _read_integer(stream: bytes, at: int, length: int) -> int:
    return int.from_bytes(stream[at : at + length])


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
