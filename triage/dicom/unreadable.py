"""Drop the elements of a header that cannot be read, so that no later access to it can fail.

pydicom converts an element when it is first read. One element of a wrong length would therefore
fail wherever some module happens to read it. Here every element is converted once, at any depth.
"""

import math
import struct
import zlib
from collections.abc import Collection
from contextlib import suppress
from itertools import count
from typing import Any, BinaryIO

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from triage.dicom.patient import PATIENT
from triage.domain.errors import DamagedInstance

#: Exceptions that pydicom raises for bytes that are not a data set, found with damaged files.
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    AttributeError,
    struct.error,
    zlib.error,
)
FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
#: Functional group macros (PS3.3 C.7.6.16) that place and rescale a frame.
MACROS = (
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
)
#: Elements without which an image cannot be placed, decoded or attributed to its patient. Any other
#: element that cannot be read is treated as missing.
NEEDED = {
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Modality"),
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "NumberOfFrames"),
    *("PixelRepresentation", "PhotometricInterpretation", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("ImageOrientationPatient", "ImagePositionPatient", *FUNCTIONAL_GROUPS, *MACROS),
    *("SpecificCharacterSet", *PATIENT),
}
CHARACTER_SET = Tag("SpecificCharacterSet")
TEXT = {*("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")}
NUMBER_STRINGS = {"DS", "IS"}
NUMBERS = {*NUMBER_STRINGS, *("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "US or SS")}


def drop_unreadable(
    dataset: Dataset, needed: Collection[str] = NEEDED, kept: Collection[int] = ()
) -> frozenset[str]:
    """Remove the elements that cannot be read, at any depth; return their keywords.

    Private elements are removed as well, because no other module reads them.

    Args:
        dataset: It is changed.
        needed: Keywords of elements of the data set, and of the items of needed sequences.
        kept: Tags of private elements of the data set that stay as they are, as bytes.

    Raises:
        DamagedInstance: A needed element cannot be read; the message names it.
    """
    dropped: set[str] = set()
    _drop(dataset, needed, dropped, kept)
    return frozenset(dropped)


def _drop(
    dataset: Dataset, needed: Collection[str], dropped: set[str], kept: Collection[int] = ()
) -> None:
    for tag in [tag for tag in dataset.keys() if tag not in kept]:  # noqa: SIM118 - no conversion
        keyword = keyword_for_tag(tag)
        if not keyword:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]  # pydicom converts an element on access
            _check_kind(element)
        except UNREADABLE as error:
            if keyword in needed:
                raise unreadable_element(keyword, error) from None
            dropped.add(keyword)
            del dataset[tag]
            continue
        if element.VR == "SQ":
            for item in element.value:
                _drop(item, needed if keyword in needed else (), dropped)


def unreadable_element(keyword: str, error: Exception) -> DamagedInstance:
    """Return the error that names an element which cannot be read."""
    return DamagedInstance(f"{keyword} cannot be read ({type(error).__name__})")


def _check_kind(element: DataElement) -> None:
    """Raise TypeError or ValueError if the value is not of the kind that PS3.6 states.

    Another VR of the same kind is accepted: numbers may be binary or strings.
    """
    expected = dictionary_VR(element.tag)
    if (expected == "SQ") != (element.VR == "SQ"):
        raise TypeError(f"VR {element.VR} instead of {expected}")
    if element.is_empty:
        return
    accepted = TEXT | NUMBER_STRINGS if expected == "PN" else (TEXT - {"PN"}) | NUMBER_STRINGS
    if expected in TEXT and element.VR not in accepted:  # a name is no string for pydicom
        raise TypeError(f"VR {element.VR} instead of {expected}")
    if expected in NUMBERS:
        if isinstance(element.value, bytes):
            raise TypeError(f"VR {element.VR} instead of {expected}")
        values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
        if not all(math.isfinite(float(value)) for value in values):
            raise ValueError("not a finite number")


def read_value(dataset: Dataset, keyword: str) -> Any:
    """Return a value, None if it is missing; raise DamagedInstance if it cannot be read."""
    try:
        return dataset.get(keyword)
    except UNREADABLE as error:
        raise unreadable_element(keyword, error) from None


def unparsable(what: str, file: BinaryIO, error: Exception) -> DamagedInstance:
    """Return the error for a Part 10 file that does not parse, with the place if it is known."""
    keyword = _find_last_element(file)
    place = f" at or after {keyword}" if keyword else ""
    return DamagedInstance(f"the {what} does not parse{place} ({type(error).__name__})")


def _find_last_element(file: BinaryIO) -> str:
    """Return the keyword of the last known element before a file stops to parse; else empty.

    It is the element whose length is wrong, or the one before it. The character set is the one
    element that pydicom converts while it reads: if already the elements before the last one cannot
    be read, then the character set is at fault.
    """
    seen: list[BaseTag] = []

    def note(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        seen.append(tag)
        return False

    with suppress(*UNREADABLE):  # the error is known already; only its place is searched
        read_partial(file, stop_when=note)
    if CHARACTER_SET in seen[:-1] and not _can_read_before(file, len(seen)):
        return keyword_for_tag(CHARACTER_SET)
    return next((keyword for tag in reversed(seen) if (keyword := keyword_for_tag(tag))), "")


def _can_read_before(file: BinaryIO, number: int) -> bool:
    """Return whether the elements before one can be read; `number` counts from 1."""
    file.seek(0)
    numbers = count(1)
    try:
        read_partial(file, stop_when=lambda _tag, _vr, _length: next(numbers) == number)
    except UNREADABLE:
        return False
    return True
