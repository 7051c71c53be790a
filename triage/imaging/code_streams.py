"""Read what a compressed frame will be decoded to, and compare it with the data set.

Decoders allocate memory by the header of the code stream, before anybody can compare it with Rows
and Columns. Here every frame header of the stream is read that a decoder may use: of a JPEG or
JPEG-LS stream all SOF segments, of JPEG 2000 the SIZ segments of the code stream that begins the
frame, or of the first one in a JP2 file. All of them must state one grey image of the size of the
data set; a stream that states no size, or zero, is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from triage.domain.errors import DamagedInstance


@dataclass(frozen=True)
class FrameForm:
    """The form of one frame."""

    rows: int
    columns: int
    components: int
    bits: int  #: of a sample


class _BrokenStream(Exception):
    """The stream ends within a segment, or has none where one must be."""


def check_code_stream(stream: bytes, syntax: UID, expected: FrameForm) -> None:
    """Raise DamagedInstance unless a frame decodes to the expected form; its `bits` are a maximum.

    For RLE, which states no size, the number and the places of its segments are checked.
    """
    read = READERS.get(syntax)
    if read is None:
        raise DamagedInstance("no decoder for its transfer syntax")
    try:
        forms = read(stream, expected)
    except _BrokenStream:
        forms = []
    if not forms:
        raise DamagedInstance("the compressed image does not state its size")
    for form in forms:
        if (form.rows, form.columns) != (expected.rows, expected.columns):
            raise DamagedInstance("the compressed image has another size than the header states")
        if form.components != expected.components or not 0 < form.bits <= expected.bits:
            raise DamagedInstance("the compressed image has other samples than the header states")


# -- JPEG (ISO 10918-1 B) and JPEG-LS (ISO 14495-1 C)

SOI, EOI, SOS, DNL, LSE = 0xD8, 0xD9, 0xDA, 0xDC, 0xF8
TEM = 0x01
#: SOF markers of JPEG without DHT, JPG and DAC in the same range, SOF55 of JPEG-LS, and DHP.
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7, 0xDE} - {0xC4, 0xC8, 0xCC}
#: Markers without a segment: SOI, EOI, TEM and RST0 to RST7.
ALONE = {SOI, EOI, TEM, *range(0xD0, 0xD8)}
#: A marker in entropy-coded data, which has no others than RST0 to RST7.
NEXT_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
#: An identifier of LSE: the size of an image in place of SOF55's (ISO 14495-1 C.2.4.1.4).
OVERSIZE = 4
FRAME_HEADER_BYTES = 6  #: precision, lines, samples per line, components


def _read_jpeg(stream: bytes, _: FrameForm) -> list[FrameForm]:
    return list(_find_frame_headers(stream))


def _find_frame_headers(stream: bytes) -> Iterator[FrameForm]:
    """Yield the form of every frame header; also of those after the end of the first image."""
    if stream[:2] != b"\xff\xd8":
        raise _BrokenStream
    at, is_coded = 2, False
    while True:
        found = NEXT_MARKER.search(stream, at)
        if found is None:
            return
        if not is_coded and stream[at : found.start()].strip(
            b"\xff"
        ):  # only fill bytes may be there
            raise _BrokenStream
        marker, at = stream[found.end() - 1], found.end()
        is_coded = marker in {EOI, SOS} or (is_coded and marker in ALONE)
        if marker in ALONE:
            continue
        segment = _read_segment(stream, at)
        if marker in FRAME_HEADERS:
            yield _read_frame_header(segment)
        elif marker == DNL or (marker == LSE and segment[:1] == bytes([OVERSIZE])):
            raise DamagedInstance("the compressed image states its size twice")
        at += len(segment) + 2


def _read_segment(stream: bytes, at: int) -> bytes:
    """Return the parameters of a marker segment whose length field is at a place."""
    length = _read_integer(stream, at, 2)
    segment = stream[at + 2 : at + length]
    if len(segment) != length - 2:  # the length includes its field
        raise _BrokenStream
    return segment


def _read_frame_header(segment: bytes) -> FrameForm:
    if len(segment) < FRAME_HEADER_BYTES:
        raise _BrokenStream
    rows, columns = _read_integer(segment, 1, 2), _read_integer(segment, 3, 2)
    return FrameForm(rows, columns, segment[5], segment[0])


# -- JPEG 2000 (ISO 15444-1 A.5.1, I.4)

SOC_SIZ = b"\xff\x4f\xff\x51"
SIZ, SOT = 0x51, 0x90
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODE_STREAM_BOX = b"jp2c"
BOX_BYTES, LONG_BOX_BYTES = 8, 16
SIZ_BYTES = 36  #: parameters without those of the components
COMPONENT_BYTES = 3


def _read_jpeg_2000(stream: bytes, _: FrameForm) -> list[FrameForm]:
    if stream.startswith(JP2_SIGNATURE):
        stream = _find_code_stream(stream)
    if not stream.startswith(SOC_SIZ):
        raise _BrokenStream
    return list(_find_sizes(stream))


def _find_code_stream(file: bytes) -> bytes:
    """Return the first code stream of a JP2 file."""
    at = 0
    while at + BOX_BYTES <= len(file):
        length, kind, head = _read_integer(file, at, 4), file[at + 4 : at + 8], BOX_BYTES
        if length == 1:
            length, head = _read_integer(file, at + 8, 8), LONG_BOX_BYTES
        if kind == CODE_STREAM_BOX:
            return file[at + head :]
        if length < head:  # 0: to the end of the file
            break
        at += length
    raise _BrokenStream


def _find_sizes(stream: bytes) -> Iterator[FrameForm]:
    """Yield what each SIZ of a main header states."""
    at = 2
    while True:
        if stream[at : at + 1] != b"\xff":
            raise _BrokenStream
        marker = _read_integer(stream, at + 1, 1)
        if marker == SOT:
            return
        segment = _read_segment(stream, at + 2)
        if marker == SIZ:
            yield _read_size(segment)
        at += 2 + 2 + len(segment)


def _read_size(segment: bytes) -> FrameForm:
    if len(segment) < SIZ_BYTES + COMPONENT_BYTES:
        raise _BrokenStream
    x1, y1, x0, y0 = (_read_integer(segment, 2 + 4 * field, 4) for field in range(4))
    components = _read_integer(segment, 34, 2)
    depth, across, down = segment[SIZ_BYTES : SIZ_BYTES + COMPONENT_BYTES]
    if (across, down) != (1, 1):
        raise DamagedInstance("the compressed image is subsampled")
    return FrameForm(y1 - y0, x1 - x0, components, (depth & 0x7F) + 1)


# -- RLE (PS3.5 G)

RLE_HEADER_BYTES = 64


def _read_rle(stream: bytes, expected: FrameForm) -> list[FrameForm]:
    """Return the expected form if the segments can have it."""
    count = int.from_bytes(stream[:4], "little")
    segments = expected.components * ((expected.bits + 7) // 8)
    if len(stream) < RLE_HEADER_BYTES or count != segments:
        raise DamagedInstance("the compressed image has other samples than the header states")
    offsets = [
        int.from_bytes(stream[4 + 4 * number : 8 + 4 * number], "little") for number in range(count)
    ]
    ends = [RLE_HEADER_BYTES, *offsets, len(stream)]
    if not all(before <= after for before, after in pairwise(ends)):
        raise _BrokenStream
    # A run has two bytes for at most 128 (PS3.5 G.3.1), and literal runs add one byte in 128.
    if len(stream) > RLE_HEADER_BYTES + 2 * count * (expected.rows * expected.columns + 2):
        raise DamagedInstance("the compressed image is longer than its pixels")
    return [expected]


def _read_integer(stream: bytes, at: int, length: int) -> int:
    field = stream[at : at + length]
    if len(field) != length:
        raise _BrokenStream
    return int.from_bytes(field)


READERS: Mapping[UID, Callable[[bytes, FrameForm], list[FrameForm]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                JPEGBaseline8Bit,
                JPEGExtended12Bit,
                JPEGLossless,
                JPEGLosslessSV1,
                JPEGLSLossless,
                JPEGLSNearLossless,
            ),
            _read_jpeg,
        ),
        **dict.fromkeys(
            (JPEG2000Lossless, JPEG2000, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL), _read_jpeg_2000
        ),
        RLELossless: _read_rle,
    }
)
