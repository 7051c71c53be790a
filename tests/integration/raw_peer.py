"""A C-STORE SCU that writes its own PDUs to a socket (PS3.8 9.3)."""

import socket
import ssl
import struct

from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage

from tests.builders.associate_requests import STORE, associate_rq
from tests.builders.command_sets import REQUEST, command
from tests.builders.images import image, part10
from tests.waiting import HOST
from triage.dicom.header import strip_file_meta

RELEASE_RQ = bytes.fromhex("05 00 00000004 00000000")
ABORT = bytes.fromhex("07 00 00000004 00000000")
ACCEPTED, REJECTED, P_DATA, RELEASE_RP, ABORTED = 0x02, 0x03, 0x04, 0x06, 0x07
COMMAND, LAST = 1, 2


def pdv(control: int, value: bytes, number: int = STORE) -> bytes:
    return struct.pack(">LBB", len(value) + 2, number, control) + value


def pdu(*pdvs: bytes) -> bytes:
    content = b"".join(pdvs)
    return struct.pack(">BxL", P_DATA, len(content)) + content


class RawPeer:
    """An association on a bare socket."""

    def __init__(self, port: int, request: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((HOST, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname=HOST)
        self.send(request or associate_rq())
        self.accepted = self.answer()
        assert request or self.accepted[0] == ACCEPTED

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def answer(self) -> tuple[int, bytes]:
        """Return type and content of the next PDU; 0 where the connection is closed."""
        try:
            head = self._receive(6)
            if len(head) < 6:
                return 0, b""
            kind, length = struct.unpack(">BxL", head)
            return kind, self._receive(length)
        except ConnectionError:
            return 0, b""

    def _receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count and (part := self._socket.recv(count - len(received))):
            received += part
        return received

    def results(self) -> dict[int, int]:
        """Return the result of each presentation context of the A-ASSOCIATE-AC (PS3.8 9.3.3.2)."""
        kind, content = self.accepted
        assert kind == ACCEPTED
        found, at = {}, 68
        while at < len(content):
            kind, length = struct.unpack_from(">BxH", content, at)
            if kind == 0x21:
                found[content[at + 4]] = content[at + 6]
            at += 4 + length
        return found

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
