"""Receiving over HTTP: STOW-RS.

    server      uvicorn in a thread, and bounds on its connections
    app         a request: who, what, the answer
    access      who may send
    storing     its parts, into the spool
    multipart   the message they come in
    answer      the Store Instances Response Module

Rule: HTTP is known to `server` and `app` alone.
"""

from ssl import SSLContext

import structlog

from receivers import tls
from receivers.stow.app import StowApplication
from receivers.stow.server import RunningStowServer, serve
from triage.config import ReceiverSettings, StowSettings, TlsSettings
from triage.pipeline.intake import Intake

log = structlog.get_logger(__name__)


def start(intake: Intake, receiver: ReceiverSettings, stow: StowSettings) -> RunningStowServer:
    """Answer in a thread; raise ConfigurationError where that is not possible."""
    app = StowApplication(intake, receiver, stow)
    context = create_tls_context(stow)
    serving = serve(app, stow.host, stow.port, context, receiver.artim_s)
    log.info("receiving over HTTP", host=stow.host, port=stow.port, tls=context is not None)
    return serving


def create_tls_context(stow: StowSettings) -> SSLContext | None:
    """Return the TLS context, None without TLS; raise ConfigurationError if files do not fit."""
    if stow.certificate is None or stow.key is None:
        return None
    files = TlsSettings(certificate=stow.certificate, key=stow.key, clients=stow.clients)
    return tls.create_context(files, "receiver.stow")
