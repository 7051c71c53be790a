"""Storage SCP and Verification SCP (PS3.4 annexes A and B).

Rule: Success is answered when `Intake.accept` has returned, so never before the instance is
durable. All storage SOP classes are accepted in every transfer syntax, undecoded: what a PACS
routes to us is kept, and what is not for us is declined later, with a reason.
"""

from collections.abc import Callable
from typing import Any, cast

import structlog
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import _STORAGE_CLASSES, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

import receivers.fast_store
from triage.config import Receiver
from triage.dimse import AT_ONCE, Status
from triage.domain.errors import (
    ConfigurationError,
    DamagedInstance,
    LedgerUnavailable,
    MismatchedInstance,
    SpoolFull,
)
from triage.domain.instance import Source
from triage.intake import Intake

#: Of several syntaxes in one presentation context the first of ours is taken: what is native or
#: lossless goes before what may be lossy.
PREFERRED = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
SYNTAXES = [*PREFERRED, *(uid for uid in ALL_TRANSFER_SYNTAXES if uid not in PREFERRED)]

log = structlog.get_logger(__name__)

PDU_BYTES = 131_072
NETWORK_TIMEOUT_S = 60
#: Connections that never speak count until they are reaped, so a few are not enough.
ASSOCIATIONS_MAX = 100


def start(intake: Intake, settings: Receiver) -> ThreadedAssociationServer:
    """Listen in threads of its own; `end` ends it."""
    ae = AE(ae_title=settings.ae_title)
    for sop_class in _STORAGE_CLASSES.values():
        ae.add_supported_context(sop_class, SYNTAXES)
    ae.add_supported_context(Verification)
    ae.require_called_aet = True
    ae.require_calling_aet = list(settings.calling)
    ae.maximum_pdu_size = PDU_BYTES
    ae.maximum_associations = ASSOCIATIONS_MAX
    ae.network_timeout = NETWORK_TIMEOUT_S
    handlers: Any = [
        (evt.EVT_C_STORE, _store, [intake]),
        AT_ONCE,
        (evt.EVT_REJECTED, _report_rejected, [intake, settings]),
    ]
    address = (settings.host, settings.port)
    try:
        started = ae.start_server(address, block=False, evt_handlers=handlers)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "set receiver.host and receiver.port"
        ) from None
    server = cast(ThreadedAssociationServer, started)
    if settings.fast:
        receivers.fast_store.attach(server, intake, answered)
    log.info("receiving", ae_title=settings.ae_title, host=settings.host, port=settings.port)
    return server


def end(server: ThreadedAssociationServer) -> None:
    """Stop listening and end the associations that are open: their senders try again."""
    server.shutdown()
    for association in server.active_associations:
        association.abort()


def _store(event: evt.Event, intake: Intake) -> int:
    """Answer a C-STORE request; anything unforeseen becomes pynetdicom's 0xC211."""
    return answered(
        lambda: intake.accept(event.encoded_dataset(), _source(event), _announced(event))
    )


def answered(take: Callable[[], object]) -> int:
    """Return the status to answer with when an instance is taken by a call."""
    try:
        take()
    except DamagedInstance:
        return Status.CANNOT_UNDERSTAND
    except MismatchedInstance:
        return Status.DATA_SET_DOES_NOT_MATCH
    except (SpoolFull, LedgerUnavailable) as error:
        log.error("instance not taken", error=str(error))  # noqa: TRY400 - no trace needed
        return Status.OUT_OF_RESOURCES
    return Status.SUCCESS


def _announced(event: evt.Event) -> str:
    request: Any = event.request
    return str(request.AffectedSOPInstanceUID)


def _source(event: evt.Event) -> Source:
    requestor = event.assoc.requestor
    return Source(str(requestor.ae_title).strip(), str(requestor.address))


def _report_rejected(event: evt.Event, intake: Intake, settings: Receiver) -> None:
    """Make a rejection visible with its reason."""
    source = _source(event)
    request: Any = event.assoc.requestor.primitive
    called = str(request.called_ae_title).strip()
    if called != settings.ae_title:
        why = f"called as {called!r}, we are {settings.ae_title!r}"
    elif source.calling_ae not in settings.calling:
        why = f"unknown calling AE title {source.calling_ae!r}"
    else:
        why = f"more than {ASSOCIATIONS_MAX} associations at once"
    intake.report_rejected(why, source)
