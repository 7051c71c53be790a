"""What a study will have, as its scanner or PACS announces it to us as SCP.

Modality Performed Procedure Step is PS3.4 F.7, Instance Availability Notification PS3.4 R.

Rule: we listen and are nobody's archive of steps. Of a step or notification its study and the UIDs
of its instances are kept, for they show when the study is here; Success is answered when they
stand in the ledger. Whatever else is said is neither kept nor judged, so that a scanner is not held
up for want of what we do not need.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
)

from triage.dimse.statuses import ProcedureStepStatus
from triage.domain.announcement import AnnouncementChange, Stage
from triage.domain.errors import LedgerUnavailable
from triage.domain.uid import is_uid
from triage.ports.announcements import Announcements

log = structlog.get_logger(__name__)

#: Of a series that was performed (PS3.3 C.4.15); of a notification's series (PS3.4 table R.3.2-1).
PERFORMED = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
NOTIFIED = ("ReferencedSOPSequence",)
UNAVAILABLE = "UNAVAILABLE"  #: Instance Availability (0008,0056)
SEVERAL_STUDIES = ""
MAY_NOT_BE_CHANGED = 0xA710  #: Error ID of PS3.4 table F.7.2-2

ProcedureStepResponse = tuple[int | Dataset, None]


def add_announcement_services(
    ae: AE, announcements: Announcements
) -> list[tuple[evt.EventType, object, list[Any]]]:
    """Offer both services; return the handlers that they need."""
    ae.add_supported_context(ModalityPerformedProcedureStep)
    ae.add_supported_context(InstanceAvailabilityNotification)
    return [
        (evt.EVT_N_CREATE, _answer_n_create, [announcements]),
        (evt.EVT_N_SET, _answer_n_set, [announcements]),
    ]


def _answer_n_create(event: evt.Event, announcements: Announcements) -> ProcedureStepResponse:
    """Answer an N-CREATE: a step begins, or instances are available."""
    request: Any = event.request
    is_step = event.context.abstract_syntax == ModalityPerformedProcedureStep
    try:
        uid = _require_uid(request.AffectedSOPInstanceUID)
        said = event.attribute_list
        study_uid, stage, uids = _read_step(said) if is_step else _read_notification(said)
        is_new = announcements.add(uid, study_uid, stage, uids)
    except AttributeError:
        return ProcedureStepStatus.MISSING_ATTRIBUTE, None
    except ValueError:
        return ProcedureStepStatus.INVALID_VALUE, None
    except LedgerUnavailable as error:
        return _report_ledger_unavailable(error), None
    if not is_new:
        return ProcedureStepStatus.DUPLICATE_INSTANCE, None
    log.info("announced", study_uid=study_uid, stage=str(stage), instances=len(uids))
    return ProcedureStepStatus.SUCCESS, None


def _answer_n_set(event: evt.Event, announcements: Announcements) -> ProcedureStepResponse:
    """Answer an N-SET: a step goes on or ends. What it says of its series replaces what it said."""
    request: Any = event.request
    said = event.modification_list
    status, series = said.get("PerformedProcedureStepStatus"), said.get("PerformedSeriesSequence")
    try:
        stage = None if status is None else Stage(status)
        uids = None if series is None else list(_list_references(series, PERFORMED))
        changed = announcements.change(_require_uid(request.RequestedSOPInstanceUID), stage, uids)
    except AttributeError:
        return ProcedureStepStatus.MISSING_ATTRIBUTE, None
    except ValueError:
        return ProcedureStepStatus.INVALID_VALUE, None
    except LedgerUnavailable as error:
        return _report_ledger_unavailable(error), None
    if changed is AnnouncementChange.FINAL:
        return _no_longer_changeable(), None
    if changed is AnnouncementChange.UNKNOWN:
        return ProcedureStepStatus.NO_SUCH_INSTANCE, None
    log.info("announced", stage=str(stage), instances=len(uids or ()))
    return ProcedureStepStatus.SUCCESS, None


def _read_step(said: Dataset) -> tuple[str, Stage, list[str]]:
    """Return study, stage and instances of a step that begins (PS3.4 table F.7.2-1)."""
    stage = Stage(said.PerformedProcedureStepStatus)
    if stage is not Stage.IN_PROGRESS:
        raise ValueError("a step begins in progress")
    studies = {_require_uid(each.StudyInstanceUID) for each in said.ScheduledStepAttributesSequence}
    if not studies:
        raise ValueError("a step of no study")
    # Which image of several studies' common step is in which of them, it does not say.
    study_uid = studies.pop() if len(studies) == 1 else SEVERAL_STUDIES
    return (
        study_uid,
        stage,
        list(_list_references(said.get("PerformedSeriesSequence") or (), PERFORMED)),
    )


def _read_notification(said: Dataset) -> tuple[str, Stage, list[str]]:
    """Return study, stage and instances of a notification (PS3.4 table R.3.2-1)."""
    uids = list(_list_references(said.ReferencedSeriesSequence, NOTIFIED))
    return _require_uid(said.StudyInstanceUID), Stage.COMPLETED, uids


def _list_references(series: Iterable[Dataset], keywords: Iterable[str]) -> Iterator[str]:
    """Yield the SOP Instance UIDs that series refer to."""
    for keyword in keywords:
        for each in series:
            for reference in each.get(keyword) or ():
                if reference.get("InstanceAvailability") != UNAVAILABLE:
                    yield _require_uid(reference.ReferencedSOPInstanceUID)


def _require_uid(value: object) -> str:
    if not is_uid(str(value)):
        raise ValueError("that is no UID")
    return str(value)


def _report_ledger_unavailable(error: LedgerUnavailable) -> int:
    log.error("announcement not taken", error=str(error))
    return ProcedureStepStatus.RESOURCE_LIMITATION


def _no_longer_changeable() -> Dataset:
    """Return the status of a change that comes too late."""
    status = Dataset()
    status.Status = ProcedureStepStatus.PROCESSING_FAILURE
    status.ErrorComment = "Performed Procedure Step Object may no longer be updated"
    status.ErrorID = MAY_NOT_BE_CHANGED
    return status
