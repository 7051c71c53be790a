"""A PACS that is asked for storage commitment (PS3.4 annex J); this program is SCU.

After it has accepted a request, the PACS reports on the association of the request if it does so at
once, otherwise on one that it opens to our receiver. A report is recorded before its
acknowledgement.
"""

import time
from collections.abc import Callable, Sequence
from threading import Event

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from triage.destinations.dicom_store import DicomDestination, DicomDestinationSettings
from triage.dimse.commitment_reports import answer_event_report
from triage.dimse.statuses import ActionStatus
from triage.domain.commitment import CommitmentReport
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import DeliveryFailed
from triage.domain.instance import Source

REQUEST_COMMITMENT = 1  #: Action Type ID (PS3.4 table J.3-1)
AT_ONCE_S = 1.0  #: time that the association of a request stays open for the report
POLL_S = 0.02  #: pause between two checks of this association


class CommittingDicomDestination(DicomDestination):
    """Requests storage commitment after C-STORE; implements `CommittingDestination`."""

    services = (StorageCommitmentPushModel,)

    def __init__(self, calling_ae: str, settings: DicomDestinationSettings) -> None:
        super().__init__(calling_ae, settings)
        self.within_s = settings.commitment_within_s

    def request_commitment(
        self,
        transaction_uid: str,
        product: Product,
        take: Callable[[CommitmentReport, Source], bool],
    ) -> Acknowledgement:
        """Request commitment (N-ACTION); pass a report that arrives at once to `take`."""
        received, acknowledged = Event(), Event()
        source = Source(self.settings.ae_title, self.settings.host)

        def receive_report(event: evt.Event) -> tuple[int, None]:
            try:
                return answer_event_report(event, lambda report: take(report, source))
            finally:
                received.set()

        def note_sent_pdu(_event: evt.Event) -> None:
            if received.is_set():  # this PDU acknowledges the report; release only after it
                acknowledged.set()

        handlers = [(evt.EVT_N_EVENT_REPORT, receive_report), (evt.EVT_PDU_SENT, note_sent_pdu)]
        with self.associated(StorageCommitmentPushModel, handlers=handlers) as association:
            self._request(association, _action_information(transaction_uid, product))
            _wait(association, acknowledged)
        return Acknowledgement("its storage commitment report is awaited")

    def _describe_unaccepted(self, proposed: Sequence[str]) -> str:
        if StorageCommitmentPushModel not in proposed:
            return super()._describe_unaccepted(proposed)
        return (
            f"{self.peer} accepts no Storage Commitment: enable it there, or set commitment: false"
        )

    def _request(self, association: Association, information: Dataset) -> None:
        response, _ = association.send_n_action(
            information,
            REQUEST_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        status = response.get("Status")
        if status is None:
            raise DeliveryFailed(f"{self.peer} did not answer the request for commitment")
        if status != ActionStatus.SUCCESS:
            raise DeliveryFailed(
                f"{self.peer} answered the request for commitment with 0x{status:04X}"
            )


def _action_information(transaction_uid: str, product: Product) -> Dataset:
    """Return the Action Information (PS3.4 table J.3-1)."""
    item = Dataset()
    item.ReferencedSOPClassUID = product.sop_class_uid
    item.ReferencedSOPInstanceUID = product.sop_instance_uid
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = [item]
    return information


def _wait(association: Association, acknowledged: Event) -> None:
    """Keep the association open until a report is acknowledged, at most AT_ONCE_S."""
    deadline = time.monotonic() + AT_ONCE_S
    while association.is_established and not acknowledged.is_set() and time.monotonic() < deadline:
        acknowledged.wait(POLL_S)
