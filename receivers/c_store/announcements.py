"""Record which instances a study will have, as announced by a scanner or PACS; we are SCP.

Modality Performed Procedure Step (PS3.4 annex F.7) and Instance Availability Notification (PS3.4
annex R). The study and the UIDs of its instances are recorded; they show when a study is complete.
Success is returned after the ledger has recorded them. All other attributes are neither stored nor
checked, so that no scanner is delayed by data that is not needed here. This is not an archive of
procedure steps.
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

from triage.dicom.unreadable import drop_unreadable
from triage.dimse.message_data_sets import refuse_oversized_message
from triage.dimse.statuses import ProcedureStepStatus
from triage.domain.announcement import AnnouncementChange, Stage
from triage.domain.errors import DamagedInstance, LedgerUnavailable
from triage.domain.uid import is_uid
from triage.ports.announcements import Announcements

log = structlog.get_logger(__name__)

#: Sequences of a performed series that refer to instances (PS3.3 C.4.15).
PERFORMED = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
#: Sequence of a notification's series that refers to instances (PS3.4 table R.3.2-1).
NOTIFIED = ("ReferencedSOPSequence",)
#: Elements that are read; an announcement in which one of them is damaged is refused.
NEEDED = (
    *("PerformedProcedureStepStatus", "ScheduledStepAttributesSequence", "StudyInstanceUID"),
    *("PerformedSeriesSequence", *PERFORMED, "ReferencedSeriesSequence", *NOTIFIED),
    *("ReferencedSOPInstanceUID", "InstanceAvailability"),
)
UNAVAILABLE = "UNAVAILABLE"  #: Instance Availability (0008,0056)
SEVERAL_STUDIES = ""  #: recorded in place of a Study Instance UID
MAY_NOT_BE_CHANGED = 0xA710  #: Error ID of PS3.4 table F.7.2-2

ProcedureStepResponse = tuple[int | Dataset, None]


def add_announcement_services(
    ae: AE, announcements: Announcements
) -> list[tuple[evt.EventType, object, list[Any]]]:
    """Add both SOP classes to an application entity; return the event handlers to bind."""
    ae.add_supported_context(ModalityPerformedProcedureStep)
    ae.add_supported_context(InstanceAvailabilityNotification)
    return [
        (evt.EVT_N_CREATE, _answer_n_create, [announcements]),
        (evt.EVT_N_SET, _answer_n_set, [announcements]),
    ]


def _answer_n_create(event: evt.Event, announcements: Announcements) -> ProcedureStepResponse:
    """Record a step that begins, or a notification."""
    request: Any = event.request
    is_step = event.context.abstract_syntax == ModalityPerformedProcedureStep
    try:
        uid = _require_uid(request.AffectedSOPInstanceUID)
        refuse_oversized_message(event)
        attributes = event.attribute_list
        drop_unreadable(attributes, NEEDED)
        study_uid, stage, uids = (_read_step if is_step else _read_notification)(attributes)
        is_new = announcements.add(uid, study_uid, stage, uids)
    except AttributeError:
        return ProcedureStepStatus.MISSING_ATTRIBUTE, None
    except (ValueError, DamagedInstance):
        return ProcedureStepStatus.INVALID_VALUE, None
    except LedgerUnavailable as error:
        return _refuse_for_now(error), None
    if not is_new:
        return ProcedureStepStatus.DUPLICATE_INSTANCE, None
    log.info("announced", study_uid=study_uid, stage=str(stage), instances=len(uids))
    return ProcedureStepStatus.SUCCESS, None


def _answer_n_set(event: evt.Event, announcements: Announcements) -> ProcedureStepResponse:
    """Record a change of a step; a new list of series replaces the recorded one."""
    request: Any = event.request
    try:
        refuse_oversized_message(event)
        attributes = event.modification_list
        drop_unreadable(attributes, NEEDED)
        status = attributes.get("PerformedProcedureStepStatus")
        series = attributes.get("PerformedSeriesSequence")
        stage = None if status is None else Stage(status)
        uids = None if series is None else list(_list_references(series, PERFORMED))
        changed = announcements.change(_require_uid(request.RequestedSOPInstanceUID), stage, uids)
    except AttributeError:
        return ProcedureStepStatus.MISSING_ATTRIBUTE, None
    except (ValueError, DamagedInstance):
        return ProcedureStepStatus.INVALID_VALUE, None
    except LedgerUnavailable as error:
        return _refuse_for_now(error), None
    if changed is AnnouncementChange.FINAL:
        return _build_final_status(), None
    if changed is AnnouncementChange.UNKNOWN:
        return ProcedureStepStatus.NO_SUCH_INSTANCE, None
    log.info("announced", stage=str(stage), instances=len(uids or ()))
    return ProcedureStepStatus.SUCCESS, None


def _read_step(attributes: Dataset) -> tuple[str, Stage, list[str]]:
    """Return study, stage and instances of a step that begins (PS3.4 table F.7.2-1)."""
    stage = Stage(attributes.PerformedProcedureStepStatus)
    if stage is not Stage.IN_PROGRESS:
        raise ValueError("a step begins IN PROGRESS")
    studies = {
        _require_uid(item.StudyInstanceUID) for item in attributes.ScheduledStepAttributesSequence
    }
    if not studies:
        raise ValueError("the step names no study")
    # A step of several studies does not state which image belongs to which of them.
    study_uid = studies.pop() if len(studies) == 1 else SEVERAL_STUDIES
    series = attributes.get("PerformedSeriesSequence") or ()
    return study_uid, stage, list(_list_references(series, PERFORMED))


def _read_notification(attributes: Dataset) -> tuple[str, Stage, list[str]]:
    """Return study, stage and instances of a notification (PS3.4 table R.3.2-1)."""
    uids = list(_list_references(attributes.ReferencedSeriesSequence, NOTIFIED))
    return _require_uid(attributes.StudyInstanceUID), Stage.COMPLETED, uids


def _list_references(series: Iterable[Dataset], keywords: Iterable[str]) -> Iterator[str]:
    """Yield the SOP Instance UIDs to which the series refer."""
    for keyword in keywords:
        for item in series:
            for reference in item.get(keyword) or ():
                if reference.get("InstanceAvailability") != UNAVAILABLE:
                    yield _require_uid(reference.ReferencedSOPInstanceUID)


def _require_uid(value: object) -> str:
    if not is_uid(str(value)):
        raise ValueError("not a UID")
    return str(value)


def _refuse_for_now(error: LedgerUnavailable) -> int:
    log.error("announcement not recorded", error=str(error))
    return ProcedureStepStatus.RESOURCE_LIMITATION


def _build_final_status() -> Dataset:
    """Return the status for a change of a step that has ended."""
    status = Dataset()
    status.Status = ProcedureStepStatus.PROCESSING_FAILURE
    status.ErrorComment = "Performed Procedure Step Object may no longer be updated"
    status.ErrorID = MAY_NOT_BE_CHANGED
    return status
