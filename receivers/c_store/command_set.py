"""Decode and encode C-STORE command sets (PS3.7 6.3, 9.3.1), and encode file meta information.

Decoding is strict: anything but a C-STORE-RQ of the usual form gives None, and pynetdicom decodes
it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

#: The longest command set that is decoded here; a C-STORE-RQ has some 200 bytes.
COMMAND_BYTES_MAX = 4096

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
NO_DATA_SET = 0x0101  #: PS3.7 E.1, Command Data Set Type (0000,0800)
ELEMENT = struct.Struct("<HHL")
US = struct.Struct("<H")
UID = re.compile(rb"[0-9.]{1,64}")
#: Elements of group 0000 in a C-STORE-RQ (PS3.7 table 9.3-1); the last two belong to a C-MOVE.
GROUP_LENGTH, SOP_CLASS, COMMAND, MESSAGE_ID = 0x0000, 0x0002, 0x0100, 0x0110
MESSAGE_ID_RESPONDED_TO, PRIORITY, DATA_SET_TYPE, STATUS = 0x0120, 0x0700, 0x0800, 0x0900
SOP_INSTANCE, MOVE_ORIGINATOR, MOVE_MESSAGE_ID = 0x1000, 0x1030, 0x1031
STORE_RQ_ELEMENTS = {
    GROUP_LENGTH,
    SOP_CLASS,
    COMMAND,
    MESSAGE_ID,
    PRIORITY,
    DATA_SET_TYPE,
    SOP_INSTANCE,
    MOVE_ORIGINATOR,
    MOVE_MESSAGE_ID,
}
#: Command Field (0000,0100), PS3.7 E.1: the requests, including C-CANCEL-RQ.
REQUEST_FIELDS = {0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF}
REQUEST_FIELDS |= {0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150}
RESPONSE_BIT = 0x8000  #: set in the Command Field of a response
US_ELEMENTS = (COMMAND, MESSAGE_ID, PRIORITY, DATA_SET_TYPE)


@dataclass(frozen=True)
class StoreRequest:
    """The fields of a C-STORE-RQ that are needed to store the instance and to respond."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def read_request(command: bytes) -> StoreRequest | None:
    """Return the C-STORE-RQ in these bytes; None if they are something else or unusual."""
    if len(command) > COMMAND_BYTES_MAX:
        return None
    elements: dict[int, bytes] = {}
    for element, value in _read_elements(command):
        if element not in STORE_RQ_ELEMENTS or element in elements:
            return None
        elements[element] = value
    if any(len(elements.get(element, b"")) != US.size for element in US_ELEMENTS):
        return None
    kind, message_id, _, data_set = (US.unpack(elements[e])[0] for e in US_ELEMENTS)
    sop_class, instance = (
        _decode_uid(elements.get(element, b"")) for element in (SOP_CLASS, SOP_INSTANCE)
    )
    if kind != C_STORE_RQ or data_set == NO_DATA_SET or sop_class is None or instance is None:
        return None
    return StoreRequest(message_id, sop_class, instance)


def is_command(command: bytes) -> bool:
    """Return True if these bytes are a command set of a command that PS3.7 defines."""
    elements = dict(_read_elements(command))
    kind, data_set = elements.get(COMMAND, b""), elements.get(DATA_SET_TYPE, b"")
    if -1 in elements or len(kind) != US.size or len(data_set) != US.size:
        return False
    return US.unpack(kind)[0] & ~RESPONSE_BIT in REQUEST_FIELDS


def encode_response(request: StoreRequest, status: int) -> bytes:
    """Return the command set of the C-STORE-RSP (PS3.7 table 9.3-2)."""
    answer = b"".join(
        (
            _encode_element(SOP_CLASS, _pad(request.sop_class_uid)),
            _encode_element(COMMAND, US.pack(C_STORE_RSP)),
            _encode_element(MESSAGE_ID_RESPONDED_TO, US.pack(request.message_id)),
            _encode_element(DATA_SET_TYPE, US.pack(NO_DATA_SET)),
            _encode_element(STATUS, US.pack(status)),
            _encode_element(SOP_INSTANCE, _pad(request.sop_instance_uid)),
        )
    )
    return _encode_element(GROUP_LENGTH, struct.pack("<L", len(answer))) + answer


def encode_file_meta(request: StoreRequest, syntax_uid: str) -> bytes:
    """Return preamble, prefix and file meta information of a Part 10 file (PS3.10 7.1)."""
    elements = b"".join(
        (
            struct.pack("<HH2sHL", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _encode_meta_element(0x0002, b"UI", _pad(request.sop_class_uid)),
            _encode_meta_element(0x0003, b"UI", _pad(request.sop_instance_uid)),
            _encode_meta_element(0x0010, b"UI", _pad(syntax_uid)),
            _encode_meta_element(0x0012, b"UI", _pad(PYNETDICOM_IMPLEMENTATION_UID)),
            _encode_meta_element(0x0013, b"SH", _pad(PYNETDICOM_IMPLEMENTATION_VERSION, b" ")),
        )
    )
    return (
        bytes(128)
        + b"DICM"
        + _encode_meta_element(0x0000, b"UL", struct.pack("<L", len(elements)))
        + elements
    )


def _read_elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of group 0000 (implicit VR); element -1 if the bytes are malformed."""
    at = 0
    while at < len(command):
        start = at + ELEMENT.size
        if start > len(command):
            yield -1, b""
            return
        group, element, length = ELEMENT.unpack_from(command, at)
        at = start + length
        if group != 0 or at > len(command):
            yield -1, b""
            return
        yield element, command[start:at]


def _decode_uid(value: bytes) -> str | None:
    """Return a UID without its padding byte (PS3.5 9.1); None if it is not a UID."""
    bare = value.removesuffix(b"\x00")
    return bare.decode() if UID.fullmatch(bare) else None


def _pad(value: str, padding: bytes = b"\x00") -> bytes:
    encoded = value.encode()
    return encoded + padding * (len(encoded) % 2)


def _encode_element(element: int, value: bytes) -> bytes:
    return ELEMENT.pack(0, element, len(value)) + value


def _encode_meta_element(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
