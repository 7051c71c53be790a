"""The HTTP server of `triage web`, with TLS if the settings have a certificate.

There is no access log, because addresses contain the search terms; access to cases is logged in
the ledger.
"""

import ssl

import structlog
import uvicorn
from starlette.types import ASGIApp

from triage.config import WebSettings
from triage.config.listening import web_address
from triage.domain.errors import ConfigurationError
from triage.telemetry.progress import note_progress

log = structlog.get_logger(__name__)

END_S = 10  #: time for running requests when the process ends
AT_ONCE = 100  #: concurrent requests; further ones receive 503
WAITING = 128


def serve(app: ASGIApp, settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT; raise ConfigurationError if the port cannot be opened."""
    config = _build_config(app, settings)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"web.certificate and web.key cannot be used: {error.strerror or error}"
        ) from None
    with web_address(settings).open(WAITING) as listener:
        scheme = "https" if settings.certificate else "http"
        log.info("web server listening", scheme=scheme, host=settings.host, port=settings.port)
        ProgressingServer(config).run(sockets=[listener])


class ProgressingServer(uvicorn.Server):
    """A server whose event loop notes that it makes progress."""

    async def on_tick(self, counter: int) -> bool:
        """Note progress; uvicorn calls this ten times a second."""
        note_progress()
        return await super().on_tick(counter)


def _build_config(app: ASGIApp, settings: WebSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        access_log=False,
        log_config=None,
        interface="asgi3",
        lifespan="off",
        limit_concurrency=AT_ONCE,
        proxy_headers=False,  # else a forged address header would evade the login throttle
        server_header=False,
        timeout_graceful_shutdown=END_S,
        ws="none",
    )
