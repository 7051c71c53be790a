"""Bring an A-ASSOCIATE-RQ (PS3.8 9.3.2) into the form that pynetdicom decodes without an error.

pynetdicom refuses, or fails on, requests that PS3.8 allows or that can be answered: AE titles that
are padded with NUL, user items that it does not know, further bits in the protocol version, a
presentation context without a transfer syntax. Here a request is read in full and written again
with the items that are used, so that nothing else reaches the library. A context that cannot be
accepted stays in the request, with UIDs that name no syntax: it alone is refused, with its result
(PS3.8 9.3.3.2). A request that cannot be read raises `RefusedRequest`.
"""

import re
import struct
from collections.abc import Iterator
from enum import StrEnum

ASSOCIATE_RQ = 0x01  #: type of the PDU
FIXED = struct.Struct(">H2x16s16s32x")  #: version, called and calling AE title (table 9-11)
ITEM = struct.Struct(">BxH")  #: type and length of an item or sub-item
LENGTH = struct.Struct(">L")
CURRENT_VERSION = 0x0001  #: of the protocol; only this bit is tested (table 9-11)
APPLICATION_CONTEXT, PRESENTATION_CONTEXT, USER_INFORMATION = 0x10, 0x20, 0x50
#: The name of the only application context (PS3.7 A.2.1).
DICOM_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
ABSTRACT_SYNTAX, TRANSFER_SYNTAX = 0x30, 0x40
#: User items that are passed on (PS3.8 D.1, PS3.7 D.3.3); the others are skipped.
MAXIMUM_LENGTH, IMPLEMENTATION_CLASS = 0x51, 0x52
ROLE_SELECTION, IMPLEMENTATION_VERSION = 0x54, 0x55
CONTEXT_HEAD_BYTES = 4  #: context ID and three reserved bytes (table 9-13)
TITLE_BYTES = VERSION_NAME_BYTES = 16
#: The shortest maximum length that leaves room for data beside the header of a PDV (6 bytes).
PDU_BYTES_MIN = 8
#: For a request that does not state its maximum length; the responses are much shorter.
PDU_BYTES_UNSTATED = 16_384
UID = re.compile(rb"[0-9.]{1,64}")
PRINTABLE = re.compile(rb"[^\x20-\x5b\x5d-\x7e]")  #: all but these: ISO 646 without backslash
#: Stands where a syntax is missing: a valid UID that is neither a SOP class nor a transfer syntax.
NO_SYNTAX = DICOM_APPLICATION_CONTEXT
#: Transfer syntaxes of a context, and role selections of a request, that are read; so no item that
#: is written here exceeds its length field.
ENTRIES_MAX = 256

ABORT = bytes.fromhex("07 00 00000004 0000 02 06")  #: provider, invalid parameter (table 9-26)
REJECT_VERSION = bytes.fromhex("03 00 00000004 00 01 02 02")  #: version not supported (table 9-21)


class RequestFault(StrEnum):
    """Why an association request cannot be read; a sentence for the administrator."""

    NOT_A_REQUEST = "the connection does not begin with an association request"
    TOO_LONG = "the association request is too long"
    TRUNCATED = "an item of the association request is longer than the request"
    VERSION = "the association request is not for version 1 of the protocol"
    CONTEXT_ID = "a presentation context ID is even, missing or used twice"
    NO_CONTEXT = "the association request has no presentation context"
    MAXIMUM_LENGTH = "the association request allows no PDU that is long enough for data"

    @property
    def answer(self) -> bytes:
        """Return the PDU that ends the connection: A-ASSOCIATE-RJ or A-ABORT."""
        return REJECT_VERSION if self is RequestFault.VERSION else ABORT


