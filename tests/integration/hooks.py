"""A webhook receiver that verifies signatures with the library of Standard Webhooks.

It answers with the statuses that a test sets, and keeps every request, also a forged one.
"""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from tests.waiting import HOST

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


@dataclass
class Hook:
    """The behaviour of a webhook receiver, and the requests that it received."""

    secret: str = SECRET
    codes: list[int] = field(default_factory=list)  #: statuses in turn; the last one is repeated
    headers: dict[str, str] = field(default_factory=dict)  #: of every response
    delay_s: float = 0.0
    summaries: dict[str, Any] = field(default_factory=dict)  #: by idempotency key
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    forged: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}/hooks/triage"

    def answer(self, method: str, headers: dict[str, str], body: bytes) -> int:
        self.requests.append((method, headers, body))
        time.sleep(self.delay_s)
        code = self.codes[0] if len(self.codes) == 1 else (self.codes.pop(0) if self.codes else 204)
        if method != "POST" or not 200 <= code < 300:
            return code
        try:
            summary = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.forged += 1
            return 401
        self.summaries[headers["Idempotency-Key"]] = summary
        return code


@contextmanager
def hook(tls: ssl.SSLContext | None = None, **settings: Any) -> Iterator[Hook]:
    """Run a webhook receiver."""
    ours = Hook(**settings)

    class WebhookHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer("POST")

        def do_OPTIONS(self) -> None:
            self._answer("OPTIONS")

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response_only(ours.answer(method, dict(self.headers.items()), body))
            for name, value in ours.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class WebhookServer(ThreadingHTTPServer):
        def get_request(self) -> Any:
            connection, address = super().get_request()
            if tls is not None:
                connection.settimeout(60)
                connection = tls.wrap_socket(connection, server_side=True)
            return connection, address

    server = WebhookServer((HOST, 0), WebhookHandler)
    ours.port, ours.scheme = server.server_address[1], "http" if tls is None else "https"
    listening = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    listening.start()
    try:
        yield ours
    finally:
        server.shutdown()
        server.server_close()
        listening.join()
