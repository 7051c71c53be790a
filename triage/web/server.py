"""`triage web`: listens, over TLS where the settings have a certificate.

Rule: no access log. Addresses hold what was searched for; who looked at what is in the ledger.
"""

import socket
import ssl

import structlog
import uvicorn
from starlette.types import ASGIApp

from triage.config import WebSettings
from triage.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

END_S = 10  #: answers in hand may take so long when the process ends
AT_ONCE = 100  #: requests; more are told to come back (503)
WAITING = 128


def serve(app: ASGIApp, settings: WebSettings) -> None:
    """Answer until SIGTERM or SIGINT; raise ConfigurationError if nobody can be heard."""
    config = uvicorn.Config(
        app,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        access_log=False,
        log_config=None,
        interface="asgi3",
        lifespan="off",
        limit_concurrency=AT_ONCE,
        proxy_headers=False,  # or anybody here could say to be from elsewhere, and guess on
        server_header=False,
        timeout_graceful_shutdown=END_S,
        ws="none",
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"web.certificate and web.key cannot be used: {error.strerror or error}"
        ) from None
    with _listening(settings) as listener:
        scheme = "https" if settings.certificate else "http"
        log.info("answering", scheme=scheme, host=settings.host, port=settings.port)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(settings: WebSettings) -> socket.socket:
    address = (settings.host, settings.port)
    try:
        family, *_ = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=WAITING)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "set web.host and web.port"
        ) from None
