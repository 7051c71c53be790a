"""Storage SCP and Verification SCP (PS3.4 annexes A and B).

Rule: Success is store_status when `Intake.accept` has returned, so never before the instance is
durable. All storage SOP classes are accepted in every transfer syntax, undecoded: what a PACS
routes to us is kept, and what is not for us is declined later, with a reason.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from receivers import announcements, commitment, event_reports, fast_store, tls
from receivers.admission import INTERNAL_ERROR, Admission, CallingPeer, Rejection
from receivers.guard import InstanceLimit
from receivers.listener import AssociationListener
from triage.config import ReceiverSettings
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.dimse.storage_classes import list_storage_classes
from triage.dimse.store_response import attempt_store
from triage.dimse.transfer_syntaxes import STORAGE_SYNTAXES
from triage.domain.errors import (
    ConfigurationError,
)
from triage.domain.instance import Source
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.ports.announcements import Announcements
from triage.telemetry.metrics import RejectionReason

#: By the reason of an A-ASSOCIATE-RJ that `admission` gives, PS3.8 table 9-21.
METRIC_REASONS = {2: RejectionReason.LIMIT, 3: RejectionReason.CALLING, 7: RejectionReason.CALLED}

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CStoreScp:
    """The ports that are listened on; what is open on them counts together."""

    listeners: tuple[AssociationListener, ...]

    def shutdown(self) -> None:
        """Stop listening; associations that are open go on."""
        for each in self.listeners:
            each.shutdown()

    @property
    def active_associations(self) -> list[Association]:
        """The associations that are open."""
        return [each for listener in self.listeners for each in listener.active_associations]


def start(
    intake: Intake,
    settings: ReceiverSettings,
    committer: CommitmentScp | None = None,
    announced: Announcements | None = None,
    promises: CommitmentScu | None = None,
) -> CStoreScp:
    """Listen in threads of its own; `end` ends it."""
    ae = _build_application_entity(settings)
    limit = InstanceLimit(settings.instance_bytes)
    handlers: Any = [
        (evt.EVT_REQUESTED, _admit, [Admission(settings), intake, settings]),
        (evt.EVT_PDU_RECV, limit.listen),
        (evt.EVT_C_STORE, _answer_c_store, [intake, limit]),
        CONNECTION_SETUP,
        (evt.EVT_ACCEPTED, _count_opened, [intake]),
        (evt.EVT_CONN_CLOSE, _count_ended, [intake]),
    ]
    if committer is not None:
        handlers += commitment.add_commitment_scp(ae, committer)
    if promises is not None:
        handlers += event_reports.add_event_report_handler(ae, promises)
    if announced is not None:
        handlers += announcements.add_announcement_services(ae, announced)
    ports: list[tuple[int, SSLContext | None]] = [(settings.port, None)]
    if settings.tls is not None:
        ports.append((settings.tls.port, tls.create_context(settings.tls)))
    receiving = CStoreScp(())
    for port, context in ports:
        try:
            listener: Any = ae.make_server(
                (settings.host, port),
                ssl_context=context,
                evt_handlers=handlers,
                server_class=AssociationListener,
                associations=settings.associations,
                pdu_bytes=settings.pdu_bytes,
                report=lambda host, why: intake.report_rejected(
                    why, Source("", host), _classify_early_rejection(why)
                ),
            )
        except OSError as error:
            receiving.shutdown()
            raise ConfigurationError(
                f"cannot listen on {settings.host}:{port}: {error.strerror}; "
                f"set receiver.host and receiver.{'tls.' if context else ''}port"
            ) from None
        if settings.fast and context is None:
            fast_store.attach_fast_path(listener, intake, attempt_store, limit)
        listener.start()
        receiving = CStoreScp((*receiving.listeners, listener))
        log.info(
            "receiving",
            ae_title=settings.ae_title,
            host=settings.host,
            port=port,
            tls=context is not None,
        )
    return receiving


def end(receiving: CStoreScp) -> None:
    """Stop listening and end the associations that are open: their senders try again."""
    receiving.shutdown()
    for association in receiving.active_associations:
        association.abort()


def _build_application_entity(settings: ReceiverSettings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    for sop_class in list_storage_classes():
        ae.add_supported_context(sop_class, STORAGE_SYNTAXES)
    ae.add_supported_context(Verification)
    ae.maximum_pdu_size = settings.pdu_bytes
    ae.maximum_associations = sys.maxsize  # `Admission` counts
    ae.acse_timeout = settings.artim_s
    ae.network_timeout = settings.idle_s
    return ae


def _admit(
    event: evt.Event, admission: Admission, intake: Intake, settings: ReceiverSettings
) -> None:
    """Decide about an association; where that fails nobody is let in.

    pynetdicom would log the error, and accept.
    """
    try:
        _admit_or_reject(event.assoc, admission, intake, settings)
    except Exception:
        if not event.assoc.is_rejected:
            _reject(event.assoc, INTERNAL_ERROR)
            intake.metrics.count_rejection(RejectionReason.DEFECT)
        raise


def _admit_or_reject(
    association: Any, admission: Admission, intake: Intake, settings: ReceiverSettings
) -> None:
    """Let an association in, or reject it and make that visible with its reason."""
    request: Any = association.requestor.primitive
    connection = association.dul.socket.socket
    caller = CallingPeer(
        calling_ae=str(request.calling_ae_title).strip(),
        called_ae=str(request.called_ae_title).strip(),
        address=str(association.requestor.address),
        certificates=tls.read_certificate_names(connection),
    )

    def is_open() -> bool:
        return association.is_alive() and not (association.is_released or association.is_aborted)

    rejection = admission.enter(caller, is_open)
    if rejection is not None:
        _reject(association, rejection)
        source = Source(caller.calling_ae, caller.address)
        intake.report_rejected(rejection.why, source, METRIC_REASONS[rejection.reason])
    elif connection is not None:
        with suppress(OSError):  # it may go at this moment, and that is no defect
            connection.settimeout(settings.idle_s)


def _classify_early_rejection(why: str) -> RejectionReason:
    return RejectionReason.TLS if why.startswith("TLS: ") else RejectionReason.CONNECTIONS


def _reject(association: Any, rejection: Rejection) -> None:
    association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
    association.kill()  # returns when the answer has been sent


def _answer_c_store(event: evt.Event, intake: Intake, limit: InstanceLimit) -> int:
    """Answer a C-STORE request; anything unforeseen becomes pynetdicom's 0xC211."""
    status = fast_store.HANDLER_FAILED
    try:
        status = _store_instance(event, intake, limit)
    finally:
        if status != StoreStatus.SUCCESS:
            intake.metrics.count_refusal(f"0x{status:04X}")
    return status


def _store_instance(event: evt.Event, intake: Intake, limit: InstanceLimit) -> int:
    if limit.is_exceeded(event.assoc):
        intake.report_refused(limit.why, _read_source(event))
        return StoreStatus.TOO_LARGE
    return attempt_store(
        lambda: intake.accept(
            event.encoded_dataset(), _read_source(event), _read_announced_uid(event)
        )
    )


def _read_announced_uid(event: evt.Event) -> str:
    request: Any = event.request
    return str(request.AffectedSOPInstanceUID)


def _read_source(event: evt.Event) -> Source:
    requestor = event.assoc.requestor
    return Source(str(requestor.ae_title).strip(), str(requestor.address), id(event.assoc))


def _count_opened(event: evt.Event, intake: Intake) -> None:
    intake.associations.open(id(event.assoc))
    intake.metrics.count_association()


def _count_ended(event: evt.Event, intake: Intake) -> None:
    intake.associations.close(id(event.assoc))
