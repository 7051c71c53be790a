"""The receiver of radiologists' reports over HL7 v2 (MLLP): ORU^R01 and MDM^T02.

server           listens, with limits for connections and messages
framing          MLLP frames of a connection
messages         one message: admission, reading, storing, acknowledgement
reports          the reports of a message, with their outcomes
acknowledgement  MSA and ERR

No text of a message is in a log, a metric or an incident.
"""

from ssl import SSLContext

import structlog

from receivers import tls
from receivers.hl7.messages import ReportStore
from receivers.hl7.server import RunningHl7Listener
from receivers.receiver import ReceiverKind, ReceiverServices
from triage.config import Hl7Settings, TlsSettings
from triage.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)


def create_tls_context(hl7: Hl7Settings) -> SSLContext | None:
    """Return the TLS context, None without TLS; raise ConfigurationError if files are unusable."""
    if hl7.certificate is None or hl7.key is None:
        return None
    files = TlsSettings(certificate=hl7.certificate, key=hl7.key, clients=hl7.clients)
    return tls.create_context(files, "receiver.hl7")


def _start(services: ReceiverServices, settings: Hl7Settings) -> RunningHl7Listener:
    if services.outcomes is None:
        raise ConfigurationError("receiver.hl7: outcomes are not stored here")
    store = ReportStore(services.outcomes, services.intake.metrics, settings)
    context = create_tls_context(settings)
    running = RunningHl7Listener(store, settings, context, services.settings.receiver.artim_s)
    log.info("receiving HL7", host=settings.host, port=settings.port, tls=context is not None)
    return running


RECEIVER = ReceiverKind("hl7", "receiver.hl7", _start)
