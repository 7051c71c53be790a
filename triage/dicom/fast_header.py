"""Read the identifiers of an instance from a file, quickly and without loading it.

`scan_header` handles the plain case only, and then returns exactly the result of
`header.read_identity`. In any doubt it returns None, and pydicom reads the file.

Invariants: tests/unit/dicom/test_fast_header.py compares both readers on altered and truncated
files.
"""

import mmap
import os
import re
import struct
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from triage.dicom.header import (
    META_HEAD,
    MOST_PHASES,
    NATIVE,
    PHILIPS_PHASES,
    PLACE_LENGTH,
    PRIVATE_BLOCK,
    WANTED,
    data_set_start,
    extract_identity,
    is_image_class,
    parse_philips_phases,
    read_identity,
    refuse_oversized,
)
from triage.dicom.structure import (
    ITEM,
    ITEM_END,
    LONG,
    SAFE_BYTES,
    SEQUENCE_END,
    SHALLOW_BYTES,
    SHORT,
    UNDEFINED,
    Content,
    Element,
    check_value,
)
from triage.dicom.unreadable import UNREADABLE, unparsable
from triage.domain.errors import DamagedInstance
from triage.domain.instance import Identity
from triage.domain.uid import UID_LENGTH

#: Largest file that pydicom may read into memory, bytes.
IN_MEMORY = 1 << 25
#: Smallest value of a larger file that stays on disk, bytes.
DEFERRED = 1 << 16
PIXEL_DATA = 0x7FE00010
SYNTAX = 0x00020010
STUDY, SERIES, SOP_CLASS, SOP_INSTANCE = 0x0020000D, 0x0020000E, 0x00080016, 0x00080018
MODALITY, ROWS, COLUMNS, SAMPLES, BITS = 0x00080060, 0x00280010, 0x00280011, 0x00280002, 0x00280100
FRAMES, PHOTOMETRIC = 0x00280008, 0x00280004
CARDIAC_IMAGES, PLACE, ACCESSION = 0x00181090, 0x00200032, 0x00080050
TEMPORAL_POSITIONS = 0x00200105
#: VR and value pattern of the wanted elements in the plain case.
PLAIN = {
    SYNTAX: (b"UI", re.compile(rb"[0-9]+(\.[0-9]+)*\0?")),
    **dict.fromkeys(
        (STUDY, SERIES, SOP_CLASS, SOP_INSTANCE), (b"UI", re.compile(rb"[0-9]+(\.[0-9]+)*\0?"))
    ),
    MODALITY: (b"CS", re.compile(rb"[A-Z]{2,16} ?")),
    PHOTOMETRIC: (b"CS", re.compile(rb"(MONOCHROME[12]|RGB) ?")),
    FRAMES: (b"IS", re.compile(rb"[0-9]{1,9} ?")),
    **dict.fromkeys((CARDIAC_IMAGES, TEMPORAL_POSITIONS), (b"IS", re.compile(rb"([0-9]{1,9} ?)?"))),
    PLACE: (b"DS", re.compile(rb"[0-9+.eE\\ -]*")),
    ACCESSION: (b"SH", re.compile(rb"[ -\[\]-~]{0,64}")),  # printable, without a backslash
    PRIVATE_BLOCK: (b"LO", re.compile(rb"(?s).{0,64}")),
    PHILIPS_PHASES: (b"SL", re.compile(rb"(?s).{0,64}")),
    **dict.fromkeys(
        (ROWS, COLUMNS, SAMPLES, BITS),
        (b"US", re.compile(rb"(?s)..")),
    ),
}
#: VRs of pixel data (PS3.5 8.2); none is written in implicit VR.
PIXEL_VRS = {b"", b"OB", b"OW"}
PRIVATE = {PRIVATE_BLOCK, PHILIPS_PHASES}
#: Tags of the file meta information, and of a data set up to its pixel data.
META, DATA_SET = range(0x00020001, 0x00030000), range(0x00080000, PIXEL_DATA + 1)
#: Floating-point pixel data, and pixel data stored elsewhere.
OTHER_PIXELS = {0x7FE00008, 0x7FE00009, 0x00287FE0}
DEEPEST = 8  #: nesting of sequences that is followed
UNPLAIN_SYNTAXES = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}
TAG_AND_LENGTH = struct.Struct("<HHL")
TAG = struct.Struct("<HH2sH")


