"""A PACS that is asked for storage commitment (PS3.4 annex J), as SCU.

Rule: a question that it has taken is answered later: on the association that asked, if it does so
at once, else on one that it opens to our receiver. What it says is taken before it is acknowledged.
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

from triage.config import DicomDestination
from triage.destinations.dicom import DicomStore
from triage.dimse.commitment_reports import answer_event_report
from triage.dimse.statuses import ActionStatus
from triage.domain.commitment import CommitmentReport
from triage.domain.delivery import Acknowledgement, Product
from triage.domain.errors import DeliveryFailed
from triage.domain.instance import Source

REQUEST_COMMITMENT = 1  #: Action Type ID (PS3.4 table J.3-1)
#: How long the association that asked is left open for the report; seconds.
AT_ONCE_S = 1.0
LOOK_S = 0.02


def opened(calling_ae: str, settings: DicomDestination) -> DicomStore:
    """Return a PACS, that is asked for its word where the settings say so."""
    return (CommittingStore if settings.commitment else DicomStore)(calling_ae, settings)


class CommittingStore(DicomStore):
    """See `ports.Committing`."""

    def __init__(self, calling_ae: str, settings: DicomDestination) -> None:
        super().__init__(calling_ae, settings)
        self.within_s = settings.commitment_within_s

    def request_commitment(
        self,
        transaction_uid: str,
        product: Product,
        take: Callable[[CommitmentReport, Source], bool],
    ) -> Acknowledgement:
        """Ask for its word; what it says at once is taken."""
        heard, told = Event(), Event()
        source = Source(self.settings.ae_title, self.settings.host)

        def hear(event: evt.Event) -> tuple[int, None]:
            try:
                return answer_event_report(event, lambda report: take(report, source))
            finally:
                heard.set()

        def sent(_event: evt.Event) -> None:
            if heard.is_set():  # so this was the answer, which a release must not overtake
                told.set()

        handlers = [(evt.EVT_N_EVENT_REPORT, hear), (evt.EVT_PDU_SENT, sent)]
        with self.associated(StorageCommitmentPushModel, handlers=handlers) as association:
            self._asked(association, _information(transaction_uid, product))
            _wait(association, told)
        return Acknowledgement("its word that it keeps it is waited for")

    def _unaccepted(self, proposed: Sequence[str]) -> str:
        if StorageCommitmentPushModel not in proposed:
            return super()._unaccepted(proposed)
        return (
            f"{self.peer} accepts no Storage Commitment: set commitment: false or have it accept "
            "that"
        )

    def _asked(self, association: Association, information: Dataset) -> None:
        response, _ = association.send_n_action(
            information,
            REQUEST_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        status = response.get("Status")
        if status != ActionStatus.SUCCESS:
            said = "not at all" if status is None else f"with 0x{status:04X}"
            raise DeliveryFailed(f"{self.peer} answered the request for commitment {said}")


def _information(transaction_uid: str, product: Product) -> Dataset:
    """Return the Action Information (PS3.4 table J.3-1)."""
    item = Dataset()
    item.ReferencedSOPClassUID = product.sop_class_uid
    item.ReferencedSOPInstanceUID = product.sop_instance_uid
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = [item]
    return asked


def _wait(association: Association, told: Event) -> None:
    """Leave the association open for a report, for a while or until one has come."""
    deadline = time.monotonic() + AT_ONCE_S
    while association.is_established and not told.is_set() and time.monotonic() < deadline:
        told.wait(LOOK_S)
