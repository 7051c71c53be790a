"""Storage commitment as SCP, with pynetdicom as modality and with Orthanc."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

import receivers.c_store
from receivers.c_store.commitment_scp import CommitmentReporter
from tests.builders.images import image, part10, uid
from tests.integration.servers import orthanc
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import CommitmentRequestor, ReceiverSettings
from triage.dimse.statuses import ActionStatus
from triage.domain.commitment import FailureReason
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.runtime.clock import SystemClock
from triage.store.commitments import SqlCommitments
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


@dataclass
class Modality:
    """A requestor of storage commitment that listens for the reports."""

    port: int = field(default_factory=find_free_port)
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    status: int = 0

    def heard(self, event: evt.Event) -> tuple[int, None]:
        if not self.status:
            request: Any = event.request
            self.reports.append((request.EventTypeID, event.event_information))
        return self.status, None

    def listen(self) -> Any:
        ae = AE(ae_title="MR1")
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers: Any = [(evt.EVT_N_EVENT_REPORT, self.heard)]
        return ae.start_server((HOST, self.port), block=False, evt_handlers=handlers)


@dataclass
class CommitmentWorld:
    """A receiver with storage commitment."""

    port: int
    committer: CommitmentScp
    ledger: SqlLedger
    spool: Path


@pytest.fixture
def modality() -> Modality:
    return Modality()


@pytest.fixture
def receiver(tmp_path: Path, modality: Modality) -> Iterator[CommitmentWorld]:
    settings = ReceiverSettings(port=find_free_port(), calling=("MR1", "MR2", "ORTHANC"))
    known = {
        each: CommitmentReporter(
            settings.ae_title,
            CommitmentRequestor(calling=each, host=HOST, port=modality.port, timeout_s=5),
        )
        for each in ("MR1", "ORTHANC")
    }
    clock = SystemClock()
    ledger = SqlLedger.in_folder(tmp_path, clock)
    spool = FileSpool(tmp_path)
    requests = SqlCommitments(SqlLedger.database_in(tmp_path), clock)
    aside = ThreadPoolExecutor(1)
    committer = CommitmentScp(requests, ledger, spool, known, aside, 3)
    server = receivers.c_store.start(Intake(spool, ledger), settings, committer)
    yield CommitmentWorld(settings.plain_port(), committer, ledger, tmp_path / "spool")
    server.end()
    aside.shutdown()
    requests.close()
    ledger.close()


def associated(port: int, modality: Modality, calling: str = "MR1") -> Association:
    ae = AE(ae_title=calling)
    ae.add_requested_context(MRImageStorage)
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, modality.heard)]
    association = ae.associate(HOST, port, ae_title="CMRTRIAGE", evt_handlers=handlers)
    assert association.is_established
    return association


def request(*numbers: int, sop_class: str = MRImageStorage) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = uid("transaction", numbers)
    asked.ReferencedSOPSequence = []
    for number in numbers:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = uid("study", "series", number)
        asked.ReferencedSOPSequence.append(item)
    return asked


def nothing_in() -> Dataset:
    asked = request()
    del asked.ReferencedSOPSequence
    return asked


def act(
    association: Association,
    asked: Dataset | None,
    action: int = 1,
    instance: str = StorageCommitmentPushModelInstance,
) -> int:
    status, _ = association.send_n_action(asked, action, StorageCommitmentPushModel, instance)
    return int(status.Status)


def stored(association: Association, *numbers: int) -> None:
    for number in numbers:
        assert association.send_c_store(image(number=number)).Status == 0


def ticked(receiver: CommitmentWorld, true: Callable[[], object], what: str) -> None:
    """Tick as `triage receive` does, until a condition holds."""

    def tick() -> object:
        receiver.committer.tick()
        return true()

    wait_until(tick, what=what)


def test_the_report_is_sent_on_the_association_of_the_request_if_it_stays_open(
    receiver: CommitmentWorld, modality: Modality
) -> None:
    association = associated(receiver.port, modality, "MR2")  # has no address
    stored(association, 1, 2)
    assert act(association, request(1, 2)) == ActionStatus.SUCCESS
    wait_until(lambda: modality.reports, what="the report")
    ((event_type, told),) = modality.reports
    assert event_type == 1
    assert told.TransactionUID == uid("transaction", (1, 2))
    assert [each.ReferencedSOPInstanceUID for each in told.ReferencedSOPSequence] == [
        uid("study", "series", 1),
        uid("study", "series", 2),
    ]
    assert "FailedSOPSequence" not in told
    stored(association, 3)  # it goes on as before
    association.release()
    receiver.committer.tick()
    assert not receiver.committer.requests.list_due()


def test_each_of_several_requests_on_one_association_gets_its_report(
    receiver: CommitmentWorld, modality: Modality
) -> None:
    association = associated(receiver.port, modality, "MR2")
    stored(association, 1, 2)
    for number in (1, 2):
        assert act(association, request(number)) == ActionStatus.SUCCESS
    wait_until(lambda: len(modality.reports) == 2, what="the reports")
    assert {told.TransactionUID for _, told in modality.reports} == {
        uid("transaction", (1,)),
        uid("transaction", (2,)),
    }
    stored(association, 3)
    association.release()


def test_the_report_is_sent_on_a_new_association_after_a_release(
    receiver: CommitmentWorld, modality: Modality
) -> None:
    server = modality.listen()
    try:
        association = associated(receiver.port, modality)
        stored(association, 1)
        assert act(association, request(1, 7)) == ActionStatus.SUCCESS
        association.release()
        ticked(receiver, lambda: modality.reports, "the report")
    finally:
        server.shutdown()
    ((event_type, told),) = modality.reports
    assert event_type == 2
    assert [each.ReferencedSOPInstanceUID for each in told.ReferencedSOPSequence] == [
        uid("study", "series", 1)
    ]
    (failed,) = told.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == uid("study", "series", 7)
    assert failed.FailureReason == FailureReason.NO_SUCH_OBJECT_INSTANCE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_an_unavailable_requestor_gets_its_report_later(
    receiver: CommitmentWorld, modality: Modality
) -> None:
    association = associated(receiver.port, modality)
    stored(association, 1)
    assert act(association, request(1)) == ActionStatus.SUCCESS
    association.release()
    time.sleep(1.5)
    receiver.committer.tick()
    modality.status = 0x0110
    server = modality.listen()
    try:
        time.sleep(2)
        receiver.committer.tick()
        modality.status = 0
        ticked(receiver, lambda: modality.reports, "the report")
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("asked", "action", "instance", "status"),
    [
        (request(1), 2, StorageCommitmentPushModelInstance, ActionStatus.NO_SUCH_ACTION),
        (request(1), 1, "1.2.3", ActionStatus.NO_SUCH_INSTANCE),
        (request(), 1, StorageCommitmentPushModelInstance, ActionStatus.INVALID_ARGUMENT),
        (nothing_in(), 1, StorageCommitmentPushModelInstance, ActionStatus.INVALID_ARGUMENT),
        (None, 1, StorageCommitmentPushModelInstance, ActionStatus.INVALID_ARGUMENT),
    ],
)
def test_an_invalid_request_is_refused(
    receiver: CommitmentWorld,
    asked: Dataset | None,
    action: int,
    instance: str,
    status: ActionStatus,
) -> None:
    association = associated(receiver.port, Modality())
    assert act(association, asked, action, instance) == status
    association.release()


def test_orthanc_gets_its_commitment(
    receiver: CommitmentWorld, modality: Modality, tmp_path: Path
) -> None:
    ours = {"AET": "CMRTRIAGE", "Host": HOST, "Port": receiver.port, "AllowStorageCommitment": True}
    with orthanc(tmp_path / "orthanc", modality.port, DicomModalities={"triage": ours}) as pacs:
        upload(pacs.http_port, part10(image(number=1)))
        upload(pacs.http_port, part10(image(number=2)))
        (first, _) = pacs.get("/instances")
        pacs.post("/modalities/triage/store", first)
        pairs = [[str(MRImageStorage), uid("study", "series", number)] for number in (1, 2)]
        asked = json.dumps({"DicomInstances": pairs})
        answer = pacs.post("/modalities/triage/storage-commitment", asked)
        path = answer["Path"]
        ticked(receiver, lambda: pacs.get(path)["Status"] != "Pending", "the report")
        report = pacs.get(path)
    assert report["Status"] == "Failure"
    assert len(report["Success"]) == 1
    (failed,) = report["Failures"]
    assert FailureReason.NO_SUCH_OBJECT_INSTANCE in failed.values(), failed


def upload(http_port: int, content: bytes) -> None:
    urllib.request.urlopen(f"http://{HOST}:{http_port}/instances", content).close()
