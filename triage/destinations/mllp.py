"""A system that takes HL7 v2 messages over MLLP, with or without TLS.

Each message has a connection of its own, so an answer on it can only mean this message: the code
(MSA-1) decides, whatever control ID (MSA-2) it names. AA and CA mean delivered, an error (AE, CE)
is retried, a rejection (AR, CR) is final (HL7 v2.5.1, 2.9.2). The commit bytes of MLLP release 2
(HL7 V3 transport specification, MLLP) mean the same as CA and CE.

A RIS that gets a message twice may file it twice. Where the whole message was sent and the answer
is missing or means nothing, the RIS may have it: `DeliveryUnclear`, of which there are few. A
second attempt sends the same message with the same control ID (MSH-10). A peer that closes the
connection after a message may do so because of that message, so other messages are still sent.
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
from triage.destinations.tls_alerts import describe_tls_error, is_alert
from triage.destinations.tls_files import TlsChoice, tls_context
from triage.domain.audit import AuditPeer
from triage.domain.delivery import HL7, Acknowledgement, Product
from triage.domain.errors import (
    DeliveryFailed,
    DeliveryRefused,
    DeliveryUnanswered,
    DeliveryUnclear,
    DestinationUnreachable,
)

#: Framing of a message: start of block; end of block and a carriage return.
START, END = b"\x0b", b"\x1c\r"
ANSWER_MAX = 1 << 16  #: bytes; an acknowledgement has a few hundred
TEXT_MAX = 300  #: characters of the free text of an acknowledgement that are kept
#: Acknowledgement codes (HL7 table 0008).
ACCEPTED = {"AA", "CA"}
ERRORS = {"AE": "application error", "CE": "commit error"}
REJECTIONS = {"AR": "application reject", "CR": "commit reject"}
#: Answers of MLLP release 2: the message is stored, or cannot be stored now.
COMMITTED, NOT_COMMITTED = b"\x06", b"\x15"
#: Time in which a peer that does not accept our connections closes one; seconds.
WELCOME_S = 0.3
#: Errors when a peer closes the connection, with or without TLS.
CLOSED = (ConnectionError, ssl.SSLEOFError)
PADDING = " \t\ufeff"  #: around a segment; U+FEFF is a byte order mark
MSH, MSA, ERR = "MSH", "MSA", "ERR"


class MllpDestinationSettings(DestinationSettings, TlsChoice):
    """A system that takes HL7 v2 messages over MLLP."""

    kind: Literal["mllp"]
    port: Port
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
            self._require_open(connection)
            connection.settimeout(self._settings.timeout_s)
            try:
                connection.sendall(START + product.content + END)
            except CLOSED:  # the message lacks its end, so the peer cannot have taken it
                raise DeliveryFailed(f"{self._peer} closed the connection") from None
            answer = self._receive(connection)
        return judge_answer(answer, control_id_of(product.content), self._peer)

    def echo(self) -> Acknowledgement:
        """Connect, and check that the peer keeps the connection open; nothing is sent."""
        with self._connect() as connection:
            self._require_open(connection)
        return Acknowledgement("it accepts connections")

    def _require_open(self, connection: socket.socket) -> None:
        """Wait for a peer that closes the connection at once, as a proxy whose server is down does.

        Bytes that arrive before the message is sent are no answer to it and are ignored.
        """
        until = time.monotonic() + WELCOME_S
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                if connection.recv(ANSWER_MAX):
                    continue
            except TimeoutError:
                return  # the peer waits for a message
            raise self._unreachable(
                "it closes the connection at once; does it accept connections from here?"
            )

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
        """Return the answer without its framing; also one whose end is missing."""
        until = time.monotonic() + self._settings.timeout_s
        received = b""
        while END[:1] not in received:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            piece, why = b"", None
            try:
                piece = connection.recv(ANSWER_MAX)
            except OSError as error:  # also a time-out
                why = error
            if not piece and received:
                break
            if not piece:
                raise self._explain_silence(why)
            received += piece
            if len(received) > ANSWER_MAX:
                raise DeliveryUnclear(f"{self._peer} sent an answer without an end")
        return received.partition(END[:1])[0].rpartition(START)[2]

    def _explain_silence(self, why: OSError | None) -> DeliveryFailed:
        """Return the error for a message that was sent and not answered; None: it was closed."""
        if isinstance(why, ssl.SSLError) and is_alert(why):  # so the message was not read
            return self._unreachable(describe_tls_error(why))
        if why is None or isinstance(why, CLOSED):
            return DeliveryUnclear(f"{self._peer} closed the connection without an answer")
        return DeliveryUnanswered(f"{self._peer} was sent the message and gives no answer: {why}")

    def _unreachable(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"{self._peer} gives no answer: {why}")


def control_id_of(message: bytes) -> str:
    """Return the Message Control ID (MSH-10) of a message made by this program."""
    return _field(_segments(message, MSH)[0], 9)


def judge_answer(answer: bytes, control_id: str, peer: str) -> Acknowledgement:
    """Return the acknowledgement that an answer on the connection of one message contains.

    Raises:
        DeliveryRefused: The peer rejects the message (AR, CR).
        DeliveryFailed: The peer reports an error (AE, CE), or that it cannot store the message.
        DeliveryUnclear: The answer means neither, so the peer may have accepted the message.
    """
    if answer.strip() == COMMITTED:
        return Acknowledgement("commit acknowledgement of MLLP release 2")
    if answer.strip() == NOT_COMMITTED:
        raise DeliveryFailed(f"{peer} cannot store the message now (MLLP release 2)")
    acknowledgements = _segments(answer, MSA)
    if not acknowledgements:
        raise DeliveryUnclear(f"{peer} sent an answer that is not an acknowledgement")
    acknowledgement = acknowledgements[0]
    code, named = _component(acknowledgement, 1).upper(), _component(acknowledgement, 2)
    if code in ACCEPTED:
        return Acknowledgement(code if named == control_id else f"{code} {_describe_id(named)}")
    text = _free_text(acknowledgement, _segments(answer, ERR))
    if code in REJECTIONS:
        raise DeliveryRefused(f"{peer} answered {code}, {REJECTIONS[code]}", text)
    if code in ERRORS:
        raise DeliveryFailed(f"{peer} answered {code}, {ERRORS[code]}", text)
    raise DeliveryUnclear(f"{peer} sent a code that HL7 does not define", code[:TEXT_MAX])


def _describe_id(named: str) -> str:
    return "with another control ID than that of the message" if named else "without a control ID"


Fields = Sequence[str]


def _segments(message: bytes, name: str) -> list[Fields]:
    """Return the fields of all segments with this name, split at the separator of MSH."""
    text = message.decode("utf-8", errors="replace").replace("\0", "").replace("\n", "\r")
    lines = [line.strip(PADDING) for line in text.split("\r")]
    separator = next((line[3:4] for line in lines if line.startswith(MSH)), "|")
    return [line.split(separator) for line in lines if line.startswith(f"{name}{separator}")]


def _field(segment: Fields, number: int) -> str:
    return segment[number].strip() if number < len(segment) else ""


def _component(segment: Fields, number: int) -> str:
    """Return the first component of a field."""
    return _field(segment, number).partition("^")[0].strip()


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
# acknowledged with AA or CA, whatever MSA-2 names. AE and CE are retried, AR and CR are final.
# An attempt without an answer, or with one that means nothing, is repeated four times only,
# because the RIS may have the message. Every attempt has the same control ID (MSH-10).
kind: mllp

# The host name or address.
host: 10.1.2.5

# The TCP port.
port: 2575

# TLS 1.2 or newer; the certificate must be valid for this host. null: no TLS, so the messages,
# which name the patient, are readable on the way: beyond this machine only with without_tls.
tls:
  # The authorities that sign the server's certificate, as a PEM file. null: those of the
  # system.
  trusted: null

  # Our certificate with its intermediates, if the server requires one, as a PEM file. null:
  # none.
  certificate: null

  # Its private key, not encrypted, as a PEM file.
  key: null

# true: allow a connection without TLS beyond this machine, in a network that you trust.
without_tls: false

# Seconds to wait for the connection, and for the acknowledgement; 40 at most.
timeout_s: 30.0
"""

DESTINATION = DestinationType(
    settings=MllpDestinationSettings,
    open=MllpDestination,
    media_types=MllpDestination.media_types,
    protocol="HL7 v2.5.1 ORU^R01 over MLLP, optionally TLS",
    delivered_when="the acknowledgement is AA or CA, or the commit byte of MLLP release 2",
    example=EXAMPLE,
)
