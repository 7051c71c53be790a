"""Read headers and identifiers of instances without decoding their pixels.

An instance that passes here can be stored and found again. A header that cannot be parsed,
identifiers that are not UIDs, and pixel data shorter than the header states are damage; everything
else is stored as received.
"""

import zlib
from io import BytesIO
from typing import NamedTuple

from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from triage.dicom.patient import text_value
from triage.dicom.structure import SAFE_BYTES, Content, check_structure, find_data_set
from triage.dicom.unreadable import (
    UNREADABLE,
    drop_unreadable,
    read_value,
    unparsable,
    unreadable_element,
)
from triage.domain.errors import DamagedInstance, OversizedDataSet
from triage.domain.instance import Identity
from triage.domain.uid import is_uid

GROUP_LENGTH = bytes.fromhex("02000000")  #: (0002,0000) in little endian

META_HEAD = 144  #: bytes of preamble, prefix and group length (PS3.10 7.1)

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
PIXEL_MODULE = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "PhotometricInterpretation",
)
#: Attributes that show whether a cine is complete.
STACK = ("CardiacNumberOfImages", "NumberOfTemporalPositions", "ImagePositionPatient")
#: Private block (PS3.5 7.8) and element in which Philips states the number of phases of a cine.
PRIVATE_BLOCK, PHILIPS_PHASES = 0x20010010, 0x20011017
RAW = frozenset((PRIVATE_BLOCK, PHILIPS_PHASES))  #: private elements that are read, as bytes
#: Creator of that private block.
PHILIPS = b"Philips Imaging DD 001"
PLACE_LENGTH = 64  #: characters of a position that are kept
ACCESSION_LENGTH = 64  #: characters of an accession number that are kept
MOST_PHASES = 10_000  #: a larger number of phases is not plausible
PHASES_LENGTH = 4  #: bytes of an SL
#: Largest size of a data set after inflation, bytes.
MOST_INFLATED = 1 << 26
DEFLATED_CHUNK = 1 << 16  #: bytes that are inflated together
#: Elements that an image may have in place of PixelData.
OTHER_PIXELS = ("FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
#: Elements that identify an instance and show whether it is complete.
WANTED = (
    *map(Tag, (*IDENTIFIERS, *PIXEL_MODULE, *OTHER_PIXELS, *STACK, "Modality", "PixelData")),
    Tag("AccessionNumber"),
    *map(Tag, (PRIVATE_BLOCK, PHILIPS_PHASES)),
)
NATIVE = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
}


class Header(NamedTuple):
    """The header of an instance, without pixel data and without what could not be read."""

    dataset: Dataset
    dropped: frozenset[str]  #: keywords of the elements that could not be read


def parse_header(part10: bytes) -> Header:
    """Return the header of a Part 10 file; no access to its elements can fail.

    Raises:
        DamagedInstance: The header cannot be parsed, or an element that is needed cannot be read.
    """
    refuse_oversized(part10)
    try:
        header = dcmread(BytesIO(part10), stop_before_pixels=True)
        header.buffer = None  # the buffer would keep the pixels of every instance in memory
        return Header(header, drop_unreadable(header, kept=RAW))
    except UNREADABLE as error:
        raise unparsable("header", BytesIO(part10), error) from None


def read_header(part10: bytes) -> Dataset:
    """Return the data set of a Part 10 file without its pixel data, as `parse_header` does."""
    return parse_header(part10).dataset


def strip_file_meta(part10: bytes) -> bytes:
    """Return a Part 10 file without its file meta information (PS3.10 7.1).

    That group names the application that wrote the file, and every application rewrites it.
    """
    return part10[data_set_start(part10[:META_HEAD]) :]


def data_set_start(head: bytes) -> int:
    """Return the offset of the data set, from the first META_HEAD bytes; 0 if not stated."""
    if head[132:136] != GROUP_LENGTH or len(head) < META_HEAD:
        return 0
    return META_HEAD + int.from_bytes(head[140:META_HEAD], "little")


