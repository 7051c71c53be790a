"""The STOW-RS receiver (PS3.18 10.5), over HTTP.

    server    uvicorn in a thread, with limits for its connections
    app       one request: admission, reading, response
    access    which senders are admitted
    storing   the parts of a request, into the spool
    answer    the Store Instances Response Module

Only `server` and `app` import HTTP libraries.
"""

from functools import partial
from ssl import SSLContext

import structlog

from receivers import tls
from receivers.networks import is_named
from receivers.receiver import ReceiverKind, ReceiverServices
from receivers.stow.app import StowApplication
from receivers.stow.server import RunningStowServer, serve
from triage.config import ReceiverSettings, StowSettings, TlsSettings
from triage.config.listening import stow_address
from triage.pipeline.intake import Intake

log = structlog.get_logger(__name__)


def start(intake: Intake, receiver: ReceiverSettings, stow: StowSettings) -> RunningStowServer:
    """Start the server in a thread; raise ConfigurationError if that is not possible."""
    app = StowApplication(intake, receiver, stow)
    context = create_tls_context(stow)
    networks = [network for sender in stow.senders.values() for network in sender.addresses]
    is_known = partial(is_named, networks=networks)
    running = serve(app, stow_address(stow), context, receiver.artim_s, is_known)
    log.info("receiving over HTTP", host=stow.host, port=stow.port, tls=context is not None)
    return running


def create_tls_context(stow: StowSettings) -> SSLContext | None:
    """Return the TLS context, None without TLS; raise ConfigurationError if files are unusable."""
    if stow.certificate is None or stow.key is None:
        return None
    files = TlsSettings(certificate=stow.certificate, key=stow.key, clients=stow.clients)
    return tls.create_context(files, "receiver.stow")


def _start(services: ReceiverServices, settings: StowSettings) -> RunningStowServer:
    return start(services.intake, services.settings.receiver, settings)


RECEIVER = ReceiverKind("stow", "receiver.stow", _start)
