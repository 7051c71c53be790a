"""Images with one damaged element, at any depth of the data set.

An image is encoded in explicit VR little endian with sequences of undefined length, so that an
element of another size leaves the rest of the file as it was.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.builders.images import part10
from triage.dicom.header import data_set_start

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END, PIXEL_DATA = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010


class ElementPlace(NamedTuple):
    """Where an element is in a file."""

    keywords: tuple[str, ...]  #: of the sequences that contain it, and its own
    at: int  #: of its tag
    value: int
    end: int
    is_sequence: bool

    @property
    def top(self) -> str:
        """Return the keyword of the element of the data set that it belongs to."""
        return self.keywords[0]


@dataclass(frozen=True)
class DamagedElement:
    """An element of an image, to be written otherwise."""

    content: bytes
    place: ElementPlace

    @property
    def vr(self) -> bytes:
        """Return its VR."""
        return self.content[self.place.at + 4 : self.place.at + 6]

    @property
    def value(self) -> bytes:
        """Return its value."""
        return self.content[self.place.value : self.place.end]

    def with_value(self, value: bytes, vr: bytes | None = None) -> bytes:
        """Return the file with another value, and another VR if one is given."""
        element = self.content[self.place.at : self.place.at + 4] + encode(vr or self.vr, value)
        return self.content[: self.place.at] + element + self.content[self.place.end :]

    def with_length(self, length: int) -> bytes:
        """Return the file with a length field that is wrong."""
        size, code = (4, "<L") if self.vr in LONG else (2, "<H")
        at = self.place.value - size
        field = struct.pack(code, length & (256**size - 1))
        return self.content[:at] + field + self.content[self.place.value :]


def encode(vr: bytes, value: bytes) -> bytes:
    """Return VR, length and value of an element (PS3.5 7.1.2)."""
    if vr in LONG:
        return vr + struct.pack("<HL", 0, len(value)) + value
    return vr + struct.pack("<H", len(value)) + value


def encode_openly(dataset: Dataset) -> bytes:
    """Return a data set as a Part 10 file whose sequences have no stated length."""
    _open_sequences(dataset)
    return part10(dataset)


def _open_sequences(dataset: Dataset) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _open_sequences(item)


def list_elements(content: bytes) -> list[ElementPlace]:
    """Return the elements of a file of `encode_openly`, at any depth, up to the pixel data."""
    return _walk(content, data_set_start(content[:144]), ())[0]


def _walk(content: bytes, at: int, within: tuple[str, ...]) -> tuple[list[ElementPlace], int]:
    found: list[ElementPlace] = []
    while at < len(content):
        group, element, length = struct.unpack_from("<HHL", content, at)
        tag = group << 16 | element
        if tag in {ITEM_END, SEQUENCE_END, PIXEL_DATA}:
            return found, at + 8
        if tag == ITEM:
            inner, at = _walk(content, at + 8, within)
            found += inner
            continue
        vr = content[at + 4 : at + 6]
        value, length = (
            (at + 12, struct.unpack_from("<L", content, at + 8)[0])
            if vr in LONG
            else (at + 8, struct.unpack_from("<H", content, at + 6)[0])
        )
        keywords = (*within, keyword_for_tag(Tag(tag)))
        inner, end = (
            _walk(content, value, keywords) if length == UNDEFINED else ([], value + length)
        )
        found += [ElementPlace(keywords, at, value, end, length == UNDEFINED), *inner]
        at = end
    return found, at


def damaged_item(keyword: str, vr: str, value: bytes) -> Dataset:
    """Return an item with one element as it would be read from a file."""
    item, tag = Dataset(), Tag(keyword)
    item._dict[tag] = RawDataElement(
        tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )
    return item


def iterate(dataset: Dataset) -> Iterator[object]:
    """Yield every value of a data set, at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from iterate(item)
        else:
            yield element.value
