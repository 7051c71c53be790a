"""A DICOMweb service that takes products over STOW-RS (PS3.18 10.5); this program is user agent.

The response decides by its statement about the instance itself (Store Instances Response, PS3.18 I)
and not by its status alone, because 202 and 409 may mean success or failure. The Authorization
header is sent to the configured host only: redirections are not followed, TLS is verified, and
proxies of the environment are not used.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from httpx2 import Response
from pydantic import Field, model_validator

from triage.config import DestinationSettings
from triage.config.authorization import HttpAuthorization
from triage.config.fields import LOOPBACK
from triage.destinations.destination_type import DestinationType
from triage.destinations.http import PAUSE, SERVER_ERROR, HttpPeer, read_pause_s
from triage.destinations.tls_files import DestinationTls, tls_context
from triage.dimse.statuses import ALREADY_STORED, describe_status
from triage.domain.audit import AuditPeer
from triage.domain.delivery import DICOM, Acknowledgement, Product
from triage.domain.errors import ConfigurationError, DeliveryFailed, DestinationUnreachable

DICOM_JSON = "application/dicom+json"
ANSWER_MAX = 1 << 20  #: bytes; an answer about one instance has a few hundred
OK, ACCEPTED, CONFLICT = 200, 202, 409
JUDGED = {OK, ACCEPTED, CONFLICT}  #: statuses whose body states what happened to the instance
LOGIN = {401, 403}
NOT_FOUND = 404
EMPTY_SEARCH = "?StudyInstanceUID=2.25.0&limit=1"  #: QIDO-RS (PS3.18 10.6) that matches no study
#: Attributes of the Store Instances Response as tags (PS3.18 table I.2-1).
REFERENCED, FAILED, OTHER_FAILURES = "00081199", "00081198", "0008119A"
INSTANCE, FAILURE, WARNING = "00081155", "00081197", "00081196"
#: Failure Reasons that are not statuses of C-STORE (PS3.18 I.2.2, PS3.3 C.14.1.1).
REASONS = {
    0x0110: "Processing failure",
    0x0112: "No such object instance",
    0x0122: "Referenced SOP Class not supported",
    0xC122: "Referenced Transfer Syntax not supported",
}


class StowDestinationSettings(DestinationSettings, HttpAuthorization, DestinationTls):
    """A DICOMweb service that takes products over STOW-RS."""

    kind: Literal["stow"]
    without_tls: bool = False  #: True: allow plain HTTP beyond this machine
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, and for the answer

    @model_validator(mode="after")
    def _require_privacy(self) -> Self:
        url = urlsplit(self.url)
        if url.scheme == "http" and url.hostname not in LOOPBACK and not self.without_tls:
            raise ValueError(
                f"reports would be readable on the way to {url.hostname}: use an https:// url, or, "
                "in a network that you trust, without_tls: true"
            )
        return self

    def audit_peer(self) -> AuditPeer:
        """Return the service by its host."""
        return AuditPeer(self.name, urlsplit(self.url).hostname or "")


class StowDestination:
    """Stores products over STOW-RS; implements `Destination`."""

    media_types: Collection[str] = (DICOM,)

    def __init__(self, _calling_ae: str, settings: StowDestinationSettings) -> None:
        self.name = settings.name
        try:
            tls = tls_context(settings)
            self._authorization = settings.read_header()
        except ConfigurationError as error:
            raise ConfigurationError(f"destination {self.name}: {error}") from None
        self._peer = HttpPeer(f"{settings.url}/studies", tls, settings.timeout_s)

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product: a service does not state in advance what it accepts."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Store a product."""
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}',
            "Accept": DICOM_JSON,
        }
        content = _multipart(product.content, boundary)
        with self._request("POST", headers, content) as response:
            code = response.status_code
            if code not in JUDGED:
                raise self._failure(response)
            body = _read_beginning(response.iter_bytes())
        return self._judge(code, _read_dataset(body), product.sop_instance_uid)

    def echo(self) -> Acknowledgement:
        """Search for a study that does not exist, which changes nothing.

        A service without search answers that it does not support the method; this is an answer.
        """
        with self._request("GET", {"Accept": DICOM_JSON}, query=EMPTY_SEARCH) as response:
            code = response.status_code
            if code in {*LOGIN, *PAUSE, NOT_FOUND} or code >= SERVER_ERROR:
                raise self._failure(response)
        return Acknowledgement(f"it answers (HTTP {code} to a search)")

    def _request(
        self, method: str, headers: dict[str, str], content: bytes = b"", query: str = ""
    ) -> AbstractContextManager[Response]:
        """Send a request with our authorization; yield its response before the body is read."""
        return self._peer.request(method, {**self._authorization, **headers}, content, query)

    def _judge(self, code: int, dataset: dict[str, Any] | None, uid: str) -> Acknowledgement:
        """Return the acknowledgement in a response; raise DeliveryFailed if it is not stored."""
        status = f"HTTP {code}"
        failed = [*_items(dataset, FAILED, uid), *_items(dataset, OTHER_FAILURES)]
        if failed and all(_values(item, FAILURE) == [ALREADY_STORED] for item in failed):
            return Acknowledgement(f"{describe_status(ALREADY_STORED)} ({status})")
        if failed:
            raise DeliveryFailed(f"{status}, failure {_describe_reason(failed[0], FAILURE)}")
        stored = _items(dataset, REFERENCED, uid)
        if stored:
            warning = _describe_reason(stored[0], WARNING) if WARNING in stored[0] else ""
            return Acknowledgement(f"{warning} (warning, {status})" if warning else status)
        if code == OK and not _items(dataset, REFERENCED):
            return Acknowledgement(status)
        raise DeliveryFailed(
            f"{self._peer.host} answered {status} without stating that it is stored"
        )

    def _failure(self, response: Response) -> DeliveryFailed:
        """Return the error for an HTTP status that states nothing about the instance."""
        code = response.status_code
        answer = f"{self._peer.host} answered HTTP {code}"
        if code in LOGIN:
            why = "it rejects our authorization or our certificate"
            return DestinationUnreachable(f"{answer}: {why}")
        if code in PAUSE:
            why = "it asks for a pause"
            return DestinationUnreachable(f"{answer}: {why}", after_s=read_pause_s(response))
        if code == NOT_FOUND:
            return DeliveryFailed(f"{answer} for {self._peer.url}: check url")
        return DeliveryFailed(answer)


