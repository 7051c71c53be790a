"""Decode the chosen images, and nothing else: stored pixels become the values that they mean.

Rule: what the header claims is checked before memory is given to it, in the header and in the
codec's own; what does not decode is damage, whatever the decoder raises. A file is read once for
all its frames, and only the frames asked for are decoded. Every transfer syntax that pydicom's
plug-ins decode will do.
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

from triage.dicom.header import UNREADABLE
from triage.domain.errors import DamagedInstance
from triage.imaging.geometry import read_number
from triage.imaging.images import Image

Pixels = NDArray[np.float32]  #: (rows, columns)

#: What pydicom's decoders raise on pixel data that they cannot read.
UNDECODABLE = (*UNREADABLE, RuntimeError, IndexError)
#: Rows times columns of the largest image that gets memory; MR matrices are a hundredth of it.
MOST_PIXELS = 1 << 24


def read_pixels(images: Sequence[Image], read: Callable[[str], bytes]) -> list[Pixels]:
    """Return the values of each image, in order; raise DamagedInstance where one cannot be had."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        places[image.path].append(place)
    found: dict[int, Pixels] = {}
    for path, wanted in places.items():
        found |= _decoded({place: images[place] for place in wanted}, read(path))
    return [found[place] for place in range(len(images))]


def _decoded(images: Mapping[int, Image], part10: bytes) -> dict[int, Pixels]:
    """Return the values of the images of one file."""
    try:
        for image in images.values():
            _refuse_bomb(image.header)
        dataset = dcmread(BytesIO(part10))
        return {place: _values(image, dataset) for place, image in images.items()}
    except MemoryError:
        raise DamagedInstance("its pixels need more memory than there is") from None
    except UNDECODABLE as error:
        raise DamagedInstance(f"pixel data does not decode ({type(error).__name__})") from None


def _values(image: Image, dataset: Dataset) -> Pixels:
    stored = _stored(image, dataset)
    if stored.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise DamagedInstance("not a single grey image")
    pixels = _meant(stored, image.header).astype(np.float32)
    inverted = image.header.get("PhotometricInterpretation") == "MONOCHROME1"
    return -pixels if inverted else pixels


def _refuse_bomb(header: Dataset) -> None:
    rows, columns = read_number(header, "Rows") or 0, read_number(header, "Columns") or 0
    if rows * columns > MOST_PIXELS:
        raise DamagedInstance(f"{rows:.0f} x {columns:.0f} pixels are no MR image")


def _stored(image: Image, dataset: Dataset) -> NDArray[Any]:
    """Decode one frame."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _refuse_larger_stream(dataset, (image.frame or 1) - 1)
    index = None if image.frame is None else image.frame - 1
    array: NDArray[Any] = pixel_array(dataset, index=index)
    return array


def _refuse_larger_stream(dataset: Dataset, index: int) -> None:
    """Raise where the codec's own header claims more than the data set's.

    Decoders give memory to what the stream says, before anybody compares the two.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = generate_frames(dataset.PixelData, number_of_frames=count)
    stream = next((each for place, each in enumerate(frames) if place == index), b"")
    size = stream_size(stream)
    if size is not None and size != (int(dataset.Rows), int(dataset.Columns)):
        raise DamagedInstance("the compressed image is of another size than the header says")


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns as a JPEG, JPEG-LS or JPEG 2000 stream states them, if it does."""
    siz = stream.find(b"\xff\x4f\xff\x51")  # ISO 15444-1 A.5.1: SOC, SIZ
    if siz >= 0:
        x1, y1, x0, y0 = (_number(stream, siz + 8 + 4 * place, 4) for place in range(4))
        return y1 - y0, x1 - x0
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 <= len(stream) and stream[at] == 0xFF:  # noqa: PLR2004
        marker = stream[at + 1]
        if marker in FRAME_HEADERS:  # ISO 10918-1 B.2.2, ISO 14495-1 C.2.2
            return _number(stream, at + 5, 2), _number(stream, at + 7, 2)
        at += 2 + _number(stream, at + 2, 2)
    return None


#: SOF markers of JPEG, less DHT, JPG and DAC which lie among them, and SOF55 of JPEG-LS.
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def _number(stream: bytes, at: int, length: int) -> int:
    return int.from_bytes(stream[at : at + length])


def _meant(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Return what stored values mean: without padding, rescaled; pydicom drops overlay bits."""
    values = _without_padding(stored, header)
    if read_number(header, "RescaleSlope") == 0:  # which PS3.3 C.11.1.1.2 forbids: nothing is meant
        return values
    meant: NDArray[Any] = apply_modality_lut(values, header)
    return meant


def _without_padding(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Give padding (PS3.3 C.7.5.1.1.2) the least value of the image."""
    padding = read_number(header, "PixelPaddingValue")
    if padding is None:
        return stored
    limit = read_number(header, "PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else limit))
    padded = (stored >= low) & (stored <= high)
    if not padded.any() or padded.all():
        return stored
    return np.where(padded, stored[~padded].min(), stored)
