"""A study is complete on evidence, not on elapsed time, and `status` shows the reason."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from tests.acceptance.completeness import QUIET_S, site, status
from tests.acceptance.site import CALLED, CALLING, serving, storescu
from tests.builders.hearts import instances
from tests.builders.images import part10
from tests.integration.servers import Orthanc, orthanc
from tests.waiting import HOST, wait_until
from triage.dimse.association import RemoteEntity
from triage.dimse.store_scu import send_files
from triage.domain.study import State
from triage.phantom.habits import Vendor


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a study with every view that the bundle wants."""
    folder = tmp_path_factory.mktemp("study")
    for each in instances(Vendor.SIEMENS):
        (folder / f"{each.SOPInstanceUID}.dcm").write_bytes(part10(each))
    return sorted(folder.iterdir())


def test_a_study_with_whole_views_and_cines_does_not_wait_for_the_quiet_time(
    tmp_path: Path, pacs: Orthanc, files: list[Path]
) -> None:
    running = site(tmp_path, pacs, QUIET_S, settle_s=1)
    with serving(running):
        began = time.monotonic()
        assert storescu(running, files).wait(300) == 0
        assert running.wait_for_end().state is State.DELIVERED
        assert time.monotonic() - began < QUIET_S
        shown = status(running)
    (why,) = re.findall(r"all 6 views are there and all \d+ cine stacks are full", shown)[:1]
    assert why


def test_a_study_that_is_complete_at_the_pacs_does_not_wait_for_the_quiet_time(
    tmp_path: Path, files: list[Path]
) -> None:
    with orthanc(tmp_path / "orthanc", DicomAlwaysAllowFind=True) as pacs:
        asked = {"ae_title": pacs.ae_title, "host": HOST, "port": pacs.dicom_port}
        running = site(tmp_path, pacs, QUIET_S, settle_s=1, evidence=["count"], ask=asked)
        some = files[:5]
        send_files(some, RemoteEntity(HOST, pacs.dicom_port, pacs.ae_title, CALLING), lambda: None)
        with serving(running):
            began = time.monotonic()
            assert storescu(running, some).wait(300) == 0
            wait_until(lambda: running.studies()[0].state is not State.RECEIVING)
            assert time.monotonic() - began < QUIET_S
            shown = status(running)
    assert "all 5 instances that ORTHANC has are here" in shown


def test_a_sender_may_request_storage_commitment(
    tmp_path: Path, pacs: Orthanc, files: list[Path]
) -> None:
    told: list[int] = []

    def hear(event: evt.Event) -> tuple[int, None]:
        request: Any = event.request
        told.append(request.EventTypeID)
        return 0, None

    first = dcmread(files[0])
    request, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
        first.SOPClassUID,
        first.SOPInstanceUID,
    )
    request.TransactionUID, request.ReferencedSOPSequence = "1.2.3", [item]
    running = site(tmp_path, pacs, 1)
    with serving(running):
        ae = AE(ae_title=CALLING)
        ae.add_requested_context(MRImageStorage, first.file_meta.TransferSyntaxUID)
        ae.add_requested_context(StorageCommitmentPushModel)
        ae.add_requested_context(Verification)
        handlers: Any = [(evt.EVT_N_EVENT_REPORT, hear)]
        association = ae.associate(HOST, running.port, ae_title=CALLED, evt_handlers=handlers)
        assert association.send_c_store(first).Status == 0
        answer, _ = association.send_n_action(
            request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        assert answer.Status == 0
        wait_until(lambda: told, what="the report")
        # The answer to the report goes out in another thread, and no message may follow a release.
        assert association.send_c_echo().Status == 0
        association.release()
    assert told == [1]


def test_a_study_waits_for_its_open_association_up_to_the_limit(
    tmp_path: Path, pacs: Orthanc, files: list[Path]
) -> None:
    running = site(tmp_path, pacs, 1, at_most_s=12)
    with serving(running):
        ae = AE(ae_title=CALLING)
        first = dcmread(files[0])
        ae.add_requested_context(MRImageStorage, first.file_meta.TransferSyntaxUID)
        association = ae.associate(HOST, running.port, ae_title=CALLED)
        assert association.send_c_store(first).Status == 0
        time.sleep(5)
        assert [each.state for each in running.studies()] == [State.RECEIVING]
        wait_until(lambda: running.studies()[0].state is not State.RECEIVING, what="the limit")
        shown = status(running)
        association.release()
        running.wait_for_end()
    assert "at the limit of 12 s after its first instance, with 1 instances" in shown
    assert "1 association(s) that sent instances are still open" in shown
