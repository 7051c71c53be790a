"""A system that takes HL7 v2 messages over MLLP, with or without TLS.

A message is delivered when the peer acknowledges this very message (MSA-2) positively (AA, CA). An
error (AE, CE) is retried, a rejection (AR, CR) is final (HL7 v2.5.1, 2.9.2). Each message has a
connection of its own, so that a late acknowledgement cannot be taken for that of another message. A
second attempt sends the same message with the same control ID (MSH-10). A peer that closes the
connection during a message may do so because of that message, so other messages are still sent.
The free text of an acknowledgement may name a patient: it is written to the ledger and never to a
log.
"""

import socket
import ssl
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from pydantic import Field

from triage.config import DestinationSettings
from triage.config.fields import Port
from triage.destinations.destination_type import DestinationType
from triage.destinations.tls_files import DestinationTls, tls_context
from triage.domain.audit import AuditPeer
from triage.domain.delivery import HL7, Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DeliveryRefused, DestinationUnreachable

#: Framing of a message: start of block; end of block and a carriage return.
START, END = b"\x0b", b"\x1c\r"
ANSWER_MAX = 1 << 16  #: bytes; an acknowledgement has a few hundred
TEXT_MAX = 300  #: characters of the free text of an acknowledgement that are kept
#: Acknowledgement codes (HL7 table 0008).
ACCEPTED = {"AA", "CA"}
ERRORS = {"AE": "application error", "CE": "commit error"}
REJECTIONS = {"AR": "application reject", "CR": "commit reject"}
#: Time in which a peer that does not accept our connections closes one; seconds.
WELCOME_S = 0.3
#: Errors when a peer closes the connection, with or without TLS.
CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
MSH, MSA, ERR = "MSH", "MSA", "ERR"


class MllpDestinationSettings(DestinationSettings):
    """A system that takes HL7 v2 messages over MLLP."""

    kind: Literal["mllp"]
    host: str
    port: Port
    tls: DestinationTls | None = None  #: None: no TLS
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, and for the answer

    def audit_peer(self) -> AuditPeer:
        """Return the system as a URI."""
        return AuditPeer(self.name, f"mllp://{self.host}:{self.port}", is_dicom=False)


