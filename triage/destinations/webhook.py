"""A program that receives a signed JSON summary of each assessment over HTTP.

A 2xx status counts as delivered. A 4xx status is final, except 408, 409, 425 and 429. Every other
status is retried. No answer, or a status that asks for a pause, delays the other deliveries to this
destination as well, at least as long as Retry-After states. The body is signed according to
Standard Webhooks 1.0. The signature covers the time, so a recorded request is of no use later. The
message id, which is also the idempotency key, is the UID of the product, so the receiver recognises
a second attempt.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from httpx2 import Response
from pydantic import Field, SecretStr, model_validator

from triage.config import DestinationSettings
from triage.config.fields import LOOPBACK, WebUrl
from triage.destinations.destination_type import DestinationType
from triage.destinations.http import (
    CLIENT_ERROR,
    PAUSE,
    SERVER_ERROR,
    HttpPeer,
    read_pause_s,
    without_secrets,
)
from triage.destinations.tls_files import DestinationTls, tls_context
from triage.domain.audit import AuditPeer
from triage.domain.delivery import JSON, Acknowledgement, Product
from triage.domain.errors import (
    ConfigurationError,
    DeliveryFailed,
    DeliveryRefused,
    DestinationUnreachable,
)

PREFIX = "whsec_"  #: optional prefix that marks a secret
SHORTEST, LONGEST = 24, 64  #: bytes of a secret (Standard Webhooks 1.0)
#: 4xx statuses that do not reject the request itself: time-out, an earlier attempt with this
#: idempotency key is still in progress, too early, too many requests.
RETRIED = {408, 409, 425, 429}
Now = Callable[[], datetime]


class WebhookDestinationSettings(DestinationSettings, DestinationTls):
    """A program that receives a summary of each assessment over HTTP."""

    kind: Literal["webhook"]
    url: WebUrl
    secret: SecretStr | None = None  #: shared secret in base64 that signs the requests
    secret_file: Path | None = None  #: file that holds the secret
    timeout_s: float = Field(default=15.0, gt=0, le=40)  #: to connect, and for the answer

    @model_validator(mode="after")
    def _require_signature_and_privacy(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError(
                "set either secret or secret_file: the receiver needs the signature to reject "
                "forged requests"
            )
        url = urlsplit(self.url)
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError(
                f"summaries would be readable on the way to {url.hostname}: use an https:// url"
            )
        return self

    def audit_peer(self) -> AuditPeer:
        """Return the URL, without user, password and query."""
        return AuditPeer(self.name, without_secrets(self.url), is_dicom=False)


def _now() -> datetime:
    return datetime.now(UTC)


class WebhookDestination:
    """Posts signed summaries; implements `Destination`."""

    media_types: Collection[str] = (JSON,)

    def __init__(
        self, _calling_ae: str, settings: WebhookDestinationSettings, now: Now = _now
    ) -> None:
        self.name = settings.name
        self._now = now
        self._secret = read_secret(settings)
        self._peer = HttpPeer(settings.url, tls_context(settings), settings.timeout_s)

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product: a summary has only one form."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Post a product."""
        uid, at = product.sop_instance_uid, int(self._now().timestamp())
        headers = {
            "Content-Type": product.media_type,
            "Idempotency-Key": uid,
            "Webhook-Id": uid,
            "Webhook-Timestamp": str(at),
            "Webhook-Signature": sign(self._secret, uid, at, product.content),
        }
        with self._peer.request("POST", headers, product.content) as response:
            if not response.is_success:
                raise self._failure(response)
            return Acknowledgement(f"HTTP {response.status_code}")

    def echo(self) -> Acknowledgement:
        """Send an OPTIONS request, which changes nothing; any status below 500 is an answer."""
        with self._peer.request("OPTIONS", {}) as response:
            if response.status_code >= SERVER_ERROR:
                raise self._failure(response)
            return Acknowledgement(f"it answers (HTTP {response.status_code} to OPTIONS)")

    def _failure(self, response: Response) -> DeliveryFailed:
        """Return the error for an HTTP status that does not mean success."""
        code = response.status_code
        answer = f"{self._peer.host} answered HTTP {code}"
        if code in PAUSE:
            return DestinationUnreachable(answer, after_s=read_pause_s(response))
        if CLIENT_ERROR <= code < SERVER_ERROR and code not in RETRIED:
            return DeliveryRefused(f"{answer}: it rejects this request or its signature")
        return DeliveryFailed(answer)


def sign(key: bytes, uid: str, at: int, content: bytes) -> str:
    """Return the value of Webhook-Signature: HMAC-SHA256 of "uid.at.content" in base64."""
    signed = b".".join((uid.encode(), str(at).encode(), content))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def read_secret(settings: WebhookDestinationSettings) -> bytes:
    """Return the configured secret.

    Raises:
        ConfigurationError: The secret cannot be read, or is not valid.
    """
    text = settings.secret.get_secret_value() if settings.secret else ""
    if settings.secret_file is not None:
        try:
            text = settings.secret_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"cannot read secret_file {settings.secret_file}") from None
    try:
        key = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise ConfigurationError(
            f"the secret of destination {settings.name} must be base64 of {SHORTEST} to {LONGEST} "
            "bytes: `openssl rand -base64 32` makes one"
        )
    return key


EXAMPLE = """\
# A program that receives a summary of each assessment over HTTP. It gets the report `summary`,
# which `reports` must list: JSON with the UID of the study, its revision, the flags and the
# findings that were not evaluated, and nothing about the patient.
name: hook

# webhook: a POST that is signed according to Standard Webhooks 1.0 (libraries of many
# languages check the signature, which also covers Webhook-Timestamp against replays).
# Webhook-Id is the same for every attempt with one summary, so the receiver recognises a
# repetition. A 2xx status counts as delivered. A 4xx status other than 408, 409, 425 and 429
# is final. Anything else, and no answer, is retried.
kind: webhook

# The URL; beyond this machine it must be https://. Put no secret into it: the URL is shown.
url: https://worklist.hospital.example/triage

# The shared secret, 24 to 64 bytes in base64, with or without whsec_ in front. The command
# `openssl rand -base64 32` makes one. It is never shown. The environment variable is
# TRIAGE_DESTINATIONS__HOOK__SECRET. Set either secret or secret_file.
secret: null

# A file that holds the secret.
secret_file: /etc/cmr-triage/hook.secret

# The authorities that sign the server's certificate, as a PEM file. null: those of the system.
trusted: null

# Our certificate with its intermediates, if the server requires one, as a PEM file. null:
# none.
certificate: null

# Its private key, not encrypted, as a PEM file.
key: null

# Seconds to wait for the connection, and for the answer; 40 at most.
timeout_s: 15.0
"""

DESTINATION = DestinationType(
    settings=WebhookDestinationSettings,
    open=WebhookDestination,
    media_types=WebhookDestination.media_types,
    protocol="HTTP POST, signed (Standard Webhooks 1.0)",
    delivered_when="the status is 2xx",
    example=EXAMPLE,
)
