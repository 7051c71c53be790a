"""A system that takes HL7 v2 messages over MLLP, with TLS or without.

Rule: delivered is its own acknowledgement of this very message (MSA-2), positive (AA, CA). An error
(AE, CE) is tried again, a rejection (AR, CR) is for good (HL7 v2.5.1, 2.9.2). One connection a
message, so that a late answer is nobody else's; a second try is the same message under the same
control id (MSH-10). Whoever hangs up on a message may do so for its sake: the others are tried
meanwhile. What the answer says in free text may name a patient: it goes into the ledger
alone, never into a log.
"""

import socket
import ssl
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from triage.config import MllpDestination
from triage.destinations.tls import context
from triage.domain.delivery import HL7, Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DeliveryRefused, DestinationUnreachable

#: Around a message: start of block; end of block and a carriage return.
START, END = b"\x0b", b"\x1c\r"
ANSWER_MAX = 1 << 16  #: bytes; an acknowledgement has a few hundred
TEXT_MAX = 300  #: characters of an answer's own words that are kept
#: HL7 table 0008.
TAKEN = {"AA", "CA"}
ERRORS = {"AE": "application error", "CE": "commit error"}
REJECTIONS = {"AR": "application reject", "CR": "commit reject"}
#: For how long whoever does not know us may take to hang up, seconds.
WELCOME_S = 0.3
#: What it looks like when a peer breaks off, with TLS or without.
HUNG_UP = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
MSH, MSA, ERR = "MSH", "MSA", "ERR"


class MllpSender:
    """See `ports.Destination`."""

    media_types: Collection[str] = (HL7,)

    def __init__(self, _calling_ae: str, settings: MllpDestination) -> None:
        self.name = settings.name
        self._settings = settings
        tls = settings.tls
        self._tls = None if tls is None else context(tls.trusted, tls.certificate, tls.key)
        self._who = f"{settings.host}:{settings.port}"

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first; there is one form of a message."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Send a message and judge its acknowledgement."""
        with self._connected() as connection:
            try:
                connection.sendall(START + product.content + END)
                answer = self._answer(connection)
            except HUNG_UP:
                raise DeliveryFailed(f"{self._who} hung up") from None
        return judged(answer, control_id_of(product.content), self._who)

    def echo(self) -> Acknowledgement:
        """Connect, and see whether we may stay; nothing is sent."""
        with self._connected() as connection:
            connection.settimeout(WELCOME_S)
            try:
                if not connection.recv(1):
                    raise self._silent("it hangs up at once; does it know us?")
            except TimeoutError:
                pass  # it waits for what we have to say
            return Acknowledgement("it takes connections")

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        settings = self._settings
        try:
            address = (settings.host, settings.port)
            with socket.create_connection(address, settings.timeout_s) as plain:
                if self._tls is None:
                    yield plain
                    return
                with self._tls.wrap_socket(plain, server_hostname=settings.host) as secured:
                    yield secured
        except OSError as error:  # a time-out and a certificate that is not right are such
            raise self._silent(str(error) or type(error).__name__) from None
        except UnicodeError:
            raise self._silent("this is no host name") from None

    def _answer(self, connection: socket.socket) -> bytes:
        """Return the answer without what is around it."""
        until = time.monotonic() + self._settings.timeout_s
        received = b""
        while END[:1] not in received:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            piece = connection.recv(ANSWER_MAX)
            if not piece:
                raise DeliveryFailed(f"{self._who} hung up")
            received += piece
            if len(received) > ANSWER_MAX:
                raise DeliveryFailed(f"{self._who} answers without an end")
        return received.partition(END[:1])[0].rpartition(START)[2]

    def _silent(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"{self._who} gives no answer: {why}")


def control_id_of(message: bytes) -> str:
    """Return the Message Control ID (MSH-10) of a message of ours."""
    return _field(_segments(message, MSH)[0], 9)


def judged(answer: bytes, control_id: str, who: str) -> Acknowledgement:
    """Return the acknowledgement that an answer is; raise DeliveryFailed where it is none."""
    acknowledgements = _segments(answer, MSA)
    if not _segments(answer, MSH) or not acknowledgements:
        raise DeliveryFailed(f"{who} answers with what is no acknowledgement")
    said = acknowledgements[0]
    code = _field(said, 1)
    if _field(said, 2) != control_id:
        raise DeliveryFailed(f"{who} acknowledges another message than was sent")
    if code in TAKEN:
        return Acknowledgement(code)
    told = _told(said, _segments(answer, ERR))
    if code in REJECTIONS:
        raise DeliveryRefused(f"{who} answers {code}, {REJECTIONS[code]}", told)
    if code in ERRORS:
        raise DeliveryFailed(f"{who} answers {code}, {ERRORS[code]}", told)
    raise DeliveryFailed(f"{who} answers with a code that HL7 does not know", code[:TEXT_MAX])


Fields = Sequence[str]


def _segments(message: bytes, name: str) -> list[Fields]:
    """Return the fields of the segments of a name, by the separator that MSH names."""
    text = message.decode("utf-8", errors="replace")
    separator = text[3:4] if text.startswith(MSH) else "|"
    lines = text.replace("\n", "\r").split("\r")
    return [line.split(separator) for line in lines if line.startswith(f"{name}{separator}")]


def _field(segment: Fields, number: int) -> str:
    return segment[number].strip() if number < len(segment) else ""


def _told(acknowledgement: Fields, errors: Sequence[Fields]) -> str:
    """Return in the peer's words what was wrong: MSA-3, and ERR-3 and ERR-8 of each error."""
    words = [_field(acknowledgement, 3)]
    words += [_field(error, number) for error in errors for number in (3, 8)]
    text = " ".join(word for each in words for word in each.split())
    return "".join(sign for sign in text if sign.isprintable())[:TEXT_MAX]
