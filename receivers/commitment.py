"""Storage Commitment Push Model SCP (PS3.4 annex J).

Rule: an N-ACTION is answered when the request stands in the ledger. The report goes out on the
association that brought the request if that is idle and open, else on a new one to the
requestor's configured address, with the SCP role proposed (PS3.7 D.3.3.4). What was not
acknowledged stays owed.
"""

import time
from functools import partial
from threading import Lock, Thread
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from triage.config import CommitmentRequestor
from triage.dimse.association import AssociationFailed, RemoteEntity, open_association
from triage.dimse.pynetdicom_internals import (
    has_unread_message,
    is_reader_paused,
    pause_reader,
    resume_reader,
)
from triage.dimse.statuses import ActionStatus
from triage.domain.commitment import Commitment, CommitmentReport, Reference
from triage.domain.errors import DeliveryFailed, LedgerUnavailable, SpoolUnavailable
from triage.pipeline.storage_commitment_scp import CommitmentScp

log = structlog.get_logger(__name__)

REQUEST_COMMITMENT = 1  #: Action Type ID (PS3.4 table J.3-1)
ALL_COMMITTED, SOME_FAILED = 1, 2  #: Event Type ID (PS3.4 table J.3-2)
#: The requestor may release, or go on sending, before it is told on the same association; seconds.
DELAY_S = 0.5
PAUSE_S = 5.0
_reporting: WeakKeyDictionary[Association, Lock] = WeakKeyDictionary()


def add_commitment_scp(
    ae: AE, committer: CommitmentScp
) -> list[tuple[evt.EventType, object, list[CommitmentScp]]]:
    """Offer storage commitment; return the handlers that it needs."""
    ae.add_supported_context(StorageCommitmentPushModel)
    return [(evt.EVT_N_ACTION, _answer_n_action, [committer])]


def _answer_n_action(event: evt.Event, committer: CommitmentScp) -> tuple[int, None]:
    """Answer an N-ACTION request."""
    request: Any = event.request
    if request.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
        return ActionStatus.NO_SUCH_INSTANCE, None
    if event.action_type != REQUEST_COMMITMENT:
        return ActionStatus.NO_SUCH_ACTION, None
    requestor = str(event.assoc.requestor.ae_title).strip()
    try:
        transaction_uid, references = _read_request(event)
        commitment = committer.accept_request(requestor, transaction_uid, references)
    except (AttributeError, ValueError):  # an element is missing, or no data set came at all
        return ActionStatus.INVALID_ARGUMENT, None
    except LedgerUnavailable as error:
        log.error("commitment not taken", error=str(error))  # noqa: TRY400 - no trace needed
        return ActionStatus.RESOURCE_LIMITATION, None
    Thread(
        target=_report_after_request, args=(event.assoc, commitment, committer), daemon=True
    ).start()
    return ActionStatus.SUCCESS, None


def _read_request(event: evt.Event) -> tuple[str, list[Reference]]:
    asked = event.action_information
    references = [
        Reference(str(each.ReferencedSOPClassUID), str(each.ReferencedSOPInstanceUID))
        for each in asked.ReferencedSOPSequence
    ]
    if not references or not asked.TransactionUID:
        raise ValueError("nothing is asked about")
    return str(asked.TransactionUID), list(dict.fromkeys(references))


def _report_after_request(
    association: Association, commitment: Commitment, committer: CommitmentScp
) -> None:
    """Report on the association of the request; where that fails, a new one is due at once."""
    time.sleep(DELAY_S)
    with _reporting.setdefault(association, Lock()):  # of several requests, one report at a time
        try:
            committer.report(commitment, partial(_send_on_association, association))
        except (LedgerUnavailable, SpoolUnavailable) as error:  # it is still owed
            log.warning("commitment waits", why=str(error))


def _send_on_association(association: Association, report: CommitmentReport) -> None:
    try:
        if not _pause_reader(association):
            raise DeliveryFailed("the association of the request ended, or is in use")
        _send_event_report(association, report)
    finally:
        resume_reader(association)


def _pause_reader(association: Association) -> bool:
    """Hold the association's own reading, so that the answer comes to us; False where that fails.

    `send_n_event_report` does so too, but waits for ever where the association ends meanwhile.
    """
    deadline = time.monotonic() + PAUSE_S
    pause_reader(association)
    while association.is_established and time.monotonic() < deadline:
        if is_reader_paused(association):
            return not has_unread_message(association) and association.is_established
        time.sleep(0.001)
    return False


class CommitmentReporter:
    """Somebody who asks for commitment and can be called."""

    def __init__(self, our_ae: str, settings: CommitmentRequestor) -> None:
        self._peer = RemoteEntity(
            settings.host, settings.port, settings.calling, our_ae, settings.timeout_s
        )

    def __call__(self, report: CommitmentReport) -> None:
        """Send a report on a new association; raise DeliveryFailed unless it is acknowledged."""
        model = StorageCommitmentPushModel
        try:
            with open_association(self._peer, [(model, [])], scp_roles=[model]) as association:
                _send_event_report(association, report)
        except AssociationFailed as error:
            raise DeliveryFailed(str(error)) from None


def _send_event_report(association: Association, report: CommitmentReport) -> None:
    try:
        response, _ = association.send_n_event_report(
            _build_event_information(report),
            SOME_FAILED if report.failed else ALL_COMMITTED,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
    except (RuntimeError, ValueError) as error:  # it ended meanwhile; it did not accept the class
        raise DeliveryFailed(str(error)) from None
    status = response.get("Status")
    if status != ActionStatus.SUCCESS:
        said = "not at all" if status is None else f"with 0x{status:04X}"
        raise DeliveryFailed(f"N-EVENT-REPORT was answered {said}")


def _build_event_information(report: CommitmentReport) -> Dataset:
    """Return the Event Information (PS3.4 table J.3-2)."""
    told = Dataset()
    told.TransactionUID = report.transaction_uid
    if report.committed:
        told.ReferencedSOPSequence = [_build_reference_item(each) for each in report.committed]
    if report.failed:
        told.FailedSOPSequence = [_build_reference_item(each) for each, _ in report.failed]
        for item, (_, why) in zip(told.FailedSOPSequence, report.failed, strict=True):
            item.FailureReason = int(why)
    return told


def _build_reference_item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