def read_identity(part10: bytes) -> Identity:
    """Return the identifiers of a Part 10 file.

    Raises:
        DamagedInstance: The file is not a usable instance.
    """
    try:
        refuse_oversized(part10)
        dataset = dcmread(BytesIO(part10), specific_tags=list(WANTED))
        return extract_identity(dataset, len(read_value(dataset, "PixelData") or b""))
    except UNREADABLE as error:
        raise unparsable("data set", BytesIO(part10), error) from None


def read_patient_id(part10: bytes) -> str:
    """Return PatientID (0010,0020) of a Part 10 file, as `read_text_element` does."""
    return read_text_element(part10, "PatientID")


def read_text_element(part10: bytes, keyword: str) -> str:
    """Return a text of a Part 10 file; empty if it is missing, damaged or not a single value."""
    try:
        refuse_oversized(part10)
        dataset = dcmread(BytesIO(part10), stop_before_pixels=True, specific_tags=[keyword])
        return text_value(dataset, keyword).strip()
    except (*UNREADABLE, DamagedInstance):
        return ""


def extract_identity(dataset: Dataset, pixel_bytes: int) -> Identity:
    """Return the identifiers of a data set; `pixel_bytes` is the length of its pixel data.

    Raises:
        DamagedInstance: Identifiers are missing or invalid, or the pixel data is too short.
    """
    uids = [_uid(dataset, keyword) for keyword in IDENTIFIERS]
    _uid(dataset.file_meta, "TransferSyntaxUID")
    _check_pixels(dataset, pixel_bytes)
    study_uid, series_uid, sop_class_uid, sop_instance_uid = uids
    return Identity(
        study_uid,
        series_uid,
        sop_class_uid,
        sop_instance_uid,
        modality=str(read_value(dataset, "Modality") or ""),
        is_image=is_image_class(sop_class_uid),
        cardiac_images=read_cardiac_images(dataset) or read_temporal_positions(dataset),
        place=_place(dataset),
        accession_number=_accession_number(dataset),
    )


def _accession_number(dataset: Dataset) -> str:
    """Return AccessionNumber (0008,0050); empty if missing or not a single value."""
    try:
        return text_value(dataset, "AccessionNumber").strip()[:ACCESSION_LENGTH]
    except UNREADABLE:
        return ""


def read_cardiac_images(dataset: Dataset) -> int:
    """Return CardiacNumberOfImages (PS3.3 C.8.3.1); 0 if missing or not usable.

    Philips omits it and states the number of phases in a private element.
    """
    try:
        stated = int(dataset.get("CardiacNumberOfImages") or 0)
    except UNREADABLE:
        return 0
    block, phases = (_raw_value(dataset, tag) for tag in (PRIVATE_BLOCK, PHILIPS_PHASES))
    return max(0, min(stated or parse_philips_phases(block, phases), MOST_PHASES))


def read_temporal_positions(dataset: Dataset) -> int:
    """Return NumberOfTemporalPositions (0020,0105); 0 if missing, not usable or a single one."""
    try:
        stated = int(dataset.get("NumberOfTemporalPositions") or 0)
    except UNREADABLE:
        return 0
    return min(stated, MOST_PHASES) if stated > 1 else 0


def parse_philips_phases(block: bytes, phases: bytes) -> int:
    """Return a cine's number of phases from the raw values of PRIVATE_BLOCK and PHILIPS_PHASES.

    0 if they state none, or a single image. The values of a big-endian file are out of range and
    give 0 too.
    """
    if block.strip(b" \0") != PHILIPS or len(phases) != PHASES_LENGTH:
        return 0
    count = int.from_bytes(phases, "little")
    return count if 1 < count <= MOST_PHASES else 0


