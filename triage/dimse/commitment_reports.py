"""N-EVENT-REPORT of the Storage Commitment Push Model, as SCU (PS3.4 J.3.3).

Rule: it is answered with Success when what it says stands in the ledger, so never before. It may
come on the association that asked, or on one that the archive has opened.
"""

from collections.abc import Callable
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from triage.dimse.statuses import EventReportStatus
from triage.domain.commitment import CommitmentReport, Reference
from triage.domain.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

ALL_KEPT, SOME_FAILED = 1, 2  #: Event Type ID (PS3.4 table J.3-2)


def answered(event: evt.Event, take: Callable[[CommitmentReport], bool]) -> tuple[int, None]:
    """Return what a report is answered with; `take` tells whether it was asked for."""
    request: Any = event.request
    if request.AffectedSOPInstanceUID != StorageCommitmentPushModelInstance:
        return EventReportStatus.NO_SUCH_INSTANCE, None
    if request.EventTypeID not in {ALL_KEPT, SOME_FAILED}:
        return EventReportStatus.NO_SUCH_EVENT, None
    try:
        report = _report(event.event_information)
    except (AttributeError, ValueError, TypeError):  # an element is missing, or no data set came
        return EventReportStatus.INVALID_ARGUMENT, None
    try:
        return (
            EventReportStatus.SUCCESS if take(report) else EventReportStatus.INVALID_ARGUMENT
        ), None
    except LedgerUnavailable as error:
        log.error("report not taken", error=str(error))  # noqa: TRY400 - no trace needed
        return EventReportStatus.RESOURCE_LIMITATION, None


def _report(told: Dataset) -> CommitmentReport:
    """Return what an Event Information says (PS3.4 table J.3-2)."""
    if not told.TransactionUID:
        raise ValueError("no Transaction UID")
    return CommitmentReport(
        str(told.TransactionUID),
        tuple(_reference(item) for item in told.get("ReferencedSOPSequence") or ()),
        tuple(
            (_reference(item), int(item.FailureReason))
            for item in told.get("FailedSOPSequence") or ()
        ),
    )


def _reference(item: Dataset) -> Reference:
    return Reference(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
