"""Malformed bytes as Hypothesis strategies: data sets, command sets and whole conversations.

A strategy starts from valid content and makes few changes, so that the changes reach the code
behind the first checks. The strategies do not depend on how our parsers work.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.builders.associate_requests import context, item
from tests.builders.images import image, part10

#: Presentation contexts of the conversations.
STORE, ECHO, EXPLICIT, DEFLATED, BIG, COMPRESSED = 1, 3, 5, 7, 9, 11
SYNTAXES = {
    STORE: ImplicitVRLittleEndian,
    EXPLICIT: ExplicitVRLittleEndian,
    DEFLATED: DeflatedExplicitVRLittleEndian,
    BIG: ExplicitVRBigEndian,
    COMPRESSED: JPEG2000Lossless,
}
RELEASE_RQ = bytes.fromhex("05 00 00000004 00000000")
ABORT = bytes.fromhex("07 00 00000004 00000000")
COMMAND, LAST = 1, 2  #: bits of the message control header (PS3.8 E.2)
LENGTHS = [0, 1, 2, 3, 5, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
VRS = [b"UN", b"OB", b"SQ", b"US", b"UI", b"DS", b"XX", b"\0\0", b"un", b"UT", b"AT", b"OW"]


# -- single changes


@st.composite
def lied(draw: st.DrawFn, content: bytes) -> bytes:
    """Return bytes with one to four changes: other bytes, another end, something more or twice."""
    bent = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(bent) - 1, 0)))
        span = draw(st.integers(1, 12))
        kind = draw(st.integers(0, 5))
        if kind == 0 and bent:
            bent[at] = draw(st.integers(0, 255))
        elif kind == 1:
            del bent[at : at + span]
        elif kind == 2:
            bent[at:at] = draw(st.binary(min_size=1, max_size=12))
        elif kind == 3:
            bent[at:at] = bent[at : at + span * 8]
        elif kind == 4:
            del bent[at:]
        else:
            order = draw(st.sampled_from("<>"))
            bent[at : at + 4] = struct.pack(f"{order}L", draw(st.sampled_from(LENGTHS)))
    return bytes(bent)


def mostly(strategy: st.SearchStrategy[bytes], content: bytes) -> st.SearchStrategy[bytes]:
    """Return content as it is, and in one of four cases something else."""
    return st.integers(0, 3).flatmap(lambda chance: strategy if chance == 0 else st.just(content))


# -- data sets


def encoded(dataset: Dataset, *, implicit: bool) -> bytes:
    return encode(dataset, implicit, is_little_endian=True) or b""


def elements_of(content: bytes, *, implicit: bool) -> list[bytes]:
    """Return the elements of a data set without sequences, as it was written."""
    found, at = [], 0
    while at < len(content):
        long = not implicit and content[at + 4 : at + 6] in {b"OW", b"OB", b"SQ", b"UN", b"UT"}
        if implicit:
            length, head = struct.unpack_from("<L", content, at + 4)[0], 8
        elif long:
            length, head = struct.unpack_from("<L", content, at + 8)[0], 12
        else:
            length, head = struct.unpack_from("<H", content, at + 6)[0], 8
        found.append(content[at : at + head + length])
        at += head + length
    return found


def sequence(deep: int, *, implicit: bool, ended: bool = True) -> bytes:
    """Return sequences of undefined length within sequences of undefined length."""
    head = struct.pack("<HH", 0x0008, 0x1115) + (b"" if implicit else b"SQ\0\0") + b"\xff" * 4
    head += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    tail = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return head * deep + (tail * deep if ended else b"")


@st.composite
def data_sets(draw: st.DrawFn, number: int, *, implicit: bool) -> bytes:
    """Return a data set with wrong elements: VRs, lengths, order, groups, sequences."""
    content = encoded(image(number=number), implicit=implicit)
    elements = elements_of(content, implicit=implicit)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(elements) - 1))
        one, kind = bytearray(elements[at]), draw(st.integers(0, 8))
        if kind == 0 and not implicit:
            one[4:6] = draw(st.sampled_from(VRS))
        elif kind == 1:
            one[4:8] = struct.pack("<L", draw(st.sampled_from(LENGTHS)))
        elif kind == 2:
            one[8:12] = struct.pack("<L", draw(st.sampled_from(LENGTHS)))
        elif kind == 3:
            one += elements[draw(st.integers(0, len(elements) - 1))]
        elif kind == 4:
            one[0:4] = struct.pack("<HH", draw(st.sampled_from([0, 2, 8, 9, 0x20, 0xFFFE])), at)
        elif kind == 5:
            deep, ended = draw(st.sampled_from([1, 3, 9, 400])), draw(st.booleans())
            one[:0] = sequence(deep, implicit=implicit, ended=ended)
        elif kind == 6:
            one.clear()
        elif kind == 7:
            one[8:] = draw(st.binary(max_size=80))
        else:
            one = bytearray(draw(lied(bytes(one))))
        elements[at] = bytes(one)
    return b"".join(elements)


@st.composite
def part10_files(draw: st.DrawFn) -> bytes:
    """Return a Part 10 file with errors in its header or data set (PS3.10 7)."""
    implicit = draw(st.booleans())
    one = image()
    if implicit:
        one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    whole = part10(one)
    data = encoded(one, implicit=implicit)
    meta = whole[: len(whole) - len(data)]
    meta = draw(mostly(lied(meta[128:]).map(lambda bent: bytes(128) + bent), meta))
    data = draw(st.just(data) | data_sets(1, implicit=implicit) | lied(data))
    return meta + data


# -- command sets


def element(number: int, value: bytes, group: int = 0, length: int | None = None) -> bytes:
    return struct.pack("<HHL", group, number, len(value) if length is None else length) + value


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def command(field: int, sop_class: str, instance: str, number: int, data_set: int) -> bytes:
    """Return a request's command set (PS3.7 9.3)."""
    uids = [text.encode() + b"\0" * (len(text) % 2) for text in (sop_class, instance)]
    rest = element(0x0002, uids[0]) + element(0x0100, us(field)) + element(0x0110, us(number))
    rest += element(0x0700, us(0)) + element(0x0800, us(data_set))
    rest += element(0x1000, uids[1]) if instance else b""
    return element(0x0000, struct.pack("<L", len(rest))) + rest


