"""Bound the structure of a data set before pydicom builds it: items, elements and nesting.

pydicom needs some 600 bytes and 16 microseconds for an item of 8 bytes, so that a small file can
take all memory. `check_structure` follows the encoded bytes as `pydicom.filereader` reads them, and
as pydicom later converts the sequences, and raises OversizedDataSet beyond the limits. Nothing is
built, so the check itself needs no memory, and it ends where a limit is exceeded.

Bytes that pydicom reads by special rules (a command set, file meta information in implicit VR) are
not followed; a file that has them is refused if it is long enough to exceed a limit.

Invariants: tests/unit/dicom/test_structure.py compares the counts with what pydicom builds from
altered files.
"""

import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_has_tag
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from triage.domain.errors import OversizedDataSet

#: Most items of all sequences, and fragments of pixel data. An Enhanced MR image of 10,000 frames
#: with 12 functional groups each has 130,000.
MOST_ITEMS = 200_000
#: Most elements, in the data set and in all items.
MOST_ELEMENTS = 500_000
#: Deepest nesting of sequences; the content tree of a report rarely exceeds 10.
MOST_DEPTH = 32
#: Bytes of the shortest item or element (PS3.5 7.1.3, 7.5).
SHORTEST = 8
#: A file, or a value, of fewer bytes cannot have too many items or elements.
SAFE_BYTES = SHORTEST * MOST_ITEMS
#: A value of fewer bytes cannot nest too deep: a sequence with one item has 16 bytes.
SHALLOW_BYTES = 2 * SHORTEST * MOST_DEPTH
UNDEFINED = 0xFFFFFFFF
VR_BYTES, CAPITALS = 2, range(ord("A"), ord("Z") + 1)
PREAMBLE = 132  #: bytes of preamble and prefix (PS3.10 7.1)
SYNTAX, META_GROUP = 0x00020010, 0x0002
COMMAND_GROUP = b"\0\0"  #: in either byte order
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
#: PS3.5 7.1.2: VRs with a length field of 32 bits, and with 16 bits.
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
SHORT = {
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT"),
    *(b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
}
#: Tags whose VR in PS3.6 is SQ; they are sequences where no VR is stated.
SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")

Content = bytes | mmap.mmap


class _ByteOrder(NamedTuple):
    """How tags and lengths are read in one byte order."""

    implicit: struct.Struct  #: group, element, length
    explicit: struct.Struct  #: group, element, VR, length
    length: struct.Struct
    sequence_end: bytes


LITTLE, BIG = (
    _ByteOrder(
        struct.Struct(f"{sign}HHL"),
        struct.Struct(f"{sign}HH2sH"),
        struct.Struct(f"{sign}L"),
        struct.pack(f"{sign}HH", SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF),
    )
    for sign in "<>"
)


@dataclass(frozen=True)
class _Place:
    """The encoding at a place, and where the bytes end that pydicom has there as one buffer."""

    end: int
    order: _ByteOrder
    is_implicit: bool
    depth: int = 0


class Element(NamedTuple):
    """The header of an element."""

    tag: int
    vr: bytes  #: empty if not stated
    value: int  #: where the value begins
    length: int


class _NotFollowed(Exception):
    """pydicom reads the file by rules that are not followed here."""


def find_data_set(part10: Content) -> tuple[int, str] | None:
    """Return where the data set of a Part 10 file begins and its transfer syntax (PS3.10 7.1).

    None if pydicom finds them by rules that are not followed here. It ends the file meta
    information at the first element of another group, and takes the last of several transfer
    syntaxes.
    """
    try:
        return _follow_file_meta(part10)
    except (_NotFollowed, struct.error):
        return None


def check_structure(content: Content, start: int = 0, syntax: str = "") -> None:
    """Raise OversizedDataSet if a data set has too many items or elements, or nests too deep.

    It begins at `start`; an empty transfer syntax is explicit VR little endian. A deflated data set
    (PS3.5 A.5) must be inflated before.
    """
    order = BIG if syntax == ExplicitVRBigEndian else LITTLE
    place = _Place(len(content), order, syntax == ImplicitVRLittleEndian)
    with suppress(struct.error):  # pydicom fails there as well
        _Count(content).follow_data_set(start, place, None)


def check_value(content: Content, element: Element, *, is_implicit: bool) -> None:
    """Raise OversizedDataSet as `check_structure` does, for a value that may be a sequence.

    The element is of stated length and little endian.
    """
    place = _Place(len(content), LITTLE, is_implicit)
    with suppress(struct.error):
        _Count(content).follow_value(element, place)


def _follow_file_meta(part10: Content) -> tuple[int, str]:
    """Return what `find_data_set` does; raise _NotFollowed."""
    if part10[PREAMBLE - 4 : PREAMBLE] != b"DICM":
        raise _NotFollowed
    at, syntax, end = PREAMBLE, None, len(part10)
    while at + SHORTEST <= end:
        group, element, vr, length = LITTLE.explicit.unpack_from(part10, at)
        if group != META_GROUP:
            break
        value = at + SHORTEST
        if vr in LONG:
            (length,) = LITTLE.length.unpack_from(part10, value)
            value += 4
        if vr not in LONG | SHORT or length == UNDEFINED:
            raise _NotFollowed
        if group << 16 | element == SYNTAX:
            if vr != b"UI":
                raise _NotFollowed
            syntax = part10[value : value + length]
        at = value + length
    is_command = part10[at : at + 2] == COMMAND_GROUP
    if syntax is None or is_command:
        raise _NotFollowed
    return at, syntax.rstrip(b"\0 ").decode("latin-1")


class _Count:
    """Counts what pydicom would build from a content."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.items = self.elements = 0

    def follow_data_set(self, at: int, place: _Place, stop: int | None) -> int:
        """Return where a data set ends that begins at `at`; None: at its delimiter."""
        place = replace(place, is_implicit=self._is_implicit(at, place))
        while (stop is None or at < stop) and at + SHORTEST <= place.end:
            element = self._read_element(at, place)
            if element.tag == ITEM_END:
                return element.value
            self.elements += 1
            if self.elements > MOST_ELEMENTS:
                raise OversizedDataSet(f"it has more than {MOST_ELEMENTS} elements")
            if element.length == UNDEFINED:
                at = self._follow_undefined(element, place)
            else:
                at = self.follow_value(element, place)
        return min(at, place.end) if stop is None or at < stop else at

    def follow_value(self, element: Element, place: _Place) -> int:
        """Return where a value of stated length ends; follow it if it may be a sequence."""
        end = min(element.value + element.length, place.end)
        if element.length >= SHORTEST and self._may_be_sequence(element, place):
            self._follow_sequence(element.value, _nest(place, end), end)
        return end

    def _follow_sequence(self, at: int, place: _Place, stop: int | None) -> int:
        """Return where the items end that begin at `at`; None: at the delimiter (PS3.5 7.5)."""
        if place.depth > MOST_DEPTH:
            raise OversizedDataSet(f"its sequences nest deeper than {MOST_DEPTH}")
        while stop is None or at < stop:
            if at + SHORTEST > place.end:
                return place.end  # pydicom raises an error
            group, number, length = place.order.implicit.unpack_from(self._content, at)
            at += SHORTEST
            if group << 16 | number == SEQUENCE_END:
                break
            self._count_item()
            # pydicom takes any tag for that of an item.
            if length:
                at = self.follow_data_set(at, place, None if length == UNDEFINED else at + length)
        return at

    def _count_item(self) -> None:
        self.items += 1
        if self.items > MOST_ITEMS:
            raise OversizedDataSet(f"it has more than {MOST_ITEMS} items of sequences and pixels")

    def _is_implicit(self, at: int, place: _Place) -> bool:
        """Return whether pydicom takes a data set for implicit VR, by its first element."""
        if place.is_implicit and place.depth:
            return True
        vr = self._content[at + 4 : min(at + 6, place.end)]
        if len(vr) < VR_BYTES:
            return place.is_implicit
        return not all(character in CAPITALS for character in vr)

    def _read_element(self, at: int, place: _Place) -> Element:
        """Return the header of an element (PS3.5 7.1)."""
        content, order = self._content, place.order
        if not place.is_implicit:
            group, element, vr, length = order.explicit.unpack_from(content, at)
            if vr in LONG:
                (length,) = order.length.unpack_from(content, at + SHORTEST)
                return Element(group << 16 | element, vr, at + SHORTEST + 4, length)
            if vr in SHORT or b"AA" <= vr <= b"ZZ":
                return Element(group << 16 | element, vr, at + SHORTEST, length)
        group, element, length = order.implicit.unpack_from(content, at)
        return Element(group << 16 | element, b"", at + SHORTEST, length)

    def _may_be_sequence(self, element: Element, place: _Place) -> bool:
        """Return whether pydicom may convert a value of stated length to a sequence."""
        if element.vr == b"SQ":
            return True
        return element.vr in {b"", b"UN"} and (
            element.tag in SEQUENCES or self._begins_with_item(element.value, place)
        )

    def _begins_with_item(self, at: int, place: _Place) -> bool:
        if at + SHORTEST > place.end:
            return False
        group, element, _ = place.order.implicit.unpack_from(self._content, at)
        return bool(group << 16 | element == ITEM)

    def _follow_undefined(self, element: Element, place: _Place) -> int:
        """Return where a value of undefined length ends (PS3.5 7.5.2, A.4)."""
        is_sequence = element.vr in {b"SQ", b"UN"} or element.tag in SEQUENCES
        if not dictionary_has_tag(element.tag):
            is_sequence = is_sequence or self._begins_with_item(element.value, place)
        if is_sequence and element.vr in {b"SQ", b"UN", b""}:
            return self._follow_sequence(element.value, _nest(place, place.end), None)
        return self._follow_fragments(element.value, place)

    def _follow_fragments(self, start: int, place: _Place) -> int:
        """Return where encapsulated pixel data ends; pydicom searches its delimiter otherwise."""
        at = start
        while at + SHORTEST <= place.end:
            group, element, length = place.order.implicit.unpack_from(self._content, at)
            at += SHORTEST
            if group << 16 | element == SEQUENCE_END:
                return at
            if group << 16 | element != ITEM or length == UNDEFINED:
                break
            self._count_item()
            at += length
        found = self._content.find(place.order.sequence_end, start, place.end)
        return place.end if found < 0 else found + SHORTEST


def _nest(place: _Place, end: int) -> _Place:
    return replace(place, end=end, depth=place.depth + 1)
