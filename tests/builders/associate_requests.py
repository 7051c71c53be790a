"""Association requests as bytes (PS3.8 9.3.2), also such as pynetdicom cannot write."""

import struct

from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

STORE, ECHO = 1, 3  #: presentation contexts of `associate_rq`
USER = ((0x51, struct.pack(">L", 16384)), (0x52, b"1.2.3"))


def item(kind: int, content: bytes) -> bytes:
    """Return an item or sub-item."""
    return struct.pack(">BxH", kind, len(content)) + content


def context(number: int, sop_class: str, *syntaxes: str) -> bytes:
    """Return a presentation context with these transfer syntaxes, without one if there is none."""
    items = b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
    return item(0x20, bytes([number, 0, 0, 0]) + item(0x30, sop_class.encode()) + items)


CONTEXTS = (
    context(STORE, MRImageStorage, ImplicitVRLittleEndian),
    context(ECHO, Verification, ImplicitVRLittleEndian),
)


def pdu(kind: int, content: bytes) -> bytes:
    """Return a PDU."""
    return struct.pack(">BxL", kind, len(content)) + content


def associate_rq(  # noqa: PLR0913 - one argument for each field
    *,
    version: int = 1,
    called: bytes = b"CMRTRIAGE".ljust(16),
    calling: bytes = b"PACS".ljust(16),
    contexts: tuple[bytes, ...] = CONTEXTS,
    user: tuple[tuple[int, bytes], ...] = USER,
    more: bytes = b"",
) -> bytes:
    """Return an A-ASSOCIATE-RQ with these user items, and `more` bytes at its end."""
    content = struct.pack(">Hxx16s16s32x", version, called, calling)
    content += item(0x10, b"1.2.840.10008.3.1.1.1") + b"".join(contexts)
    content += item(0x50, b"".join(item(kind, value) for kind, value in user)) + more
    return pdu(1, content)
