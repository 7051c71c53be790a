"""Storage SCP and Verification SCP (PS3.4 annexes A and B).

The response is Success only after `Intake.accept` has returned, which means that the instance is
durable. All storage SOP classes are accepted in every transfer syntax, without decoding: every
instance that a PACS sends is kept, and a study that is not for this worker is declined later, with
a reason.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext, SSLSocket
from typing import Any, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from receivers import tls
from receivers.c_store import fast_store
from receivers.c_store.admission import INTERNAL_ERROR, Admission, CallingPeer, Rejection
from receivers.c_store.announcements import add_announcement_services
from receivers.c_store.commitment_scp import CommitmentService
from receivers.c_store.commitment_scu import add_commitment_scu
from receivers.c_store.guard import InstanceLimit
from receivers.c_store.listener import AssociationListener
from receivers.networks import is_named
from triage.config import ListeningAddress, ReceiverSettings
from triage.config.listening import c_store_address, c_store_tls_address
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.pynetdicom_internals import has_request
from triage.dimse.statuses import StoreStatus
from triage.dimse.storage_classes import AcceptedClasses
from triage.dimse.store_response import attempt_store
from triage.dimse.transfer_syntaxes import STORAGE_SYNTAXES
from triage.dimse.unlisted_classes import SERVE_UNLISTED, offer_classes
from triage.domain.errors import ConfigurationError
from triage.domain.incident import RejectionReason
from triage.domain.instance import Source
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.ports.announcements import Announcements

#: By the reason of an A-ASSOCIATE-RJ from `admission` (PS3.8 table 9-21).
METRIC_REASONS = {2: RejectionReason.LIMIT, 3: RejectionReason.CALLING, 7: RejectionReason.CALLED}

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CStoreScp:
    """A running receiver with one listener for each port."""

    listeners: tuple[AssociationListener, ...]
    commitment: CommitmentService | None = None

    def is_alive(self) -> bool:
        """Return whether every listener runs."""
        return all(listener.is_alive() for listener in self.listeners)

    def shutdown(self) -> None:
        """Stop listening; open associations continue."""
        for listener in self.listeners:
            listener.shutdown()

    def end(self) -> None:
        """Stop listening and abort the open associations; their senders retry."""
        self.shutdown()
        for association in self.active_associations:
            association.abort()
        if self.commitment is not None:
            self.commitment.end()

    @property
    def active_associations(self) -> list[Association]:
        """The open associations of all ports."""
        return [
            association
            for listener in self.listeners
            for association in listener.active_associations
        ]


def start(
    intake: Intake,
    settings: ReceiverSettings,
    commitment_scp: CommitmentScp | None = None,
    announcements: Announcements | None = None,
    commitment_scu: CommitmentScu | None = None,
) -> CStoreScp:
    """Start to listen in threads; raise ConfigurationError if a port or a file is unusable."""
    ae = _build_application_entity(settings)
    limit = InstanceLimit(settings.instance_bytes, intake.memory)
    handlers: list[Any] = _build_handlers(intake, settings, limit)
    commitment = CommitmentService(commitment_scp) if commitment_scp is not None else None
    if commitment is not None:
        handlers += commitment.add_to(ae)
    if commitment_scu is not None:
        handlers += add_commitment_scu(ae, commitment_scu)
    if announcements is not None:
        handlers += add_announcement_services(ae, announcements)
    make_server = _prepare_server(ae, handlers, settings, intake)
    running = CStoreScp((), commitment)
    try:
        for address, context in _list_ports(settings):
            listener = _open_listener(make_server, settings, address, context)
            if settings.fast:
                fast_store.attach_fast_path(listener, intake, attempt_store, limit)
            listener.start()
            running = CStoreScp((*running.listeners, listener), commitment)
    except ConfigurationError:
        running.shutdown()
        raise
    return running


def _list_ports(
    settings: ReceiverSettings,
) -> list[tuple[ListeningAddress, SSLContext | None]]:
    plain = c_store_address(settings)
    ports: list[tuple[ListeningAddress, SSLContext | None]] = []
    if plain is not None:
        ports.append((plain, None))
    secure = c_store_tls_address(settings)
    if settings.tls is not None and secure is not None:
        ports.append((secure, tls.create_context(settings.tls)))
    return ports


def _build_application_entity(settings: ReceiverSettings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    for sop_class in AcceptedClasses.of(settings):
        ae.add_supported_context(sop_class, STORAGE_SYNTAXES)
    ae.add_supported_context(Verification)
    ae.maximum_pdu_size = settings.pdu_bytes
    ae.maximum_associations = sys.maxsize  # `Admission` limits the number
    ae.acse_timeout = settings.artim_s
    ae.network_timeout = settings.idle_s
    return ae


def _build_handlers(intake: Intake, settings: ReceiverSettings, limit: InstanceLimit) -> list[Any]:
    return [
        (evt.EVT_REQUESTED, _answer_association_request, [Admission(settings), intake, settings]),
        (evt.EVT_PDU_RECV, limit.count),
        (evt.EVT_C_STORE, _answer_c_store, [intake, limit]),
        CONNECTION_SETUP,
        SERVE_UNLISTED,
        (evt.EVT_ACCEPTED, _count_opened, [intake]),
        (evt.EVT_CONN_CLOSE, _count_ended, [intake, limit]),
    ]


def _prepare_server(
    ae: AE, handlers: list[Any], settings: ReceiverSettings, intake: Intake
) -> Callable[..., Any]:
    """Return `ae.make_server` with the arguments that are the same for every port."""
    networks = [network for peer in settings.peers.values() for network in peer.addresses]
    return partial(
        ae.make_server,
        evt_handlers=handlers,
        server_class=AssociationListener,
        associations=settings.associations,
        pdu_bytes=settings.pdu_bytes,
        report=intake.report_rejected,
        is_known=partial(is_named, networks=networks),
    )


def _open_listener(
    make_server: Callable[..., Any],
    settings: ReceiverSettings,
    address: ListeningAddress,
    context: SSLContext | None,
) -> AssociationListener:
    host, port, is_tls = address.host, address.port, context is not None
    try:
        listener = make_server((host, port), ssl_context=context)
    except OSError as error:
        raise address.explain(error) from None
    log.info("receiving", ae_title=settings.ae_title, host=host, port=port, tls=is_tls)
    return cast(AssociationListener, listener)


def _answer_association_request(
    event: evt.Event, admission: Admission, intake: Intake, settings: ReceiverSettings
) -> None:
    """Admit or reject an association; if that fails, reject it.

    pynetdicom would log the exception and accept the association.
    """
    if not has_request(event.assoc):
        return  # the connection ended before
    try:
        _admit_or_reject(event.assoc, admission, intake, settings)
    except Exception:  # any defect must end in a rejection
        if not event.assoc.is_rejected:
            _reject(event.assoc, INTERNAL_ERROR)
            peer = Source("", str(event.assoc.requestor.address))
            intake.report_rejected(INTERNAL_ERROR.why, peer, RejectionReason.DEFECT)
        raise


def _admit_or_reject(
    association: Any, admission: Admission, intake: Intake, settings: ReceiverSettings
) -> None:
    """Admit an association, or reject it and report the rejection."""
    request: Any = association.requestor.primitive
    connection = association.dul.socket.socket
    caller = CallingPeer(
        calling_ae=str(request.calling_ae_title).strip(),
        called_ae=str(request.called_ae_title).strip(),
        address=str(association.requestor.address),
        certificates=tls.read_certificate_names(connection),
        is_tls=isinstance(connection, SSLSocket),
    )

    def is_open() -> bool:
        return association.is_alive() and not (association.is_released or association.is_aborted)

    rejection = admission.admit(caller, is_open)
    if rejection is not None:
        _reject(association, rejection)
        source = Source(caller.calling_ae, caller.address)
        intake.report_rejected(rejection.why, source, METRIC_REASONS[rejection.reason])
        return
    offer_classes(association, AcceptedClasses.of(settings))
    if connection is not None:
        with suppress(OSError):  # the peer may close the connection at this moment
            connection.settimeout(settings.idle_s)


def _reject(association: Any, rejection: Rejection) -> None:
    association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
    association.kill()  # returns when the A-ASSOCIATE-RJ has been sent


def _answer_c_store(event: evt.Event, intake: Intake, limit: InstanceLimit) -> int:
    """Store an instance and return its status; pynetdicom turns an exception into 0xC211."""
    status = fast_store.HANDLER_FAILED
    try:
        status = _store_instance(event, intake, limit)
    finally:
        limit.release(event.assoc)
        if status != StoreStatus.SUCCESS:
            intake.metrics.count_refusal(f"0x{status:04X}")
    return status


def _store_instance(event: evt.Event, intake: Intake, limit: InstanceLimit) -> int:
    request: Any = event.request
    requestor = event.assoc.requestor
    source = Source(str(requestor.ae_title).strip(), str(requestor.address), id(event.assoc))
    if limit.is_exceeded(event.assoc):
        intake.report_refused(limit.why, source)
        return StoreStatus.TOO_LARGE
    if limit.lacks_memory(event.assoc):
        intake.report_refused(intake.memory.why, source)
        return StoreStatus.OUT_OF_RESOURCES
    announced_uid = str(request.AffectedSOPInstanceUID)
    return attempt_store(lambda: intake.accept(event.encoded_dataset(), source, announced_uid))


def _count_opened(event: evt.Event, intake: Intake) -> None:
    intake.associations.open(id(event.assoc))
    intake.metrics.count_association()


def _count_ended(event: evt.Event, intake: Intake, limit: InstanceLimit) -> None:
    limit.release(event.assoc)
    intake.associations.close(id(event.assoc))