#: PS3.7 E.1: requests, responses and what is none.
FIELDS = [0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140]
FIELDS += [0x0150, 0x8001, 0x8030, 0x8100, 0x0000, 0x0002, 0xFFFF]


@st.composite
def command_sets(draw: st.DrawFn, plain: bytes) -> bytes:
    """Return a command set with wrong elements."""
    elements = elements_of(plain, implicit=True)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(elements) - 1))
        kind = draw(st.integers(0, 7))
        if kind == 0:
            del elements[at]
            elements = elements or [b""]
        elif kind == 1:
            elements.insert(at, elements[draw(st.integers(0, len(elements) - 1))])
        elif kind == 2:
            value = draw(st.binary(max_size=70))
            elements[at] = elements[at][:4] + struct.pack("<L", len(value)) + value
        elif kind == 3:
            length = struct.pack("<L", draw(st.sampled_from(LENGTHS)))
            elements[at] = elements[at][:4] + length + elements[at][8:]
        elif kind == 4:
            elements[at] = us(draw(st.sampled_from([1, 2, 8, 0xFFFE]))) + elements[at][2:]
        elif kind == 5:
            elements.append(element(0x0100, us(draw(st.sampled_from(FIELDS)))))
        elif kind == 6:
            elements.append(element(0x0800, us(draw(st.sampled_from([0, 1, 0x0101])))))
        else:
            elements = draw(st.permutations(elements))
    return b"".join(elements)


# -- PDUs (PS3.8 9.3)


def associate_rq(*more: bytes, user: bytes = b"", longest: int = 16384) -> bytes:
    said = item(0x51, struct.pack(">L", longest)) + item(0x52, b"1.2.3") + user
    content = struct.pack(">Hxx16s16s32x", 1, b"CMRTRIAGE".ljust(16), b"SCANNERPACS".ljust(16))
    content += item(0x10, b"1.2.840.10008.3.1.1.1")
    content += b"".join(context(number, MRImageStorage, each) for number, each in SYNTAXES.items())
    content += context(ECHO, Verification, ImplicitVRLittleEndian) + b"".join(more)
    content += item(0x50, said)
    return struct.pack(">BxL", 1, len(content)) + content


PLAIN_RQ = associate_rq()


