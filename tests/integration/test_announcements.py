"""MPPS and Instance Availability Notification over real associations."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
)
from structlog.testing import capture_logs

import receivers.c_store
from tests.builders.announcing import AnnouncingScanner, available, begun, ended
from tests.builders.images import image, uid
from tests.fakes import FakeClock
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import ProcedureStepStatus, StoreStatus
from triage.domain.announcement import AnnouncedStudy, Stage
from triage.domain.errors import LedgerUnavailable
from triage.pipeline.intake import Intake
from triage.store.announcements import KEPT_S, SqlAnnouncements
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

STUDY = uid("study")
FIRST, SECOND = uid("study", "series", 1), uid("study", "series", 2)


@dataclass(frozen=True)
class AnnouncementScp:
    """A scanner, a receiver, and the announcements that the receiver has recorded."""

    scanner: AnnouncingScanner
    state: Path
    announcements: SqlAnnouncements

    def of_study(self) -> AnnouncedStudy | None:
        """Return what the ledger has recorded."""
        again = SqlAnnouncements(SqlLedger.database_in(self.state), FakeClock())
        try:
            return again.find_by_study(STUDY)
        finally:
            again.close()


@pytest.fixture(params=[False, True], ids=["plain", "fast"])
def receiver(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AnnouncementScp]:
    ledger = SqlLedger.in_folder(tmp_path, FakeClock())
    announcements = SqlAnnouncements(SqlLedger.database_in(tmp_path), FakeClock())
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",), fast=request.param)
    intake = Intake(FileSpool(tmp_path), ledger)
    server = receivers.c_store.start(intake, settings, announcements=announcements)
    ae = AE(ae_title="PACS")
    for each in (MRImageStorage, ModalityPerformedProcedureStep, InstanceAvailabilityNotification):
        ae.add_requested_context(each)
    association = ae.associate(
        HOST, settings.plain_port(), ae_title="CMRTRIAGE", evt_handlers=[CONNECTION_SETUP]
    )
    assert len(association.accepted_contexts) == 3
    yield AnnouncementScp(AnnouncingScanner(association), tmp_path, announcements)
    association.release()
    server.end()
    announcements.close()
    ledger.close()


def test_a_step_announces_the_instances_of_a_study(
    receiver: AnnouncementScp,
) -> None:
    scanner = receiver.scanner
    assert receiver.of_study() is None
    assert scanner.begins("1.1", begun(STUDY)) == ProcedureStepStatus.SUCCESS
    assert receiver.of_study() == AnnouncedStudy(0, 0, in_progress=True)
    assert scanner.association.send_c_store(image(number=1)).Status == StoreStatus.SUCCESS
    assert scanner.changes("1.1", ended([FIRST, SECOND], ["1.9"])) == ProcedureStepStatus.SUCCESS
    assert receiver.of_study() == AnnouncedStudy(3, 1)
    assert scanner.association.send_c_store(image(number=2)).Status == StoreStatus.SUCCESS
    assert scanner.association.send_c_store(image(number=3)).Status == StoreStatus.SUCCESS
    assert receiver.of_study() == AnnouncedStudy(3, 2)  # the third was not announced


def test_a_change_of_a_step_replaces_its_series(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    scanner.begins("1.1", begun(STUDY))
    assert (
        scanner.changes("1.1", ended([FIRST, SECOND], status="IN PROGRESS"))
        == ProcedureStepStatus.SUCCESS
    )
    assert receiver.of_study() == AnnouncedStudy(2, 0, in_progress=True)
    assert (
        scanner.changes("1.1", ended([FIRST], status="IN PROGRESS")) == ProcedureStepStatus.SUCCESS
    )
    alone = Dataset()
    alone.PerformedProcedureStepStatus = "DISCONTINUED"
    assert scanner.changes("1.1", alone) == ProcedureStepStatus.SUCCESS
    assert receiver.of_study() == AnnouncedStudy(1, 0, discontinued=True)


def test_several_steps_and_a_notification_add_up(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    for step, uids in (("1.1", [FIRST]), ("1.2", [FIRST, SECOND])):
        scanner.begins(step, begun(STUDY))
        scanner.changes(step, ended(uids))
    assert receiver.of_study() == AnnouncedStudy(2, 0)
    assert scanner.notifies("1.3", available(STUDY, [SECOND, "1.9"])) == ProcedureStepStatus.SUCCESS
    assert (
        scanner.notifies("1.4", available(STUDY, ["1.8"], "UNAVAILABLE"))
        == ProcedureStepStatus.SUCCESS
    )
    assert receiver.of_study() == AnnouncedStudy(3, 0)


def test_an_invalid_announcement_is_refused_with_its_status(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    assert (
        scanner.begins("1.1", begun(STUDY, status="COMPLETED")) == ProcedureStepStatus.INVALID_VALUE
    )
    for text in ("no uid", "1..2", "."):
        assert scanner.begins("1.1", begun(text)) == ProcedureStepStatus.INVALID_VALUE
    assert scanner.begins("1.1", begun()) == ProcedureStepStatus.INVALID_VALUE
    without_study = begun(STUDY)
    del without_study.ScheduledStepAttributesSequence
    assert scanner.begins("1.1", without_study) == ProcedureStepStatus.MISSING_ATTRIBUTE
    assert scanner.changes("1.1", ended([FIRST])) == ProcedureStepStatus.NO_SUCH_INSTANCE
    assert scanner.begins("1.1", begun(STUDY)) == ProcedureStepStatus.SUCCESS
    assert scanner.begins("1.1", begun(STUDY)) == ProcedureStepStatus.DUPLICATE_INSTANCE
    assert (
        scanner.changes("1.1", ended([FIRST], status="ON LUNCH"))
        == ProcedureStepStatus.INVALID_VALUE
    )
    assert scanner.changes("1.1", ended(["no uid"])) == ProcedureStepStatus.INVALID_VALUE
    assert scanner.changes("1.1", ended([FIRST])) == ProcedureStepStatus.SUCCESS
    assert scanner.changes("1.1", ended([FIRST, SECOND])) == ProcedureStepStatus.PROCESSING_FAILURE
    assert receiver.of_study() == AnnouncedStudy(1, 0)


def test_only_recorded_announcements_are_logged(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    with capture_logs() as logged:
        scanner.changes("1.1", ended([FIRST]))
        scanner.begins("1.1", begun(STUDY))
        scanner.begins("1.1", begun(STUDY))
        scanner.changes("1.1", ended([FIRST]))
        scanner.changes("1.1", ended([FIRST]))
    stages = [each["stage"] for each in logged if each["event"] == "announced"]
    assert stages == ["IN PROGRESS", "COMPLETED"]


def test_a_step_of_several_studies_is_evidence_for_none(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    assert scanner.begins("1.1", begun(STUDY, "1.2.3")) == ProcedureStepStatus.SUCCESS
    assert scanner.changes("1.1", ended([FIRST])) == ProcedureStepStatus.SUCCESS
    assert receiver.of_study() is None


def test_a_busy_ledger_asks_the_scanner_to_retry(
    receiver: AnnouncementScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise LedgerUnavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.announcements, "add", away)
        patch.setattr(receiver.announcements, "change", away)
        assert (
            receiver.scanner.begins("1.1", begun(STUDY)) == ProcedureStepStatus.RESOURCE_LIMITATION
        )
        assert (
            receiver.scanner.changes("1.1", ended([FIRST]))
            == ProcedureStepStatus.RESOURCE_LIMITATION
        )
    assert receiver.scanner.begins("1.1", begun(STUDY)) == ProcedureStepStatus.SUCCESS


def test_old_announcements_are_deleted_unless_a_step_is_in_progress(tmp_path: Path) -> None:
    clock = FakeClock()
    known = SqlAnnouncements(SqlLedger.database_in(tmp_path), clock)
    known.add("1.1", STUDY, Stage.COMPLETED, [FIRST, SECOND])
    known.add("1.2", "1.2.3", Stage.IN_PROGRESS, [FIRST])
    clock.pass_s(KEPT_S / 2)
    known.change("1.2", None, [SECOND])
    clock.pass_s(KEPT_S / 2 + 1)
    known.add("1.3", "1.2.4", Stage.COMPLETED, [])
    assert known.find_by_study(STUDY) is None
    assert known.find_by_study("1.2.3") == AnnouncedStudy(1, 0, in_progress=True)
    assert known.add("1.1", STUDY, Stage.COMPLETED, [FIRST])
    assert known.find_by_study(STUDY) == AnnouncedStudy(1, 0)
    known.close()


def test_no_patient_name_or_id_is_recorded(receiver: AnnouncementScp) -> None:
    scanner = receiver.scanner
    scanner.begins("1.1", begun(STUDY))
    scanner.changes("1.1", ended([FIRST]))
    receiver.announcements.close()
    kept = b"".join(path.read_bytes() for path in receiver.state.rglob("*") if path.is_file())
    assert FIRST.encode() in kept
    assert b"lanted" not in kept
    assert b"PLANTED" not in kept
