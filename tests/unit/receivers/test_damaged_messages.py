"""Announcements and commitment messages with an element that cannot be read are refused."""

import struct
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModelInstance,
)

from receivers.c_store.announcements import add_announcement_services
from tests.builders.damaged import damaged_item
from triage.dicom.structure import MOST_ITEMS
from triage.dimse.commitment_reports import ALL_COMMITTED, answer_event_report
from triage.dimse.statuses import EventReportStatus, ProcedureStepStatus


class NoAnnouncements:
    """Fails the test if something is recorded."""

    def add(self, *_: object) -> bool:
        raise AssertionError("a damaged announcement was recorded")

    change = add


def begin(attributes: Dataset) -> object:
    """Return the status of an N-CREATE of a procedure step."""
    services = add_announcement_services(AE(), NoAnnouncements())  # type: ignore[arg-type]
    answer: Any = services[0][1]
    event = SimpleNamespace(
        request=SimpleNamespace(AffectedSOPInstanceUID="1.1"),
        context=SimpleNamespace(abstract_syntax=ModalityPerformedProcedureStep),
        attribute_list=attributes,
    )
    return answer(event, NoAnnouncements())[0]


@pytest.mark.parametrize("keyword", ["ReferencedImageSequence", "PerformedSeriesSequence"])
def test_a_step_whose_instances_cannot_be_read_is_refused(keyword: str) -> None:
    attributes = Dataset()
    attributes.PerformedProcedureStepStatus = "IN PROGRESS"
    scheduled = Dataset()
    scheduled.StudyInstanceUID = "1.2.3"
    attributes.ScheduledStepAttributesSequence = [scheduled]
    damaged = damaged_item(keyword, "UL", b"\1\0\2")
    if keyword == "PerformedSeriesSequence":
        attributes.update(damaged)
    else:
        attributes.PerformedSeriesSequence = [damaged]
    assert begin(attributes) == ProcedureStepStatus.INVALID_VALUE


class OversizedRequest:
    """An N-CREATE of empty items; the test fails if its data set is built."""

    request = SimpleNamespace(
        AffectedSOPInstanceUID="1.1",
        AttributeList=BytesIO(
            struct.pack("<HH2sxxL", 0x0040, 0x0340, b"SQ", 8 * MOST_ITEMS + 8)
            + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * (MOST_ITEMS + 1)
        ),
    )
    context = SimpleNamespace(
        abstract_syntax=ModalityPerformedProcedureStep, transfer_syntax=ExplicitVRLittleEndian
    )

    @property
    def attribute_list(self) -> Dataset:
        raise AssertionError("the data set was built")


def test_a_step_of_too_many_items_is_refused_before_it_is_built() -> None:
    services = add_announcement_services(AE(), NoAnnouncements())  # type: ignore[arg-type]
    answer: Any = services[0][1]
    status, _ = answer(OversizedRequest(), NoAnnouncements())
    assert status == ProcedureStepStatus.INVALID_VALUE


def test_a_commitment_report_that_cannot_be_read_is_refused() -> None:
    information = damaged_item("ReferencedSOPSequence", "UL", b"\1\0\2")
    information.TransactionUID = "1.2.3"
    request = SimpleNamespace(
        AffectedSOPInstanceUID=StorageCommitmentPushModelInstance, EventTypeID=ALL_COMMITTED
    )
    event: Any = SimpleNamespace(request=request, event_information=information)
    status, _ = answer_event_report(event, lambda _report: pytest.fail("it was recorded"))
    assert status == EventReportStatus.INVALID_ARGUMENT
