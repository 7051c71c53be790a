"""Storage Commitment Push Model SCP (PS3.4 annex J).

An N-ACTION is answered after the ledger has recorded the request. The report is sent on the
association of the request if that is open and idle. Otherwise it is sent on a new association to
the requestor's configured address, with the SCP role proposed (PS3.7 D.3.3.4). A report without
acknowledgement stays due.
"""

import time
from functools import partial
from threading import Event, Lock, Thread, current_thread
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
from triage.dicom.unreadable import drop_unreadable
from triage.dimse.association import AssociationFailed, RemoteEntity, open_association
from triage.dimse.commitment_reports import ALL_COMMITTED, NEEDED, SOME_FAILED
from triage.dimse.message_data_sets import refuse_oversized_message
from triage.dimse.pynetdicom_internals import (
    has_unread_message,
    is_reader_paused,
    pause_reader,
    resume_reader,
)
from triage.dimse.statuses import ActionStatus
from triage.domain.commitment import Commitment, CommitmentReport, Reference
from triage.domain.errors import (
    DamagedInstance,
    DeliveryFailed,
    LedgerUnavailable,
    SpoolUnavailable,
)
from triage.pipeline.storage_commitment_scp import CommitmentScp

log = structlog.get_logger(__name__)

REQUEST_COMMITMENT = 1  #: Action Type ID (PS3.4 table J.3-1)
#: Seconds in which the requestor may release the association or send more before the report.
DELAY_S = 0.5
PAUSE_S = 5.0  #: the longest wait for the reader thread of an association
END_S = 10.0  #: the longest wait for a report that is being sent when the receiver ends


class CommitmentService:
    """Answers N-ACTION requests, and sends each report in a thread of its own."""

    def __init__(self, scp: CommitmentScp) -> None:
        self._scp = scp
        self._ending = Event()
        self._threads: set[Thread] = set()
        #: One report at a time is sent on an association.
        self._locks: WeakKeyDictionary[Association, Lock] = WeakKeyDictionary()

    def add_to(self, ae: AE) -> list[tuple[evt.EventType, object]]:
        """Add the SOP class to an application entity; return the event handlers to bind."""
        ae.add_supported_context(StorageCommitmentPushModel)
        return [(evt.EVT_N_ACTION, self._answer_n_action)]

    def end(self) -> None:
        """Wait for the threads; the associations of the requests are closed before."""
        self._ending.set()
        for thread in list(self._threads):
            thread.join(END_S)

    def _answer_n_action(self, event: evt.Event) -> tuple[int, None]:
        request: Any = event.request
        if request.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
            return ActionStatus.NO_SUCH_INSTANCE, None
        if event.action_type != REQUEST_COMMITMENT:
            return ActionStatus.NO_SUCH_ACTION, None
        requestor = str(event.assoc.requestor.ae_title).strip()
        try:
            transaction_uid, references = _read_request(event)
            commitment = self._scp.accept_request(requestor, transaction_uid, references)
        except (AttributeError, ValueError, DamagedInstance):  # missing, or it cannot be read
            return ActionStatus.INVALID_ARGUMENT, None
        except LedgerUnavailable as error:
            log.error("commitment request not recorded", error=str(error))  # noqa: TRY400 - no trace needed
            return ActionStatus.RESOURCE_LIMITATION, None
        thread = Thread(target=self._report, args=(event.assoc, commitment), daemon=True)
        self._threads.add(thread)
        thread.start()
        return ActionStatus.SUCCESS, None

    def _report(self, association: Association, commitment: Commitment) -> None:
        """Report on the association of the request; if that fails, a new one is due at once."""
        self._ending.wait(DELAY_S)
        try:
            with self._locks.setdefault(association, Lock()):
                self._scp.report(commitment, partial(_send_on_association, association))
        except (LedgerUnavailable, SpoolUnavailable) as error:  # the report stays due
            log.warning("commitment report postponed", why=str(error))
        finally:
            self._threads.discard(current_thread())


def _read_request(event: evt.Event) -> tuple[str, list[Reference]]:
    """Return Transaction UID and references of an N-ACTION (PS3.4 table J.3-1)."""
    refuse_oversized_message(event)
    information = event.action_information
    drop_unreadable(information, NEEDED)
    references = [
        Reference(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for item in information.ReferencedSOPSequence
    ]
    if not references or not information.TransactionUID:
        raise ValueError("the request names no instance or no Transaction UID")
    return str(information.TransactionUID), list(dict.fromkeys(references))


def _send_on_association(association: Association, report: CommitmentReport) -> None:
    try:
        if not _pause_reader(association):
            raise DeliveryFailed("the association of the request ended, or is in use")
        _send_event_report(association, report)
    finally:
        resume_reader(association)


def _pause_reader(association: Association) -> bool:
    """Pause the association's reader thread, so that this thread gets the response.

    Returns False if that fails. `send_n_event_report` pauses it too, but waits for ever if the
    association ends meanwhile.
    """
    deadline = time.monotonic() + PAUSE_S
    pause_reader(association)
    while association.is_established and time.monotonic() < deadline:
        if is_reader_paused(association):
            return not has_unread_message(association) and association.is_established
        time.sleep(0.001)
    return False


class CommitmentReporter:
    """Sends reports to a requestor on new associations."""

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
    except (RuntimeError, ValueError) as error:  # it ended meanwhile, or did not accept the class
        raise DeliveryFailed(str(error)) from None
    status = response.get("Status")
    if status is None:
        raise DeliveryFailed("N-EVENT-REPORT was not answered")
    if status != ActionStatus.SUCCESS:
        raise DeliveryFailed(f"N-EVENT-REPORT was answered with 0x{status:04X}")


def _build_event_information(report: CommitmentReport) -> Dataset:
    """Return the Event Information (PS3.4 table J.3-2)."""
    information = Dataset()
    information.TransactionUID = report.transaction_uid
    if report.committed:
        information.ReferencedSOPSequence = [
            _build_reference_item(reference) for reference in report.committed
        ]
    if report.failed:
        information.FailedSOPSequence = [_build_failed_item(*entry) for entry in report.failed]
    return information


def _build_failed_item(reference: Reference, reason: int) -> Dataset:
    item = _build_reference_item(reference)
    item.FailureReason = int(reason)
    return item


def _build_reference_item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