class MllpDestination:
    """Sends HL7 v2 messages; implements `Destination`."""

    media_types: Collection[str] = (HL7,)

    def __init__(self, _calling_ae: str, settings: MllpDestinationSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._tls = None if settings.tls is None else tls_context(settings.tls)
        self._peer = f"{settings.host}:{settings.port}"

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product: a message has only one form."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Send a message and judge its acknowledgement."""
        with self._connect() as connection:
            try:
                connection.sendall(START + product.content + END)
                answer = self._receive(connection)
            except CLOSED:
                raise DeliveryFailed(f"{self._peer} closed the connection") from None
        return judge_answer(answer, control_id_of(product.content), self._peer)

    def echo(self) -> Acknowledgement:
        """Connect, and check that the peer keeps the connection open; nothing is sent."""
        with self._connect() as connection:
            connection.settimeout(WELCOME_S)
            try:
                if not connection.recv(1):
                    raise self._unreachable(
                        "it closes the connection at once; does it accept connections from here?"
                    )
            except TimeoutError:
                pass  # the peer waits for a message
            return Acknowledgement("it accepts connections")

    @contextmanager
    def _connect(self) -> Iterator[socket.socket]:
        settings = self._settings
        try:
            address = (settings.host, settings.port)
            with socket.create_connection(address, settings.timeout_s) as plain:
                if self._tls is None:
                    yield plain
                    return
                with self._tls.wrap_socket(plain, server_hostname=settings.host) as secured:
                    yield secured
        except OSError as error:  # also a time-out, and a certificate that is not valid
            raise self._unreachable(str(error) or type(error).__name__) from None
        except UnicodeError:
            raise self._unreachable("this is not a valid host name") from None

    def _receive(self, connection: socket.socket) -> bytes:
        """Return the answer without its framing."""
        until = time.monotonic() + self._settings.timeout_s
        received = b""
        while END[:1] not in received:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            piece = connection.recv(ANSWER_MAX)
            if not piece:
                raise DeliveryFailed(f"{self._peer} closed the connection")
            received += piece
            if len(received) > ANSWER_MAX:
                raise DeliveryFailed(f"{self._peer} sent an answer without an end")
        return received.partition(END[:1])[0].rpartition(START)[2]

    def _unreachable(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"{self._peer} gives no answer: {why}")


def control_id_of(message: bytes) -> str:
    """Return the Message Control ID (MSH-10) of a message made by this program."""
    return _field(_segments(message, MSH)[0], 9)


def judge_answer(answer: bytes, control_id: str, peer: str) -> Acknowledgement:
    """Return the acknowledgement that an answer contains.

    Raises:
        DeliveryRefused: The peer rejects the message (AR, CR).
        DeliveryFailed: The answer reports an error, or does not acknowledge this message.
    """
    acknowledgements = _segments(answer, MSA)
    if not _segments(answer, MSH) or not acknowledgements:
        raise DeliveryFailed(f"{peer} sent an answer that is not an acknowledgement")
    acknowledgement = acknowledgements[0]
    code = _field(acknowledgement, 1)
    if _field(acknowledgement, 2) != control_id:
        raise DeliveryFailed(f"{peer} acknowledged another message than the one that was sent")
    if code in ACCEPTED:
        return Acknowledgement(code)
    text = _free_text(acknowledgement, _segments(answer, ERR))
    if code in REJECTIONS:
        raise DeliveryRefused(f"{peer} answered {code}, {REJECTIONS[code]}", text)
    if code in ERRORS:
        raise DeliveryFailed(f"{peer} answered {code}, {ERRORS[code]}", text)
    raise DeliveryFailed(f"{peer} sent a code that HL7 does not define", code[:TEXT_MAX])


Fields = Sequence[str]


def _segments(message: bytes, name: str) -> list[Fields]:
    """Return the fields of all segments with this name, split at the separator of MSH."""
    text = message.decode("utf-8", errors="replace")
    separator = text[3:4] if text.startswith(MSH) else "|"
    lines = text.replace("\n", "\r").split("\r")
    return [line.split(separator) for line in lines if line.startswith(f"{name}{separator}")]


def _field(segment: Fields, number: int) -> str:
    return segment[number].strip() if number < len(segment) else ""


def _free_text(acknowledgement: Fields, errors: Sequence[Fields]) -> str:
    """Return the error description of the peer: MSA-3, and ERR-3 and ERR-8 of each error."""
    fields = [_field(acknowledgement, 3)]
    fields += [_field(error, number) for error in errors for number in (3, 8)]
    text = " ".join(part for field in fields for part in field.split())
    return "".join(character for character in text if character.isprintable())[:TEXT_MAX]


EXAMPLE = """\
# A RIS or an interface engine that takes HL7 v2.5.1. It gets the report `hl7` (ORU^R01, UTF-8,
# preliminary), which `reports` must list.
name: ris

# mllp: MLLP with one message per connection. A message counts as delivered when it is
# acknowledged with AA or CA (MSA-2 must match). AE and CE are retried, AR and CR are final.
# Every attempt with one message has the same control ID (MSH-10).
kind: mllp

# The host name or address.
host: 10.1.2.5

# The TCP port.
port: 2575

# TLS 1.2 or newer; the certificate must be valid for this host. null: no TLS, so the messages,
# which name the patient, are readable on the way.
tls:
  # The authorities that sign the server's certificate, as a PEM file. null: those of the
  # system.
  trusted: null

  # Our certificate with its intermediates, if the server requires one, as a PEM file. null:
  # none.
  certificate: null

  # Its private key, not encrypted, as a PEM file.
  key: null

# Seconds to wait for the connection, and for the acknowledgement; 40 at most.
timeout_s: 30.0
"""

DESTINATION = DestinationType(
    settings=MllpDestinationSettings,
    open=MllpDestination,
    media_types=MllpDestination.media_types,
    protocol="HL7 v2.5.1 ORU^R01 over MLLP, optionally TLS",
    delivered_when="the acknowledgement is AA or CA and names this message (MSA-2)",
    example=EXAMPLE,
)
