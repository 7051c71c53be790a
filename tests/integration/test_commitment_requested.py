"""Storage commitment as SCU, with Orthanc and with archives that fail or send wrong reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

import receivers.c_store
from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from tests.contract.ledgers import HOLDER, assessing, current
from tests.fakes import FakeClock
from tests.integration.servers import orthanc
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.destinations.dicom import open_pacs
from triage.destinations.dicom_store import DicomDestinationSettings
from triage.dimse.statuses import EventReportStatus
from triage.domain.delivery import Delivery, DeliveryState, Product
from triage.domain.incident import IncidentKind
from triage.domain.study import State
from triage.pipeline.deliver import Deliverer
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scu import CommitmentScu
from triage.reports.structured_report import build
from triage.store.commitment_requests import SOON_S, SqlCommitmentRequests
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

OURS = "CMRTRIAGE"
WITHIN_S = 3600.0
WRITTEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def product() -> Product:
    return build(reporting(mixed()))


@dataclass
class Ours:
    """A receiver, and a worker that delivers one product to an archive."""

    ledger: SqlLedger
    requests: SqlCommitmentRequests
    clock: FakeClock
    port: int
    study_uid: str
    delivery_id: int
    deliverer: Deliverer

    def delivery(self) -> Delivery:
        found = self.ledger.get_delivery(self.delivery_id)
        assert found is not None
        return found

    def work(self, after_s: float = 0.0) -> DeliveryState:
        self.clock.pass_s(after_s)
        self.deliverer.deliver(self.delivery_id)
        return self.delivery().state

    def wait_for(self, state: DeliveryState) -> None:
        wait_until(lambda: self.delivery().state is state, what=state)

    def incidents(self) -> list[str]:
        return [
            each.detail
            for each in self.ledger.incidents(9, of=[IncidentKind.COMMITMENT_REPORT_REFUSED])
        ]


@contextmanager
def ours(
    folder: Path, product: Product, archive_port: int, port: int = 0, **settings: Any
) -> Iterator[Ours]:
    title = settings.pop("ae_title", "ARCHIVE")
    pacs = DicomDestinationSettings(
        name="pacs",
        ae_title=title,
        host=HOST,
        port=archive_port,
        timeout_s=5,
        commitment=True,
        commitment_within_s=WITHIN_S,
        **settings,
    )
    clock = FakeClock()
    ledger = SqlLedger.in_folder(folder, clock)
    requests = SqlCommitmentRequests(SqlLedger.database_in(folder), clock)
    reporters = {"pacs": pacs.commitment_reporters(), "other": ("SOMEBODY",)}
    promises = CommitmentScu(ledger, requests, reporters)
    port = port or find_free_port()
    receiver = ReceiverSettings(port=port, calling=(title, "SOMEBODY", "ARCHIVE2"))
    server = receivers.c_store.start(
        Intake(FileSpool(folder), ledger), receiver, commitment_scu=promises
    )
    study = assessing(ledger)
    (due,) = ledger.finish(study, HOLDER, "{}", [product], [(product, "pacs")]) or ()
    deliverer = Deliverer(ledger, {"pacs": open_pacs(OURS, pacs)}, 9, commitment=promises)
    try:
        yield Ours(ledger, requests, clock, port, study.study_uid, due, deliverer)
    finally:
        server.end()
        requests.close()
        ledger.close()


@dataclass
class CommitmentArchive:
    """An archive whose reports the test defines."""

    port: int = field(default_factory=find_free_port)
    stored: list[str] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    answer: int = 0  #: to a request
    at_once: int | None = None  #: Failure Reason that is told on the association that asks; 0: kept
    store_status: int = 0
    commits: bool = True  #: accepts the question at all

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE(ae_title="ARCHIVE")
        ae.dimse_timeout = 2
        ae.supported_contexts = AllStoragePresentationContexts
        if self.commits:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers: Any = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._ask),
            (evt.EVT_DIMSE_SENT, self._sent),
        ]
        server: Any = ae.start_server((HOST, self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        self.stored.append(str(request.AffectedSOPInstanceUID))
        return self.store_status

    def _ask(self, event: evt.Event) -> tuple[int, None]:
        self.asked.append(event.action_information)
        return self.answer, None

    def _sent(self, event: evt.Event) -> None:
        is_answer = type(event.message).__name__ == "N_ACTION_RSP"
        if is_answer and self.at_once is not None:
            told = word(self.asked[-1], self.at_once)
            Thread(target=say, args=(event.assoc, told), daemon=True).start()


def word(asked: Dataset, reason: int = 0) -> Dataset:
    """Return the report on a request: all committed, or all failed for a reason."""
    told = Dataset()
    told.TransactionUID = asked.TransactionUID
    items = [Dataset() for _ in asked.ReferencedSOPSequence]
    for item, about in zip(items, asked.ReferencedSOPSequence, strict=True):
        item.ReferencedSOPClassUID = about.ReferencedSOPClassUID
        item.ReferencedSOPInstanceUID = about.ReferencedSOPInstanceUID
        if reason:
            item.FailureReason = reason
    if reason:
        told.FailedSOPSequence = items
    else:
        told.ReferencedSOPSequence = items
    return told


def say(association: Any, told: Dataset | None, kind: int | None = None, **named: Any) -> int:
    """Send a report; return the status of the response."""
    kind = kind or (2 if told is not None and "FailedSOPSequence" in told else 1)
    instance = named.get("instance", StorageCommitmentPushModelInstance)
    response, _ = association.send_n_event_report(told, kind, StorageCommitmentPushModel, instance)
    return int(response.get("Status", -1))


def tell(here: Ours, told: Dataset | None, calling: str = "ARCHIVE", **named: Any) -> int:
    """Report on a new association, in which the archive proposes to be SCP."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = ae.associate(HOST, here.port, ae_title=OURS, ext_neg=[role])
    assert association.is_established
    (accepted,) = association.accepted_contexts
    assert accepted.as_scp
    try:
        return say(association, told, **named)
    finally:
        association.release()


