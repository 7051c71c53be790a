"""A program that is told of assessments over HTTP: a JSON summary, signed.

Rule: 2xx is delivered. What 4xx says is said for ever, but for 408, 425 and 429; all else is tried
again, and silence, or a service that wants a pause, holds the others back. The body is signed as
Standard Webhooks 1.0 has it, with the time in it, so that what was overheard is no use later; its
id, which is also the idempotency key, is the product's UID: a second try is recognised as one.
Redirections are not followed, TLS is verified, and no proxy is used that nobody named.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx2

from triage.config import WebhookDestination
from triage.destinations.tls import context
from triage.domain.delivery import JSON, Acknowledgement, Product
from triage.domain.errors import (
    ConfigurationError,
    DeliveryFailed,
    DeliveryRefused,
    DestinationUnreachable,
)

PREFIX = "whsec_"  #: by which a secret is known as one
SHORTEST, LONGEST = 24, 64  #: bytes of a secret (Standard Webhooks 1.0)
#: 4xx that says nothing of the request itself: time-out, too early, too many.
LATER = {408, 425, 429}
PAUSE = {429, 502, 503, 504}  #: of whoever answers so nothing is wanted for a while
CLIENT_ERROR, SERVER_ERROR = 400, 500
Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class WebhookSender:
    """See `ports.Destination`."""

    media_types: Collection[str] = (JSON,)

    def __init__(self, _calling_ae: str, settings: WebhookDestination, now: Now = _now) -> None:
        self.name = settings.name
        self._settings = settings
        self._now = now
        self._secret = secret(settings)
        self._tls = context(settings.trusted, settings.certificate, settings.key)
        self._who = urlsplit(settings.url).netloc

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first; there is one form of a summary."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Post a product."""
        uid, at = product.sop_instance_uid, int(self._now().timestamp())
        headers = {
            "Content-Type": product.media_type,
            "Idempotency-Key": uid,
            "Webhook-Id": uid,
            "Webhook-Timestamp": str(at),
            "Webhook-Signature": signature(self._secret, uid, at, product.content),
        }
        with self._asked("POST", headers, product.content) as response:
            if not response.is_success:
                raise self._judged(response.status_code)
            return Acknowledgement(f"HTTP {response.status_code}")

    def echo(self) -> Acknowledgement:
        """Ask what may be asked, which changes nothing; whoever answers is there."""
        with self._asked("OPTIONS", {}) as response:
            if response.status_code >= SERVER_ERROR:
                raise self._judged(response.status_code)
            return Acknowledgement(f"it answers (HTTP {response.status_code} to OPTIONS)")

    @contextmanager
    def _asked(
        self, method: str, headers: dict[str, str], content: bytes = b""
    ) -> Iterator[httpx2.Response]:
        """Yield an answer, whose body is not read."""
        client = httpx2.Client(
            timeout=self._settings.timeout_s,
            verify=self._tls,
            follow_redirects=False,
            trust_env=False,
        )
        try:
            with (
                client,
                client.stream(
                    method, self._settings.url, headers=headers, content=content
                ) as response,
            ):
                yield response
        except (httpx2.TimeoutException, httpx2.ConnectError) as error:
            why = str(error) or type(error).__name__
            raise DestinationUnreachable(f"{self._who} gives no answer: {why}") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise DestinationUnreachable(f"{self._who} is no host name") from None
        except httpx2.HTTPError as error:
            raise DeliveryFailed(f"{self._who} hung up ({type(error).__name__})") from None

    def _judged(self, code: int) -> DeliveryFailed:
        said = f"{self._who} answered HTTP {code}"
        if code in PAUSE:
            return DestinationUnreachable(said)
        if CLIENT_ERROR <= code < SERVER_ERROR and code not in LATER:
            return DeliveryRefused(f"{said}: it does not want this, or not from us")
        return DeliveryFailed(said)


def signature(key: bytes, uid: str, at: int, content: bytes) -> str:
    """Return the value of Webhook-Signature: HMAC-SHA256 of "uid.at.content" in base64."""
    signed = b".".join((uid.encode(), str(at).encode(), content))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def secret(settings: WebhookDestination) -> bytes:
    """Return the key that the settings name.

    Raises:
        ConfigurationError: It cannot be read, or is none.
    """
    path = settings.secret_file
    if settings.secret is not None:
        written = settings.secret.get_secret_value()
    else:
        assert path is not None  # noqa: S101 - one of the two is there
        try:
            written = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"cannot read secret_file {path}") from None
    try:
        key = base64.b64decode(written.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise ConfigurationError(
            f"the secret of destination {settings.name} is no base64 of {SHORTEST} to {LONGEST} "
            "bytes: `openssl rand -base64 32` makes one"
        )
    return key
