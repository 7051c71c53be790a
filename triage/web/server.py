"""The HTTP server of `triage web`, with TLS if the settings have a certificate.

There is no access log, because addresses contain the search terms; access to cases is logged in
the ledger.
"""

import ssl

import structlog
from starlette.types import ASGIApp

from triage.config import WebSettings
from triage.config.listening import web_address
from triage.connections.http_server import BoundedHttpConnection, BoundedHttpServer, build_config
from triage.connections.listener import BACKLOG, BATCH, BoundedListener, ListenerLimits
from triage.connections.waiting import WaitingLimits
from triage.domain.errors import ConfigurationError
from triage.telemetry.progress import note_progress

log = structlog.get_logger(__name__)

END_S = 10  #: time for running requests when the process ends
IDLE_S = 30.0  #: for which a connection may be without a request
#: For connections of users that are not logged in, and of those that are.
LIMITS = ListenerLimits(WaitingLimits(in_all=64, of_one_peer=16, wait_s=30.0), admitted=100)


def serve(app: ASGIApp, settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT; raise ConfigurationError if the port cannot be opened."""
    server = open_server(app, settings)
    with server.listener as listener:
        scheme = "https" if settings.certificate else "http"
        log.info("web server listening", scheme=scheme, host=settings.host, port=settings.port)
        server.run(sockets=[listener])


def open_server(app: ASGIApp, settings: WebSettings) -> BoundedHttpServer:
    """Return a server that listens and does not run; raise ConfigurationError."""
    _check_certificate(settings)
    listener = BoundedListener(web_address(settings).open(BACKLOG), LIMITS, batch=BATCH)
    config = build_config(
        app,
        BoundedHttpConnection.for_port(listener, IDLE_S),
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        timeout_graceful_shutdown=END_S,
    )
    return ProgressingServer(config, listener)


def _check_certificate(settings: WebSettings) -> None:
    """Raise ConfigurationError if uvicorn could not load the certificate or its key."""
    if settings.certificate is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a password OpenSSL would ask for one on the terminal; with "" loading fails.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"web.certificate and web.key cannot be used: {error.strerror or error}"
        ) from None


class ProgressingServer(BoundedHttpServer):
    """A server whose event loop notes that it makes progress."""

    async def on_tick(self, counter: int) -> bool:
        """Note progress; uvicorn calls this ten times a second."""
        note_progress()
        return await super().on_tick(counter)
