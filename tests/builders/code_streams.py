"""Compressed frames of every family, mutated ones, and ones that need too much memory."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image as Raster
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.builders.images import image
from tests.peers import real_data
from triage.imaging.pixels import PIXEL_MODULE

SIDE = 64
RAMP = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) // 2
#: One component of JPEG 2000: 12 bits, not subsampled.
COMPONENT = b"\x0b\x01\x01"


@dataclass(frozen=True)
class CompressedFrame:
    """A compressed frame with the data set that describes it."""

    dataset: Dataset
    stream: bytes

    @property
    def syntax(self) -> UID:
        return self.dataset.file_meta.TransferSyntaxUID

    @property
    def elements(self) -> dict[str, object]:
        return {
            keyword: self.dataset[keyword].value
            for keyword in PIXEL_MODULE
            if keyword in self.dataset
        }

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.dataset.Rows), int(self.dataset.Columns)

    def as_dataset(self) -> Dataset:
        """Return an instance that has this stream as its pixel data."""
        self.dataset.PixelData = encapsulate([self.stream])
        self.dataset["PixelData"].is_undefined_length = True
        self.dataset["PixelData"].VR = "OB"
        return self.dataset


def describe(pixels: np.ndarray, syntax: UID) -> Dataset:
    rows, columns = pixels.shape
    bits = pixels.itemsize * 8
    dataset = image(Rows=rows, Columns=columns, PixelData=pixels.tobytes())
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def compressed(syntax: UID) -> CompressedFrame:
    dataset = image(Rows=SIDE, Columns=SIDE, PixelData=RAMP.tobytes())
    dataset.compress(syntax, generate_instance_uid=False)
    return CompressedFrame(dataset, get_frame(dataset.PixelData, 0, number_of_frames=1))


def baseline_jpeg() -> CompressedFrame:
    pixels, file = (RAMP // 8).astype(np.uint8), BytesIO()
    Raster.fromarray(pixels).save(file, "JPEG")
    return CompressedFrame(describe(pixels, JPEGBaseline8Bit), file.getvalue())


def lossless_jpeg() -> CompressedFrame:
    """A real image; no encoder of this format is installed."""
    dataset = dcmread(real_data("derived_variants") / "ts_jpeg_lossless_sv1.dcm")
    return CompressedFrame(dataset, get_frame(dataset.PixelData, 0, number_of_frames=1))


def high_throughput() -> CompressedFrame:
    """A JPEG 2000 stream whose code blocks are declared as those of ISO 15444-15.

    They are coded otherwise, so a decoder of high-throughput blocks meets invalid ones.
    """
    plain = compressed(JPEG2000Lossless)
    siz_end = 4 + struct.unpack(">H", plain.stream[4:6])[0]
    cap = b"\xff\x50" + struct.pack(">HLH", 8, 1 << 17, 0)
    stream = bytearray(plain.stream[:siz_end] + cap + plain.stream[siz_end:])
    cod = stream.index(b"\xff\x52")
    stream[cod + 12] |= 0x40
    dataset = describe(RAMP, HTJ2KLossless)
    return CompressedFrame(dataset, bytes(stream))


MAKERS: dict[str, Callable[[], CompressedFrame]] = {
    "JPEG": baseline_jpeg,
    "JPEG-LS": lambda: compressed(JPEGLSLossless),
    "JPEG 2000": lambda: compressed(JPEG2000Lossless),
    "HTJ2K": high_throughput,
    "RLE": lambda: compressed(RLELossless),
}


@cache
def frames() -> dict[str, CompressedFrame]:
    return {name: make() for name, make in MAKERS.items()}


def mutated(
    samples: Mapping[str, CompressedFrame], draw: Random
) -> Iterator[tuple[str, CompressedFrame]]:
    """Yield mutated frames without end, of each sample in turn."""
    while True:
        for name, frame in samples.items():
            yield name, replace(frame, stream=_mutate(frame.stream, draw))


def _mutate(stream: bytes, draw: Random) -> bytes:
    changed = bytearray(stream)
    # The size is in the first 100 bytes; if it is changed, no decoder sees the rest.
    first = draw.choice([0, 100, 100, 200])
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        at = draw.randrange(min(first, len(changed) - 1), len(changed))
        kind = draw.randrange(6)
        if kind <= 2:
            changed[at] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        elif kind == 3:
            changed[at:at] = draw.randbytes(draw.randrange(1, 40))
        elif kind == 4:
            del changed[at : at + draw.randrange(1, 40)]
        else:
            copied = changed[at : at + 200]
            changed[at:at] = copied
        if len(changed) < 2:
            break
    return bytes(changed)


def size_segment(rows: int, columns: int, tile: int | None = None) -> bytes:
    """Return SOC and SIZ of a JPEG 2000 code stream with one grey component."""
    across, down = (columns, rows) if tile is None else (tile, tile)
    sizes = struct.pack(">HLLLLLLLLH", 0, columns, rows, 0, 0, across, down, 0, 0, 1)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(sizes) + 3) + sizes + COMPONENT


def with_size(stream: bytes, rows: int, columns: int, tile: int | None = None) -> bytes:
    """Return a JPEG 2000 code stream that states another size."""
    siz_end = 4 + struct.unpack(">H", stream[4:6])[0]
    return size_segment(rows, columns, tile) + stream[siz_end:]


def with_decoy(side: int) -> CompressedFrame:
    """Return a JP2 file: a box with a header of 64 x 64, then a code stream of `side` x `side`."""
    flat = image(Rows=SIDE, Columns=SIDE, PixelData=bytes(2 * SIDE * SIDE))
    flat.compress(JPEG2000Lossless, generate_instance_uid=False)
    real = with_size(get_frame(flat.PixelData, 0, number_of_frames=1), side, side)
    header = box(b"ihdr", struct.pack(">LLHBBBB", side, side, 1, 11, 7, 0, 0))
    colour = box(b"colr", b"\1\0\0" + struct.pack(">L", 17))
    file = (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"uuid", bytes(16) + size_segment(SIDE, SIDE))
        + box(b"jp2h", header + colour)
        + box(b"jp2c", real)
    )
    return CompressedFrame(describe(RAMP, JPEG2000Lossless), file)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content) + 8) + kind + content


def with_many_precincts(side: int) -> CompressedFrame:
    """Return a stream of the stated size whose image is divided into precincts of 2 x 2 samples.

    A decoder allocates memory for each of them: PS3.5 and the frame header allow that.
    """
    flat = image(Rows=SIDE, Columns=SIDE, PixelData=bytes(2 * SIDE * SIDE))
    flat.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = with_size(get_frame(flat.PixelData, 0, number_of_frames=1), side, side)
    cod = stream.index(b"\xff\x52")
    length = struct.unpack(">H", stream[cod + 2 : cod + 4])[0]
    parameters = bytearray(stream[cod + 4 : cod + 2 + length])
    parameters[0] |= 1  # precincts are defined
    levels = parameters[5]
    parameters = parameters[:10] + b"\x11" * (levels + 1)
    segment = b"\xff\x52" + struct.pack(">H", 2 + len(parameters)) + parameters
    changed = stream[:cod] + segment + stream[cod + 2 + length :]
    dataset = describe(RAMP, JPEG2000Lossless)
    dataset.Rows = dataset.Columns = side
    return CompressedFrame(dataset, changed)
