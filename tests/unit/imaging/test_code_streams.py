"""Every size that a compressed frame states is compared with the data set."""

import struct
from dataclasses import replace

import pytest
from pydicom.uid import (
    MPEG2MPML,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.builders.code_streams import SIDE, frames, size_segment, with_decoy, with_size
from triage.domain.errors import DamagedInstance
from triage.imaging.code_streams import FrameForm, check_code_stream

FORM = FrameForm(SIDE, SIDE, 1, 16)
#: SOI and a frame header with 8192 lines of 8192 samples.
LARGE = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB3s", 11, 16, 8192, 8192, 1, b"\1\x11\0")


def check(stream: bytes, syntax: UID, form: FrameForm = FORM) -> None:
    check_code_stream(stream, syntax, form)


@pytest.mark.parametrize("name", ["JPEG", "JPEG-LS", "JPEG 2000", "HTJ2K", "RLE"])
def test_ordinary_frames_pass_and_other_forms_do_not(name: str) -> None:
    frame = frames()[name]
    form = replace(FORM, bits=int(frame.dataset.BitsAllocated))
    check(frame.stream, frame.syntax, form)
    others = [replace(form, components=3), replace(form, bits=24 if name == "RLE" else 7)]
    if name != "RLE":  # which states no size
        others += [replace(form, rows=SIDE + 1), replace(form, columns=SIDE - 1)]
    for other in others:
        with pytest.raises(DamagedInstance, match="than the header states"):
            check(frame.stream, frame.syntax, other)


@pytest.mark.parametrize(
    ("stream", "syntax"),
    [
        (b"", JPEG2000Lossless),
        (b"no stream at all", JPEG2000Lossless),
        (bytes(20) + size_segment(SIDE, SIDE), JPEG2000Lossless),  # a decoder begins at the start
        (size_segment(SIDE, SIDE)[:20], JPEG2000Lossless),
        (b"", JPEGLSLossless),
        (b"\xff\xd8\xff\xd9", JPEGLSLossless),
        (b"\xff\xd8" + bytes(100), JPEGBaseline8Bit),
    ],
)
def test_an_unknown_size_is_refused(stream: bytes, syntax: UID) -> None:
    with pytest.raises(DamagedInstance, match="does not state its size"):
        check(stream, syntax)


@pytest.mark.parametrize("side", [0, 8192, 32768])
def test_the_code_stream_that_is_decoded_is_checked_and_not_a_decoy(side: int) -> None:
    bomb = with_decoy(side)
    assert len(bomb.stream) < 1000
    with pytest.raises(DamagedInstance, match="another size than the header states"):
        check(bomb.stream, JPEG2000Lossless)


def test_every_size_of_a_jpeg_2000_header_counts() -> None:
    stream = frames()["JPEG 2000"].stream
    twice = stream[:2] + size_segment(SIDE, SIDE)[2:] + with_size(stream, 8192, 8192)[2:]
    with pytest.raises(DamagedInstance, match="another size"):
        check(twice, JPEG2000Lossless)


def test_every_frame_header_of_a_jpeg_stream_counts() -> None:
    frame = frames()["JPEG"]
    form = replace(FORM, bits=8)
    check(frame.stream + b"\0", JPEGBaseline8Bit, form)  # padding to an even length
    scan = frame.stream.index(b"\xff\xda")
    for stream in (
        frame.stream + LARGE,
        frame.stream[:scan] + LARGE[2:] + frame.stream[scan:],
        frame.stream[:-2] + LARGE[2:] + frame.stream[-2:],
    ):
        with pytest.raises(DamagedInstance, match="another size"):
            check(stream, JPEGBaseline8Bit, form)


@pytest.mark.parametrize("segment", [b"\xff\xdc\0\4\x20\0", b"\xff\xf8\0\5\4\0\0"])
def test_a_size_that_is_stated_elsewhere_is_refused(segment: bytes) -> None:
    stream = frames()["JPEG-LS"].stream
    with pytest.raises(DamagedInstance, match="states its size twice"):
        check(stream[:-2] + segment + stream[-2:], JPEGLSLossless)


def test_segments_of_rle_must_be_those_of_the_pixels() -> None:
    stream = frames()["RLE"].stream
    with pytest.raises(DamagedInstance, match="longer than its pixels"):
        check(stream + bytes(1 << 16), RLELossless)
    with pytest.raises(DamagedInstance, match="does not state its size"):
        check(stream[:8] + b"\xff\xff\xff\x7f" + stream[12:], RLELossless)


def test_a_transfer_syntax_without_decoder_is_refused() -> None:
    with pytest.raises(DamagedInstance, match="no decoder"):
        check(b"\0\0\1", MPEG2MPML)