def _raw_value(dataset: Dataset, tag: int) -> bytes:
    """Return a value as bytes of the file; empty if pydicom has converted it already."""
    written = dataset.get_item(tag)
    return written.value if written is not None and isinstance(written.value, bytes) else b""


def _place(dataset: Dataset) -> str:
    """Return ImagePositionPatient as text; an invalid value does not refuse the instance."""
    written = dataset.get_item("ImagePositionPatient")
    value = None if written is None else written.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip()[:PLACE_LENGTH]


def refuse_oversized(part10: Content) -> None:
    """Check a Part 10 file before pydicom reads it.

    Raises:
        OversizedDataSet: Reading it would need too much memory.
        DamagedInstance: It is not deflated, although its transfer syntax says so.
    """
    found = find_data_set(part10)
    if found is not None:
        refuse_oversized_data_set(part10, *found)
    elif len(part10) >= SAFE_BYTES or part10.find(DeflatedExplicitVRLittleEndian.encode()) >= 0:
        raise OversizedDataSet("its file meta information is unusual, and it is not read on trial")


def refuse_oversized_data_set(content: Content, start: int, syntax: str) -> None:
    """Check a data set that begins at `start` before it is read, as `refuse_oversized` does."""
    if syntax != DeflatedExplicitVRLittleEndian:
        check_structure(content, start, syntax)
        return
    try:
        check_structure(_inflate(content, start))
    except zlib.error:
        raise DamagedInstance(
            "the data set is not deflated, although its transfer syntax says so"
        ) from None


def _inflate(content: Content, start: int) -> bytes:
    """Return an inflated data set (PS3.5 A.5); raise OversizedDataSet beyond MOST_INFLATED."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = bytearray()
    for at in range(start, len(content), DEFLATED_CHUNK):
        room = MOST_INFLATED + 1 - len(inflated)
        inflated += inflater.decompress(content[at : at + DEFLATED_CHUNK], room)
        if len(inflated) > MOST_INFLATED:
            raise OversizedDataSet(f"the data set inflates to more than {MOST_INFLATED} bytes")
        if inflater.eof:
            break
    return bytes(inflated)


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(read_value(dataset, keyword) or "")
    if not value:
        raise DamagedInstance(f"{keyword} is missing")
    if not is_uid(value):
        raise DamagedInstance(f"{keyword} is not a UID")
    return value


def _check_pixels(dataset: Dataset, pixel_bytes: int) -> None:
    """Compare the length of native pixel data with the header (PS3.5 8.1.1).

    The length of compressed pixel data is not checked.
    """
    if "PixelData" not in dataset:
        other = any(keyword in dataset for keyword in OTHER_PIXELS)
        if is_image_class(dataset.SOPClassUID) and not other:
            raise DamagedInstance("an image without pixel data; the file is incomplete")
        return
    if dataset.file_meta.TransferSyntaxUID not in NATIVE:
        return
    bits = (
        _number(dataset, "Rows") * _number(dataset, "Columns") * _number(dataset, "BitsAllocated")
    )
    bits *= _number(dataset, "SamplesPerPixel", 1) * _number(dataset, "NumberOfFrames", 1)
    if bits <= 0:
        raise DamagedInstance("the header describes an empty image")
    if read_value(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3  # half of the colour samples are omitted (PS3.3 C.7.6.3.1.2)
    if pixel_bytes < bits // 8:
        raise DamagedInstance("the pixel data is shorter than the header states")


def _number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """Return a whole number; raise DamagedInstance if it is missing without a default."""
    value = read_value(dataset, keyword)
    if (value is None or value == "") and default is None:
        raise DamagedInstance(f"{keyword} is missing")
    try:
        return int(value or default or 0)
    except UNREADABLE as error:
        raise unreadable_element(keyword, error) from None


def is_image_class(sop_class_uid: str) -> bool:
    """Return whether instances of a SOP class are images (PS3.4 B.5, by the class's name)."""
    return UID(sop_class_uid).name.endswith("Image Storage")