@st.composite
def odd_associate_rqs(draw: st.DrawFn) -> bytes:
    """Return an A-ASSOCIATE-RQ with odd contexts, odd user information, or errors."""
    contexts = st.builds(
        context,
        st.integers(0, 255),
        st.sampled_from([MRImageStorage, "1.2.3", "", "x", "1" * 70]),
        st.sampled_from([ImplicitVRLittleEndian, "1.2.3", ""]),
    )
    users = st.builds(item, st.integers(0x51, 0x5A), st.binary(max_size=20))
    odd = associate_rq(
        *draw(st.lists(contexts, max_size=3)),
        user=b"".join(draw(st.lists(users, max_size=3))),
        longest=draw(st.sampled_from([0, 1, 6, 7, 100, 511, 512, 0xFFFFFFFF])),
    )
    return draw(mostly(lied(odd), odd))


def pdv(control: int, value: bytes, number: int) -> bytes:
    return struct.pack(">LBB", len(value) + 2, number, control) + value


def pdu(*pdvs: bytes, kind: int = 4) -> bytes:
    content = b"".join(pdvs)
    return struct.pack(">BxL", kind, len(content)) + content


@st.composite
def messages(draw: st.DrawFn, number: int) -> list[bytes]:
    """Return the PDUs of a C-STORE or a C-ECHO, with few errors or none."""
    if draw(st.integers(0, 5)) == 0:
        head = command(0x0030, Verification, "", number, 0x0101)
        return [pdu(pdv(COMMAND | LAST, draw(mostly(command_sets(head), head)), ECHO))]
    chosen = draw(st.sampled_from([STORE, STORE, EXPLICIT, *SYNTAXES]))
    one, implicit = image(number=number), chosen == STORE
    data = encoded(one, implicit=implicit)
    head = command(0x0001, MRImageStorage, one.SOPInstanceUID, number, 0)
    head = draw(mostly(command_sets(head) | lied(head), head))
    data = draw(mostly(data_sets(number, implicit=implicit) | lied(data), data))
    pieces = [*_in_pieces(draw, head, COMMAND), *_in_pieces(draw, data, 0)]
    pdvs = [pdv(control, value, chosen) for control, value in pieces]
    if draw(st.integers(0, 3)) == 0:  # a wrong value for a fragment: its context, control or length
        at = draw(st.integers(0, len(pdvs) - 1))
        pdvs[at] = draw(lied(pdvs[at][:6])) + pdvs[at][6:]
    if draw(st.booleans()):
        return [pdu(*pdvs)]
    return [pdu(each) for each in pdvs]


def _in_pieces(draw: st.DrawFn, content: bytes, bit: int) -> list[tuple[int, bytes]]:
    size = draw(st.sampled_from([1 << 20, 1 << 20, 300, 47]))
    parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    return [*((bit, part) for part in parts[:-1]), (bit | LAST, parts[-1])]


# -- conversations

ENDS = ("release", "abort", "close", "half", "stay")


@dataclass(frozen=True)
class Conversation:
    """The messages that a peer sends, and how it ends."""

    request: bytes
    waits: bool  #: for the answer to its request
    parts: tuple[bytes, ...]  #: each is written at once
    end: str  #: one of ENDS; half: it closes its sending side; stay: it falls silent


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Return a conversation with errors in its request, messages, order or bytes."""
    request = draw(mostly(odd_associate_rqs(), PLAIN_RQ))
    said = [one for each in range(draw(st.integers(0, 3))) for one in draw(messages(each + 1))]
    order = draw(st.integers(0, 9))
    if order == 0:
        said = list(draw(st.permutations(said)))
    elif order == 1:
        said.insert(draw(st.integers(0, len(said))), draw(_strange()))
    content = b"".join(said)
    if draw(st.integers(0, 4)) == 0:
        content = draw(lied(content))
    waits = draw(st.integers(0, 5)) > 0
    return Conversation(request, waits, draw(_split(content)), draw(st.sampled_from(ENDS)))


def _strange() -> st.SearchStrategy[bytes]:
    """Return a PDU that must not come now, or that there is not."""
    kinds = st.builds(lambda kind, content: pdu(content, kind=kind), st.integers(0, 9), st.binary())
    return st.just(PLAIN_RQ) | st.just(ABORT) | st.just(RELEASE_RQ) | kinds


@st.composite
def _split(draw: st.DrawFn, content: bytes) -> tuple[bytes, ...]:
    """Return how it is written: at once, in some parts, or its beginning byte by byte."""
    how = draw(st.integers(0, 4))
    if how == 0:
        single = content[:150]
        return (*(bytes([each]) for each in single), content[150:])
    if how == 1:
        cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=6)))
        edges = [0, *cuts, len(content)]
        return tuple(content[a:b] for a, b in pairwise(edges))
    return (content,)