@pytest.fixture
def archive() -> Iterator[CommitmentArchive]:
    made = CommitmentArchive()
    with made.listening():
        yield made


@pytest.fixture
def here(tmp_path: Path, product: Product, archive: CommitmentArchive) -> Iterator[Ours]:
    with ours(tmp_path, product, archive.port, commitment_from=("ARCHIVE2",)) as made:
        yield made


def test_orthanc_commits_to_a_stored_report(tmp_path: Path, product: Product) -> None:
    port = find_free_port()
    known = {"us": {"AET": OURS, "Host": HOST, "Port": port, "AllowStorageCommitment": True}}
    with (
        orthanc(tmp_path / "pacs", DicomModalities=known) as server,
        ours(tmp_path, product, server.dicom_port, port, ae_title="ORTHANC") as here,
    ):
        assert here.work() in {DeliveryState.STORED, DeliveryState.DELIVERED}
        here.wait_for(DeliveryState.DELIVERED)
        assert here.delivery().last_answer == "0x0000 Success; storage commitment confirmed"
        assert current(here.ledger, here.study_uid).state is State.DELIVERED
        assert len(server.reports()) == 1


def test_a_report_that_orthanc_has_lost_is_sent_again(tmp_path: Path, product: Product) -> None:
    """The archive itself reports that it has no such instance."""
    port = find_free_port()
    known = {"us": {"AET": OURS, "Host": HOST, "Port": port, "AllowStorageCommitment": True}}
    with (
        orthanc(tmp_path / "pacs", DicomModalities=known) as server,
        ours(tmp_path, product, server.dicom_port, port, ae_title="ORTHANC") as here,
    ):
        destination = here.deliverer.destinations["pacs"]
        taken = destination.deliver(product)
        server.empty()
        transaction = "2.25.77"
        assert here.requests.record_request(here.delivery_id, transaction, taken.answer)
        destination.request_commitment(transaction, product, lambda *_: True)  # type: ignore[attr-defined]
        here.wait_for(DeliveryState.PENDING)
        assert (
            here.delivery().last_answer
            == "storage commitment failed: 0x0112 No such object instance"
        )
        here.work(300)
        here.wait_for(DeliveryState.DELIVERED)
        assert len(server.reports()) == 1


def test_a_delivery_is_complete_when_the_archive_commits(
    here: Ours, archive: CommitmentArchive
) -> None:
    assert here.work() is DeliveryState.STORED
    assert here.delivery().last_answer == (
        "0x0000 Success; its storage commitment report is awaited"
    )
    assert current(here.ledger, here.study_uid).state is State.ASSESSED
    (asked,) = archive.asked
    (item,) = asked.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == here.delivery().product.sop_instance_uid
    assert tell(here, word(asked)) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.DELIVERED
    assert current(here.ledger, here.study_uid).state is State.DELIVERED
    assert (
        tell(here, word(asked, 0x0112)) == EventReportStatus.SUCCESS
    )  # it has said otherwise before
    assert here.delivery().state is DeliveryState.DELIVERED
    assert len(archive.stored) == 1