def read_file_identity(path: Path) -> Identity:
    """Return the identifiers of a Part 10 file; raise DamagedInstance where it is no instance."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:  # an empty file cannot be mapped
            raise DamagedInstance("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if size >= SAFE_BYTES:
                refuse_oversized(content)
            identity = scan_header(content)
    if identity is not None:
        return identity
    return read_identity(path.read_bytes()) if size <= IN_MEMORY else _read_large(path)


def _read_large(path: Path) -> Identity:
    """Return the identifiers of a large file of unusual form, which was checked before."""
    try:
        dataset = dcmread(path, specific_tags=list(WANTED), defer_size=DEFERRED)
        return extract_identity(dataset, _pixel_bytes(dataset, path.stat().st_size))
    except UNREADABLE as error:
        with path.open("rb") as file:
            raise unparsable("data set", file, error) from None


def _pixel_bytes(dataset: Dataset, size: int) -> int:
    """Return how many bytes of pixel data a file of `size` bytes has, without reading them."""
    if "PixelData" not in dataset:
        return 0
    pixels: Any = dataset.get_item("PixelData", keep_deferred=True)
    return int(max(0, min(pixels.length, size - pixels.value_tell)))


def scan_header(part10: Content) -> Identity | None:
    """Return the identifiers of a plain Part 10 file; None if pydicom must read it."""
    try:
        return _scan_plain(part10)
    except (_NotPlainHeader, struct.error, IndexError):
        return None


class _NotPlainHeader(Exception):
    """The file is not a plain case; pydicom must read it."""


def _require(*, condition: bool) -> None:
    if not condition:
        raise _NotPlainHeader


def _scan_plain(part10: Content) -> Identity:
    _require(condition=part10[128:132] == b"DICM" and part10[132:140] == b"\x02\0\0\0UL\x04\0")
    start = data_set_start(part10[:META_HEAD])
    _require(condition=start <= len(part10))
    meta, _, _ = _walk(part10, range(META_HEAD, start), META, implicit=False)
    syntax = _uid_text(meta, SYNTAX)
    _require(condition=syntax not in UNPLAIN_SYNTAXES)
    implicit = syntax == ImplicitVRLittleEndian
    # pydicom follows the bytes if they contradict the transfer syntax.
    _require(condition=part10[start + 4 : start + 6].isalpha() != implicit)
    span = range(start, len(part10))
    found, at, length = _walk(part10, span, DATA_SET, implicit=implicit)
    sop_class = _uid_text(found, SOP_CLASS)
    if at == 0:
        _require(condition=not is_image_class(sop_class))
    elif syntax in NATIVE:
        _require(condition=at + length == len(part10) and 0 < _expected_length(found) <= length)
    else:
        _require(condition=length == UNDEFINED)
        _require(condition=_encapsulated_end(part10, at) == len(part10))
    return Identity(
        study_uid=_uid_text(found, STUDY),
        series_uid=_uid_text(found, SERIES),
        sop_class_uid=sop_class,
        sop_instance_uid=_uid_text(found, SOP_INSTANCE),
        modality=found.get(MODALITY, b"").decode().strip(),
        is_image=is_image_class(sop_class),
        cardiac_images=min(_phases(found), MOST_PHASES),
        place=found.get(PLACE, b"").decode().strip()[:PLACE_LENGTH],
        accession_number=found.get(ACCESSION, b"").decode().strip(),
    )


def _walk(
    part10: Content, span: range, tags: range, *, implicit: bool
) -> tuple[dict[int, bytes], int, int]:
    """Return the wanted elements of a span, with start and length of its pixel data.

    Start and length are 0 if the span has no pixel data.
    """
    found: dict[int, bytes] = {}
    at, before = span.start, -1
    while at < span.stop:
        tag, vr, at, length = _element(part10, at, implicit=implicit)
        _require(condition=before < tag and tag in tags)
        before = tag
        if tag == PIXEL_DATA:
            _require(condition=vr in PIXEL_VRS)
            return found, at, length
        _require(condition=tag not in OTHER_PIXELS)
        if length == UNDEFINED:
            at = _sequence_end(part10, at, DEEPEST, implicit=implicit)
        else:
            if tag in PLAIN:
                value = part10[at : at + length]
                expected, form = PLAIN[tag]
                # Software without the private dictionary writes the element as UN (PS3.5 6.2.2).
                known = vr in {b"", expected} or (vr == b"UN" and tag in PRIVATE)
                _require(condition=known and form.fullmatch(value) is not None)
                found[tag] = value
            elif length >= SHALLOW_BYTES:
                check_value(part10, Element(tag, vr, at, length), is_implicit=implicit)
            at += length
    _require(condition=at == span.stop)
    return found, 0, 0


def _element(part10: Content, at: int, *, implicit: bool) -> tuple[int, bytes, int, int]:
    """Return tag, VR (empty if implicit), start and length of an element (PS3.5 7.1)."""
    if implicit:
        group, element, length = TAG_AND_LENGTH.unpack_from(part10, at)
        return group << 16 | element, b"", at + 8, length
    group, element, vr, length = TAG.unpack_from(part10, at)
    if vr in SHORT:
        return group << 16 | element, vr, at + 8, length
    _require(condition=vr in LONG)
    long = int.from_bytes(part10[at + 8 : at + 12], "little")
    _require(condition=long != UNDEFINED or vr == b"SQ" or (group, element) == (0x7FE0, 0x0010))
    return group << 16 | element, vr, at + 12, long


def _sequence_end(part10: Content, at: int, depth: int, *, implicit: bool) -> int:
    """Return where a sequence of undefined length ends (PS3.5 7.5.2)."""
    _require(condition=depth > 0)
    while True:
        group, element, length = TAG_AND_LENGTH.unpack_from(part10, at)
        tag, at = group << 16 | element, at + 8
        if tag == SEQUENCE_END:
            return at
        _require(condition=tag == ITEM)
        stop = None if length == UNDEFINED else at + length
        at = _item_end(part10, at, stop, depth, implicit=implicit)


def _item_end(part10: Content, at: int, stop: int | None, depth: int, *, implicit: bool) -> int:
    """Return where an item ends: at `stop`, or after its delimiter if `stop` is None."""
    while at != stop:
        group, element, _ = TAG_AND_LENGTH.unpack_from(part10, at)
        if group << 16 | element == ITEM_END:
            _require(condition=stop is None)
            return at + 8
        _, _, at, length = _element(part10, at, implicit=implicit)
        if length == UNDEFINED:
            at = _sequence_end(part10, at, depth - 1, implicit=implicit)
        else:
            at += length
        _require(condition=stop is None or at <= stop)
    return at


def _encapsulated_end(part10: Content, at: int) -> int:
    """Return where encapsulated pixel data ends (PS3.5 A.4)."""
    while True:
        group, element, length = TAG_AND_LENGTH.unpack_from(part10, at)
        at += 8
        if group << 16 | element == SEQUENCE_END:
            return at
        _require(condition=group << 16 | element == ITEM and length != UNDEFINED)
        at += length


def _phases(found: dict[int, bytes]) -> int:
    block, phases = (found.get(tag, b"") for tag in (PRIVATE_BLOCK, PHILIPS_PHASES))
    positions = int(found.get(TEMPORAL_POSITIONS) or 0)
    return (
        int(found.get(CARDIAC_IMAGES) or 0)
        or parse_philips_phases(block, phases)
        or positions * (positions > 1)
    )


def _uid_text(found: dict[int, bytes], tag: int) -> str:
    """Return a UID; pydicom must read the file if it is missing or too long."""
    value = found.get(tag, b"").removesuffix(b"\0")
    _require(condition=0 < len(value) <= UID_LENGTH)
    return value.decode()


def _expected_length(found: dict[int, bytes]) -> int:
    """Return the expected length of native pixel data, bytes (PS3.5 8.1.1)."""
    rows, columns, bits = (
        int.from_bytes(found.get(tag, b""), "little") for tag in (ROWS, COLUMNS, BITS)
    )
    samples = int.from_bytes(found.get(SAMPLES, b"\x01\0"), "little")
    return rows * columns * samples * bits * int(found.get(FRAMES, b"1")) // 8