class RefusedRequest(Exception):
    """An association request that cannot be read."""

    def __init__(self, fault: RequestFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def normalize_request(content: bytes) -> bytes:
    """Return the content of an A-ASSOCIATE-RQ, without its six bytes of type and length.

    Titles are padded with spaces, contexts and items are complete, and unknown items are left out.
    Raises RefusedRequest.
    """
    if len(content) < FIXED.size:
        raise RefusedRequest(RequestFault.TRUNCATED)
    version, called, calling = FIXED.unpack_from(content)
    if not version & CURRENT_VERSION:
        raise RefusedRequest(RequestFault.VERSION)
    contexts = dict[int, bytes]()
    user = b""
    for kind, value in _split_items(content[FIXED.size :]):
        if kind == PRESENTATION_CONTEXT:
            number = value[0] if value else 0
            if number % 2 == 0 or number in contexts:
                raise RefusedRequest(RequestFault.CONTEXT_ID)
            contexts[number] = _normalize_context(value)
        elif kind == USER_INFORMATION:
            user = user or value
    if not contexts:
        raise RefusedRequest(RequestFault.NO_CONTEXT)
    return b"".join(
        (
            FIXED.pack(CURRENT_VERSION, _normalize_title(called), _normalize_title(calling)),
            _build_item(APPLICATION_CONTEXT, DICOM_APPLICATION_CONTEXT),
            *(_build_item(PRESENTATION_CONTEXT, value) for value in contexts.values()),
            _build_item(USER_INFORMATION, _normalize_user_items(user)),
        )
    )


def _normalize_title(title: bytes) -> bytes:
    """Return an AE title padded with spaces; it ends at the first NUL after its beginning.

    Other bytes become question marks, so that the title is rejected as an unknown one.
    """
    bare = title.lstrip(b"\x00 ").partition(b"\x00")[0].rstrip()
    return (PRINTABLE.sub(b"?", bare) or b"?").ljust(TITLE_BYTES)


def _normalize_context(value: bytes) -> bytes:
    """Return the content of a presentation context with one abstract syntax and transfer syntaxes.

    An unusable syntax is left out, and a missing one is replaced by `NO_SYNTAX`.
    """
    abstract, transfer = list[bytes](), list[bytes]()
    for kind, syntax in _split_items(value[CONTEXT_HEAD_BYTES:]):
        if kind == ABSTRACT_SYNTAX:
            abstract.append(_normalize_uid(syntax) or NO_SYNTAX)
        elif kind == TRANSFER_SYNTAX and (uid := _normalize_uid(syntax)) is not None:
            transfer.append(uid)
    sop_class = abstract[0] if len(abstract) == 1 else NO_SYNTAX
    syntaxes = list(dict.fromkeys(transfer))[:ENTRIES_MAX] or [NO_SYNTAX]
    return b"".join(
        (
            bytes([value[0], 0, 0, 0]),
            _build_item(ABSTRACT_SYNTAX, sop_class),
            *(_build_item(TRANSFER_SYNTAX, syntax) for syntax in syntaxes),
        )
    )


def _normalize_user_items(content: bytes) -> bytes:
    """Return the user items that are used; the first of each kind counts."""
    length, version, implementation = None, None, None
    roles = dict[bytes, bytes]()
    for kind, value in _split_items(content):
        if kind == MAXIMUM_LENGTH and length is None and len(value) == LENGTH.size:
            length = value
        elif kind == IMPLEMENTATION_CLASS:
            implementation = implementation or _normalize_uid(value)
        elif kind == IMPLEMENTATION_VERSION:
            version = version or PRINTABLE.sub(b"", value).strip()[:VERSION_NAME_BYTES]
        elif kind == ROLE_SELECTION and (role := _read_role(value)) is not None:
            roles.setdefault(*role)
    chosen = list(roles.items())[:ENTRIES_MAX]
    length = length or LENGTH.pack(PDU_BYTES_UNSTATED)
    if 0 < LENGTH.unpack(length)[0] < PDU_BYTES_MIN:
        raise RefusedRequest(RequestFault.MAXIMUM_LENGTH)
    items = [(MAXIMUM_LENGTH, length), (IMPLEMENTATION_CLASS, implementation)]
    items += [(ROLE_SELECTION, _build_role(*role)) for role in chosen]
    items.append((IMPLEMENTATION_VERSION, version))
    return b"".join(_build_item(kind, value) for kind, value in items if value)


def _read_role(value: bytes) -> tuple[bytes, bytes] | None:
    """Return SOP class and roles of a role selection (PS3.7 D.3.3.4); None if it selects none."""
    length = int.from_bytes(value[:2], "big")
    uid, roles = _normalize_uid(value[2 : 2 + length]), value[2 + length :]
    if uid is None or roles not in {b"\x00\x01", b"\x01\x00", b"\x01\x01"}:
        return None
    return uid, roles


def _build_role(uid: bytes, roles: bytes) -> bytes:
    return len(uid).to_bytes(2, "big") + uid + roles


def _normalize_uid(value: bytes) -> bytes | None:
    """Return a UID without padding, which PS3.8 F.1 does not allow; None if it is not a UID."""
    bare = value.strip(b"\x00 ")
    return bare if UID.fullmatch(bare) else None


def _split_items(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each item; raise RefusedRequest if one is not complete."""
    at = 0
    while at < len(content):
        start = at + ITEM.size
        if start > len(content):
            raise RefusedRequest(RequestFault.TRUNCATED)
        kind, length = ITEM.unpack_from(content, at)
        at = start + length
        if at > len(content):
            raise RefusedRequest(RequestFault.TRUNCATED)
        yield kind, content[start:at]


def _build_item(kind: int, content: bytes) -> bytes:
    return ITEM.pack(kind, len(content)) + content