@pytest.mark.parametrize("reason", [0, 0x0110])
def test_a_report_on_the_association_of_the_request_is_accepted(
    here: Ours, archive: CommitmentArchive, reason: int
) -> None:
    archive.at_once = reason
    ended = DeliveryState.PENDING if reason else DeliveryState.DELIVERED
    assert here.work() is ended
    assert ("0x0110 Processing failure" in here.delivery().last_answer) == bool(reason)


def test_a_storage_warning_is_kept_beside_the_commitment(
    here: Ours, archive: CommitmentArchive
) -> None:
    archive.store_status, archive.at_once = 0xB000, 0
    assert here.work() is DeliveryState.DELIVERED
    assert here.delivery().last_answer == (
        "0xB000 Coercion of data elements; storage commitment confirmed"
    )


def test_a_product_without_commitment_is_sent_again_under_the_same_uid(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    assert tell(here, word(archive.asked[0], 0x0213)) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.PENDING
    assert here.delivery().last_answer == "storage commitment failed: 0x0213 Resource limitation"
    assert here.work(1) is DeliveryState.PENDING  # not at once
    assert here.work(5) is DeliveryState.STORED
    assert len(archive.stored) == 2
    assert len({*archive.stored}) == 1
    assert (
        tell(here, word(archive.asked[0], 0x0112)) == EventReportStatus.SUCCESS
    )  # of the question before
    assert here.delivery().state is DeliveryState.STORED
    assert tell(here, word(archive.asked[1])) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.DELIVERED


def test_a_silent_archive_gets_the_request_again_and_then_the_product(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    assert here.work(WITHIN_S - 1) is DeliveryState.STORED
    assert (len(archive.stored), len(archive.asked)) == (1, 1)
    assert here.ledger.list_unsent_deliveries(0) == []
    here.clock.pass_s(2)
    assert here.ledger.list_unsent_deliveries(0) == [here.delivery_id]
    here.work()
    assert (len(archive.stored), len(archive.asked)) == (1, 2)
    here.work(WITHIN_S + 1)
    assert (len(archive.stored), len(archive.asked)) == (2, 3)
    here.work(WITHIN_S + 1)
    assert (len(archive.stored), len(archive.asked)) == (2, 4)
    assert len({asked.TransactionUID for asked in archive.asked}) == 4
    assert (
        tell(here, word(archive.asked[0])) == EventReportStatus.SUCCESS
    )  # late, and still its word
    assert here.delivery().state is DeliveryState.DELIVERED


def test_a_delivery_to_an_archive_that_never_reports_is_given_up(
    here: Ours, archive: CommitmentArchive
) -> None:
    for _ in range(10):
        state = here.work(WITHIN_S + 1)
    assert state is DeliveryState.FAILED
    assert "no storage commitment received" in here.delivery().last_answer
    assert current(here.ledger, here.study_uid).state is State.FAILED
    assert tell(here, word(archive.asked[0])) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.FAILED


def test_a_delivery_to_an_archive_that_always_refuses_is_given_up(
    here: Ours, archive: CommitmentArchive
) -> None:
    archive.at_once = 0x0110
    for _ in range(9):
        assert here.work(300) is DeliveryState.PENDING
    assert here.work(300) is DeliveryState.FAILED
    assert here.delivery().last_answer == (
        "no storage commitment received; storage commitment failed: 0x0110 Processing failure"
    )
    assert len(archive.stored) == 9


def test_an_archive_that_refuses_the_request_gets_it_again_soon(
    here: Ours, archive: CommitmentArchive
) -> None:
    archive.answer = 0x0213
    assert here.work() is DeliveryState.STORED
    assert "answered the request for commitment with 0x0213" in here.delivery().last_answer
    archive.answer = 0
    here.work(6)
    assert (len(archive.stored), len(archive.asked)) == (1, 2)


def test_an_archive_without_storage_commitment_is_reported_with_advice(
    tmp_path: Path, product: Product
) -> None:
    archive = CommitmentArchive(commits=False)
    with archive.listening(), ours(tmp_path, product, archive.port) as here:
        assert here.work() is DeliveryState.STORED
        said = here.delivery().last_answer
    assert "accepts no Storage Commitment: enable it there, or set commitment: false" in said


@WRITTEN
def test_an_unavailable_archive_gets_the_request_when_it_is_back(
    tmp_path: Path, product: Product
) -> None:
    archive = CommitmentArchive()
    with ours(tmp_path, product, archive.port) as here:
        with archive.listening():
            archive.answer = 0x0213
            here.work()
        assert here.work(6) is DeliveryState.STORED
        assert "does not answer" in here.delivery().last_answer
        archive.answer = 0
        with archive.listening():
            here.work(300)
        assert tell(here, word(archive.asked[-1])) == EventReportStatus.SUCCESS
        assert here.delivery().state is DeliveryState.DELIVERED


def test_a_report_without_the_instance_is_no_commitment(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    lie = word(archive.asked[0])
    lie.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"
    assert tell(here, lie) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.PENDING
    assert "neither as committed nor as failed" in here.delivery().last_answer


def test_a_report_with_success_and_failure_is_a_failure(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    both = word(archive.asked[0])
    both.FailedSOPSequence = word(archive.asked[0], 0x0119).FailedSOPSequence
    assert tell(here, both, kind=1) == EventReportStatus.SUCCESS
    assert "0x0119" in here.delivery().last_answer


def test_a_report_from_another_archive_is_refused(here: Ours, archive: CommitmentArchive) -> None:
    here.work()
    assert tell(here, word(archive.asked[0]), "SOMEBODY") == EventReportStatus.INVALID_ARGUMENT
    unknown = word(archive.asked[0])
    unknown.TransactionUID = "2.25.4711"
    assert tell(here, unknown) == EventReportStatus.INVALID_ARGUMENT
    assert here.delivery().state is DeliveryState.STORED
    assert sorted(here.incidents()) == [
        f"transaction {archive.asked[0].TransactionUID} was requested from another peer",
        "unknown transaction 2.25.4711",
    ]
    assert tell(here, word(archive.asked[0]), "ARCHIVE2") == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.DELIVERED


def test_an_invalid_report_is_refused_with_its_status(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    told = word(archive.asked[0])
    assert tell(here, told, kind=3) == EventReportStatus.NO_SUCH_EVENT
    assert tell(here, told, instance="1.2.3") == EventReportStatus.NO_SUCH_INSTANCE
    for tag in ("TransactionUID", "ReferencedSOPClassUID"):
        broken = word(archive.asked[0], 0x0112)
        del (broken if tag in broken else broken.FailedSOPSequence[0])[tag]
        assert tell(here, broken) == EventReportStatus.INVALID_ARGUMENT
    no_reason = word(archive.asked[0], 0x0112)
    del no_reason.FailedSOPSequence[0].FailureReason
    assert tell(here, no_reason) == EventReportStatus.INVALID_ARGUMENT
    assert here.delivery().state is DeliveryState.STORED


def test_a_request_lost_by_a_crash_is_sent_later(here: Ours, archive: CommitmentArchive) -> None:
    """The request is in the ledger; its lease ends, and another worker sends it."""
    assert here.ledger.claim_delivery(here.delivery_id, 30)
    assert here.requests.record_request(here.delivery_id, "2.25.7", "0x0000 Success")
    assert here.work(29) is DeliveryState.STORED
    assert not archive.asked
    here.work(max(2, SOON_S))
    assert (len(archive.stored), len(archive.asked)) == (0, 1)
    assert tell(here, word(archive.asked[0])) == EventReportStatus.SUCCESS
    assert here.delivery().state is DeliveryState.DELIVERED


def test_a_commitment_during_a_repeated_delivery_is_not_undone(here: Ours) -> None:
    here.work()
    here.ledger.record_delivered(here.delivery_id, "0x0000 Success; storage commitment confirmed")
    assert not here.requests.record_request(here.delivery_id, "2.25.8", None)
    here.requests.postpone(here.delivery_id, "waits", 5)
    here.ledger.record_failure(here.delivery_id, "no answer", 5)
    here.ledger.record_failure(here.delivery_id, "no answer", None)
    assert here.delivery().state is DeliveryState.DELIVERED
    assert here.delivery().last_answer == "0x0000 Success; storage commitment confirmed"


def test_a_stored_product_is_delivered_when_commitment_is_switched_off(
    here: Ours, archive: CommitmentArchive
) -> None:
    here.work()
    settings = here.deliverer.destinations["pacs"].settings  # type: ignore[attr-defined]
    plain = open_pacs(OURS, settings.model_copy(update={"commitment": False}))
    here.deliverer = replace(here.deliverer, destinations={"pacs": plain}, commitment=None)
    assert here.work(WITHIN_S + 1) is DeliveryState.DELIVERED
    assert len(archive.stored) == 1
