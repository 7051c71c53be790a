"""Answer an N-EVENT-REPORT of the Storage Commitment Push Model, as SCU (PS3.4 J.3.3).

The report may come on the association of the request or on one that the archive opens. It is
answered with Success after the ledger has recorded it.
"""

from collections.abc import Callable
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from triage.dicom.unreadable import drop_unreadable
from triage.dimse.message_data_sets import refuse_oversized_message
from triage.dimse.statuses import EventReportStatus
from triage.domain.commitment import CommitmentReport, Reference
from triage.domain.errors import DamagedInstance, LedgerUnavailable

log = structlog.get_logger(__name__)

#: Elements of requests and reports that are read.
NEEDED = (
    *("TransactionUID", "ReferencedSOPSequence", "FailedSOPSequence", "FailureReason"),
    *("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
)
ALL_COMMITTED, SOME_FAILED = 1, 2  #: Event Type ID (PS3.4 table J.3-2)


def answer_event_report(
    event: evt.Event, record: Callable[[CommitmentReport], bool]
) -> tuple[int, None]:
    """Return the status of the response; `record` returns False for an unknown transaction."""
    request: Any = event.request
    if request.AffectedSOPInstanceUID != StorageCommitmentPushModelInstance:
        return EventReportStatus.NO_SUCH_INSTANCE, None
    if request.EventTypeID not in {ALL_COMMITTED, SOME_FAILED}:
        return EventReportStatus.NO_SUCH_EVENT, None
    try:
        refuse_oversized_message(event)
        report = _read_report(event.event_information)
    except (AttributeError, ValueError, TypeError, DamagedInstance):  # missing, or unreadable
        return EventReportStatus.INVALID_ARGUMENT, None
    try:
        is_known = record(report)
    except LedgerUnavailable as error:
        log.error("commitment report not recorded", error=str(error))  # noqa: TRY400 - no trace needed
        return EventReportStatus.RESOURCE_LIMITATION, None
    return EventReportStatus.SUCCESS if is_known else EventReportStatus.INVALID_ARGUMENT, None


def _read_report(information: Dataset) -> CommitmentReport:
    """Return the report in an Event Information (PS3.4 table J.3-2)."""
    drop_unreadable(information, NEEDED)
    if not information.TransactionUID:
        raise ValueError("no Transaction UID")
    return CommitmentReport(
        str(information.TransactionUID),
        tuple(_read_reference(item) for item in information.get("ReferencedSOPSequence") or ()),
        tuple(
            (_read_reference(item), int(item.FailureReason))
            for item in information.get("FailedSOPSequence") or ()
        ),
    )


def _read_reference(item: Dataset) -> Reference:
    return Reference(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