def _multipart(content: bytes, boundary: str) -> bytes:
    """Return a message of one part (PS3.18 8.6.1.2)."""
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n"
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def _read_beginning(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > ANSWER_MAX:
            break
    return bytes(body)


def _read_dataset(body: bytes) -> dict[str, Any] | None:
    """Return the data set of a DICOM JSON answer (PS3.18 F); None if it is not one."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, list) and len(content) == 1:  # some services wrap the data set in a list
        content = content[0]
    return content if isinstance(content, dict) else None


def _items(dataset: dict[str, Any] | None, tag: str, uid: str = "") -> list[dict[str, Any]]:
    """Return the items of a sequence; with a UID, only those about this instance."""
    items = [item for item in _values(dataset or {}, tag) if isinstance(item, dict)]
    return [item for item in items if not uid or _values(item, INSTANCE) == [uid]]


def _values(dataset: dict[str, Any], tag: str) -> list[Any]:
    element = dataset.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _describe_reason(item: dict[str, Any], tag: str) -> str:
    """Return a reason with its meaning, e.g. "0xA700 Out of resources"."""
    (reason, *_) = [*_values(item, tag), None]
    if not isinstance(reason, int):
        return "without a reason"
    return f"0x{reason:04X} {REASONS[reason]}" if reason in REASONS else describe_status(reason)


EXAMPLE = """\
# A DICOMweb service that takes reports over STOW-RS (PS3.18 10.5).
name: web

# stow: a POST for each report. A report counts as delivered when the response states that it
# is stored, with or without a warning. A failure is retried, and its reason is kept.
kind: stow

# The base URL; /studies is appended.
url: https://vna.example.org/dicom-web

# The value of the header Authorization, e.g. Bearer and a token, or Basic and the base64 of
# user:password. It is never shown. The environment variable is
# TRIAGE_DESTINATIONS__WEB__AUTHORIZATION. null: none.
authorization: null

# A file that holds this value, read at the start.
authorization_file: null

# The authorities that sign the server's certificate, as a PEM file. null: those of the system.
trusted: null

# Our certificate with its intermediates, if the server requires one, as a PEM file. null:
# none.
certificate: null

# Its private key, not encrypted, as a PEM file.
key: null

# true: allow plain HTTP beyond this machine, in a network that you trust.
without_tls: false

# Seconds to wait for the connection, and for the answer; 40 at most.
timeout_s: 30.0
"""

DESTINATION = DestinationType(
    settings=StowDestinationSettings,
    open=StowDestination,
    media_types=StowDestination.media_types,
    protocol="STOW-RS (PS3.18 10.5), optionally TLS",
    delivered_when="the Store Instances Response names the instance as stored",
    example=EXAMPLE,
)
