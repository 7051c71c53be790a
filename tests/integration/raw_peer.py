"""A C-STORE SCU that writes its own PDUs to a socket (PS3.8 9.3)."""

import socket
import struct

from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.builders.command_sets import REQUEST, command
from tests.builders.images import image, part10
from tests.waiting import HOST
from triage.dicom.header import strip_file_meta

RELEASE_RQ = bytes.fromhex("05 00 00000004 00000000")
ABORT = bytes.fromhex("07 00 00000004 00000000")
RELEASE_RP, P_DATA, ABORTED = 0x06, 0x04, 0x07
STORE, ECHO = 1, 3  #: presentation contexts
COMMAND, LAST = 1, 2


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def context(number: int, sop_class: str) -> bytes:
    syntaxes = item(0x30, sop_class.encode()) + item(0x40, ImplicitVRLittleEndian.encode())
    return item(0x20, bytes([number, 0, 0, 0]) + syntaxes)


def associate_rq() -> bytes:
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")
    content = struct.pack(">Hxx16s16s32x", 1, b"CMRTRIAGE".ljust(16), b"PACS".ljust(16))
    content += item(0x10, b"1.2.840.10008.3.1.1.1")
    content += context(STORE, MRImageStorage) + context(ECHO, Verification) + item(0x50, user)
    return struct.pack(">BxL", 1, len(content)) + content


def pdv(control: int, value: bytes, number: int = STORE) -> bytes:
    return struct.pack(">LBB", len(value) + 2, number, control) + value


def pdu(*pdvs: bytes) -> bytes:
    content = b"".join(pdvs)
    return struct.pack(">BxL", P_DATA, len(content)) + content


class RawPeer:
    """An association on a bare socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(associate_rq())
        assert self.answer()[0] == 2

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def answer(self) -> tuple[int, bytes]:
        """Return type and content of the next PDU; 0 where the connection is closed."""
        try:
            head = self._socket.recv(6, socket.MSG_WAITALL)
            if len(head) < 6:
                return 0, b""
            kind, length = struct.unpack(">BxL", head)
            return kind, self._socket.recv(length, socket.MSG_WAITALL)
        except ConnectionError:
            return 0, b""

    def status(self) -> int:
        kind, content = self.answer()
        assert kind == P_DATA
        at = content.index(b"\x00\x00\x00\x09\x02\x00\x00\x00") + 8
        return int.from_bytes(content[at : at + 2], "little")

    def ended(self) -> bool:
        """Return whether it was aborted or closed."""
        return self.answer()[0] in {0, ABORTED}

    def release(self) -> None:
        self.send(RELEASE_RQ)
        assert self.answer()[0] == RELEASE_RP
        self.close()

    def close(self) -> None:
        self._socket.close()


def implicit(number: int = 1) -> tuple[bytes, bytes]:
    """Return the command set and the data set of an instance."""
    dataset = image(number=number)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    request = type(REQUEST)(number, MRImageStorage, dataset.SOPInstanceUID)
    return command(request), strip_file_meta(part10(dataset))


def in_pieces(content: bytes, size: int) -> bytes:
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(pdu(pdv(0, part)) for part in parts[:-1]) + pdu(pdv(LAST, parts[-1]))


def message(number: int = 1) -> bytes:
    head, data = implicit(number)
    return pdu(pdv(COMMAND | LAST, head)) + in_pieces(data, 300)
