"""One HTTP request to a destination, with its failures as errors of a delivery.

Redirections are not followed, so that authorization headers reach only the configured host. TLS is
verified, and proxies of the environment are not used.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx2

from triage.domain.errors import DeliveryFailed, DestinationUnreachable
from triage.domain.retry_after import read_http_date, read_retry_after

PAUSE = {429, 502, 503, 504}  #: statuses that ask for a pause: other deliveries wait as well
CLIENT_ERROR, SERVER_ERROR = 400, 500


@dataclass(frozen=True)
class HttpPeer:
    """A peer that is reached over HTTP."""

    url: str
    tls: ssl.SSLContext
    timeout_s: float  #: to connect, and for each part of the response

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc

    @contextmanager
    def request(
        self, method: str, headers: Mapping[str, str], content: bytes = b"", path: str = ""
    ) -> Iterator[httpx2.Response]:
        """Send a request and yield its response before the body is read.

        `path` is appended to the URL.

        Raises:
            DestinationUnreachable: The host is unknown, or does not answer in time.
            DeliveryFailed: The host closed the connection before its response was complete.
        """
        client = httpx2.Client(
            timeout=self.timeout_s, verify=self.tls, follow_redirects=False, trust_env=False
        )
        try:
            with (
                client,
                client.stream(method, self.url + path, headers=headers, content=content) as answer,
            ):
                yield answer
        except (httpx2.TimeoutException, httpx2.ConnectError) as error:
            why = str(error) or type(error).__name__
            raise DestinationUnreachable(f"{self.host} gives no answer: {why}") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise DestinationUnreachable(f"{self.host} is not a valid host name") from None
        except httpx2.HTTPError as error:
            why = type(error).__name__
            raise DeliveryFailed(f"{self.host} closed the connection ({why})") from None


def read_pause_s(response: httpx2.Response) -> float:
    """Return the seconds after which a response asks to come again; 0 if it does not say.

    A date is compared with that of the response, so that the clocks of both may differ.
    """
    now = read_http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return read_retry_after(response.headers.get("Retry-After", ""), now)


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
