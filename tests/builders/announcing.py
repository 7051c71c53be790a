"""A scanner that performs a step, and a PACS that announces available instances."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
)

MR = "1.2.840.10008.5.1.4.1.1.4"


def referring(keyword: str, uids: Iterable[str], **more: str) -> Dataset:
    """Return a series that refers to instances."""
    series = Dataset()
    series.SeriesInstanceUID = "1.2.3"
    references = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = MR
        item.ReferencedSOPInstanceUID = uid
        for name, value in more.items():
            setattr(item, name, value)
        references.append(item)
    setattr(series, keyword, references)
    return series


def begun(*study_uids: str, status: str = "IN PROGRESS") -> Dataset:
    """Return the attributes of a step that begins, with a patient's name."""
    step = Dataset()
    step.PatientName = "Planted^Name"
    step.PatientID = "PLANTED-4711"
    step.PerformedProcedureStepStatus = status
    step.PerformedSeriesSequence = []
    step.ScheduledStepAttributesSequence = []
    for uid in study_uids:
        scheduled = Dataset()
        scheduled.StudyInstanceUID = uid
        step.ScheduledStepAttributesSequence.append(scheduled)
    return step


def ended(uids: Iterable[str], others: Iterable[str] = (), status: str = "COMPLETED") -> Dataset:
    """Return what changes when a step ends: images and other instances."""
    step = Dataset()
    step.PerformedProcedureStepStatus = status
    step.PerformedSeriesSequence = [
        referring("ReferencedImageSequence", uids),
        referring("ReferencedNonImageCompositeSOPInstanceSequence", others),
    ]
    return step


def available(study_uid: str, uids: Iterable[str], how: str = "ONLINE") -> Dataset:
    """Return the attributes of a notification."""
    said = Dataset()
    said.StudyInstanceUID = study_uid
    said.ReferencedPerformedProcedureStepSequence = []
    said.ReferencedSeriesSequence = [
        referring("ReferencedSOPSequence", uids, InstanceAvailability=how, RetrieveAETitle="PACS")
    ]
    return said


@dataclass(frozen=True)
class AnnouncingScanner:
    """Sends announcements on an association; each method returns the status of the answer."""

    association: Association

    def begins(self, uid: str, step: Dataset) -> int:
        return _status(self.association.send_n_create(step, ModalityPerformedProcedureStep, uid))

    def changes(self, uid: str, step: Dataset) -> int:
        return _status(self.association.send_n_set(step, ModalityPerformedProcedureStep, uid))

    def notifies(self, uid: str, said: Dataset) -> int:
        return _status(self.association.send_n_create(said, InstanceAvailabilityNotification, uid))


def _status(answer: Any) -> int:
    return int(answer[0].Status)
