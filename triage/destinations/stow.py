"""A DICOMweb service that takes products over STOW-RS (PS3.18 10.5), as user agent.

Rule: delivered is what its answer says of the instance itself (the Store Instances Response,
PS3.18 I), and not its status alone: 202 and 409 may mean either. The value of the Authorization
header goes to the configured host alone: redirections are not followed, TLS is verified, and no
proxy is used that nobody named.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2

from triage.config import StowDestination
from triage.destinations.tls import context
from triage.dimse.statuses import describe_status
from triage.domain.delivery import DICOM, Acknowledgement, Product
from triage.domain.errors import ConfigurationError, DeliveryFailed, DestinationUnreachable

JSON = "application/dicom+json"
ANSWER_MAX = 1 << 20  #: bytes of an answer; one about one instance has a few hundred
OK, ACCEPTED, CONFLICT = 200, 202, 409
JUDGED = {OK, ACCEPTED, CONFLICT}  #: whose body says what became of the instance
LOGIN = {401, 403}
PAUSE = {429, 502, 503, 504}  #: of whoever answers so nothing is wanted for a while
NOT_FOUND, SERVER_ERROR = 404, 500
NOTHING = "?StudyInstanceUID=2.25.0&limit=1"  #: QIDO-RS (PS3.18 10.6) for what nobody has
#: PS3.18 table I.2-1: attributes as tags.
REFERENCED, FAILED, OTHER_FAILURES = "00081199", "00081198", "0008119A"
INSTANCE, FAILURE, WARNING = "00081155", "00081197", "00081196"
#: Failure Reasons that are no status of C-STORE (PS3.18 I.2.2, PS3.3 C.14.1.1).
REASONS = {
    0x0110: "Processing failure",
    0x0112: "No such object instance",
    0x0122: "Referenced SOP Class not supported",
    0xC122: "Referenced Transfer Syntax not supported",
}


class WebStore:
    """See `ports.Destination`."""

    media_types: Collection[str] = (DICOM,)

    def __init__(self, _calling_ae: str, settings: StowDestination) -> None:
        self.name = settings.name
        self._settings = settings
        self._who = urlsplit(settings.url).netloc
        try:
            self._tls = context(settings.trusted, settings.certificate, settings.key)
            self._authorization = settings.read_header()
        except ConfigurationError as error:
            raise ConfigurationError(f"destination {self.name}: {error}") from None

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first: nobody is told before what it would take."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Store a product."""
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}',
            "Accept": JSON,
        }
        code, body = self._asked("POST", headers, _message(product.content, boundary))
        if code not in JUDGED:
            raise self._refusal(code)
        return self._judged(code, _module(body), product.sop_instance_uid)

    def echo(self) -> Acknowledgement:
        """Search for a study that there is not, which changes nothing; whoever answers is there.

        Who takes and does not search says that it has no such method.
        """
        code, _ = self._asked("GET", {"Accept": JSON}, query=NOTHING)
        if code in {*LOGIN, *PAUSE, NOT_FOUND} or code >= SERVER_ERROR:
            raise self._refusal(code)
        return Acknowledgement(f"it answers (HTTP {code} to a search)")

    def _asked(
        self, method: str, headers: dict[str, str], content: bytes = b"", query: str = ""
    ) -> tuple[int, bytes]:
        """Return status and body of an answer; of a body that is too long, its beginning."""
        client = httpx2.Client(
            headers=self._authorization,
            timeout=self._settings.timeout_s,
            verify=self._tls,
            follow_redirects=False,
            trust_env=False,
        )
        url = f"{self._settings.url}/studies{query}"
        try:
            with (
                client,
                client.stream(method, url, headers=headers, content=content) as response,
            ):
                return response.status_code, _begin(response.iter_bytes())
        except (httpx2.TimeoutException, httpx2.ConnectError) as error:
            why = str(error) or type(error).__name__
            raise DestinationUnreachable(f"{self._who} gives no answer: {why}") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise DestinationUnreachable(f"{self._who} is no host name") from None
        except httpx2.HTTPError as error:
            raise DeliveryFailed(f"{self._who} hung up ({type(error).__name__})") from None

    def _judged(self, code: int, module: dict[str, Any] | None, uid: str) -> Acknowledgement:
        """Return what an answer says of an instance; raise DeliveryFailed unless it is stored."""
        said = f"HTTP {code}"
        failed = [*_items(module, FAILED, uid), *_items(module, OTHER_FAILURES)]
        if failed:
            raise DeliveryFailed(f"{said}, failure {_words(failed[0], FAILURE)}")
        stored = _items(module, REFERENCED, uid)
        if stored:
            warning = _words(stored[0], WARNING) if WARNING in stored[0] else ""
            return Acknowledgement(f"{warning} (warning, {said})" if warning else said)
        if code == OK and not _items(module, REFERENCED):
            return Acknowledgement(said)
        raise DeliveryFailed(f"{self._who} answered {said}, and does not say that it has stored it")

    def _refusal(self, code: int) -> DeliveryFailed:
        said = f"{self._who} answered HTTP {code}"
        if code in LOGIN:
            why = "it does not take our authorization, or our certificate, as it is"
            return DestinationUnreachable(f"{said}: {why}")
        if code in PAUSE:
            return DestinationUnreachable(f"{said}: it wants a pause")
        if code == NOT_FOUND:
            return DeliveryFailed(f"{said} for {self._settings.url}/studies: is url right?")
        return DeliveryFailed(said)


def _message(content: bytes, boundary: str) -> bytes:
    """Return a message of one part (PS3.18 8.6.1.2)."""
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n"
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def _begin(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > ANSWER_MAX:
            break
    return bytes(body)


def _module(body: bytes) -> dict[str, Any] | None:
    """Return the data set of a DICOM JSON answer (PS3.18 F); None where it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, list) and len(said) == 1:  # as some services wrap it
        said = said[0]
    return said if isinstance(said, dict) else None


def _items(module: dict[str, Any] | None, tag: str, uid: str = "") -> list[dict[str, Any]]:
    """Return the items of a sequence; those about one instance, where a UID is given."""
    items = [each for each in _values(module or {}, tag) if isinstance(each, dict)]
    return [each for each in items if not uid or _values(each, INSTANCE) == [uid]]


def _values(dataset: dict[str, Any], tag: str) -> list[Any]:
    element = dataset.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _words(item: dict[str, Any], tag: str) -> str:
    """Return a reason as people read it, e.g. "0xA700 Out of resources"."""
    (reason, *_) = [*_values(item, tag), None]
    if not isinstance(reason, int):
        return "without a reason"
    return f"0x{reason:04X} {REASONS[reason]}" if reason in REASONS else describe_status(reason)
