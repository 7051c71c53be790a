"""The fast path of C-STORE has the same limits, and serves no association that is not its own."""

import resource
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

import receivers.c_store
from tests.builders.images import image, uid
from tests.fakes import FakeClock
from tests.integration.certificates import Authority
from tests.integration.listening_receiver import (
    CALLED,
    ListeningReceiver,
    connect_silently,
    measure_resources,
    request_association,
    run_receiver,
)
from tests.integration.raw_peer import (
    COMMAND,
    LAST,
    P_DATA,
    RawPeer,
    implicit,
    in_pieces,
    message,
    pdu,
    pdv,
)
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dimse.statuses import StoreStatus
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


@pytest.mark.parametrize(
    ("missing", "status"), [(0, StoreStatus.SUCCESS), (1, StoreStatus.TOO_LARGE)]
)
def test_the_largest_instance_is_kept_and_one_byte_more_is_refused(
    tmp_path: Path, missing: int, status: int
) -> None:
    head, data = implicit()
    with run_receiver(tmp_path, fast=True, instance_bytes=len(data) - missing) as receiver:
        sender = RawPeer(receiver.port)
        sender.send(pdu(pdv(COMMAND | LAST, head)) + in_pieces(data, 300))
        assert sender.status() == status
        sender.release()
        assert len(receiver.files()) == 1 - missing


def test_an_instance_that_is_too_large_is_dropped_and_the_association_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Intake, "accept")
    large = image(number=2, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    with run_receiver(tmp_path, fast=True, instance_bytes=100_000) as receiver:
        association = request_association(receiver.port, (MRImageStorage, ExplicitVRLittleEndian))
        order = [image(number=1), large, large, image(number=3)]
        statuses = [association.send_c_store(each).Status for each in order]
        association.release()
        assert statuses == [0, StoreStatus.TOO_LARGE, StoreStatus.TOO_LARGE, 0]
        assert len(receiver.files()) == 2
        assert receiver.list_incidents() == [
            ("larger than receiver.instance_bytes, 100000", "PACS", 2)
        ]


def test_an_instance_that_is_too_large_is_removed_while_the_rest_arrives(tmp_path: Path) -> None:
    head, data = implicit()
    with run_receiver(tmp_path, fast=True, instance_bytes=1000) as receiver:
        sender = RawPeer(receiver.port)
        sender.send(pdu(pdv(COMMAND | LAST, head)) + pdu(pdv(0, data[:900])))
        wait_until(receiver.files, what="the beginning of the file")
        sender.send(pdu(pdv(0, data[900:1100])))
        wait_until(lambda: not receiver.files(), what="its end")
        sender.send(pdu(pdv(LAST, data[1100:])))
        assert sender.status() == StoreStatus.TOO_LARGE
        sender.release()


def test_a_pdu_that_is_too_long_is_answered_with_an_abort(tmp_path: Path) -> None:
    with run_receiver(tmp_path, fast=True, pdu_bytes=4096) as receiver:
        sender = RawPeer(receiver.port)
        sender.send(message())
        assert sender.status() == StoreStatus.SUCCESS
        sender.send(pdu(pdv(0, bytes(4091))))
        assert sender.answer() == (7, b"\x00\x00\x02\x06")  # PS3.8 9.3.8
        sender.close()


@pytest.mark.parametrize("kind", [P_DATA, 5])
def test_a_large_length_alone_allocates_no_memory(tmp_path: Path, kind: int) -> None:
    with run_receiver(tmp_path, fast=True) as receiver:
        sender = RawPeer(receiver.port)
        sender.send(bytes([kind, 0, 0xFF, 0xFF, 0xFF, 0xFF]) + bytes(50))
        assert sender.answer() == (7, b"\x00\x00\x02\x06")
        sender.close()


@pytest.mark.parametrize("said", [0, 600])
def test_a_silent_association_is_ended(tmp_path: Path, said: int) -> None:
    with run_receiver(tmp_path, fast=True, idle_s=1, artim_s=1) as receiver:
        before = measure_resources()
        sender = RawPeer(receiver.port)
        sender.send(message() + message(2)[:said])
        assert sender.status() == StoreStatus.SUCCESS
        assert sender.ended()  # raises after the limit of the socket, long before the test ends
        sender.close()
        wait_until(
            lambda: measure_resources().threads <= before.threads, what="the end of its threads"
        )
        assert len(receiver.files()) == 1


@pytest.mark.parametrize("end", ["release", "close"])
def test_the_association_of_a_study_counts_until_it_ends(tmp_path: Path, end: str) -> None:
    with run_receiver(tmp_path, fast=True) as receiver:
        sender = RawPeer(receiver.port)
        sender.send(message())
        assert sender.status() == StoreStatus.SUCCESS
        bringing = receiver.intake.associations.count_sending
        assert bringing(uid("study")) == 1
        getattr(sender, end)()
        wait_until(lambda: not bringing(uid("study")), what="the end")


def test_instances_are_recorded_for_the_evidence_of_completeness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Intake, "accept")
    places = [[0, 0, 1.5], [0, 0, 1.5], [0, 0, 9]]
    with run_receiver(tmp_path, fast=True) as receiver:
        association = request_association(receiver.port, (MRImageStorage, ExplicitVRLittleEndian))
        for number, place in enumerate(places):
            said: dict[str, Any] = {"CardiacNumberOfImages": 25, "ImagePositionPatient": place}
            assert association.send_c_store(image(number=number, **said)).Status == 0
        association.release()
        stacks = receiver.ledger.list_stacks(uid("study"), 1)
    assert sorted((each.images, each.expected) for each in stacks) == [(1, 25), (2, 25)]


def test_pynetdicom_serves_associations_with_storage_commitment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Intake, "accept_file")
    ledger = SqlLedger.in_folder(tmp_path, FakeClock())
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",), fast=True)
    intake = Intake(FileSpool(tmp_path), ledger)
    receiving = receivers.c_store.start(intake, settings, cast(Any, object()))
    commitment = (StorageCommitmentPushModel, None)
    association = request_association(
        settings.plain_port(), (MRImageStorage, ExplicitVRLittleEndian), commitment
    )
    assert association.send_c_store(image()).Status == StoreStatus.SUCCESS
    association.release()
    receiving.end()
    ledger.close()


@contextmanager
def run_tls_receiver(folder: Path, **settings: Any) -> Iterator[tuple[ListeningReceiver, Any]]:
    """Run a receiver with a TLS port; yield it with the context of a client that trusts it."""
    (folder / "certificates").mkdir()
    authority = Authority(folder / "certificates", "receiver")
    shown = authority.sign("server")
    tls = {"port": find_free_port(), "certificate": shown.certificate, "key": shown.key}
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    with run_receiver(folder, tls=tls, **settings) as receiver:
        yield receiver, trusting


@pytest.mark.parametrize(("fast", "unused"), [(True, "accept"), (False, "accept_file")])
def test_the_fast_path_serves_the_tls_port_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused: str, *, fast: bool
) -> None:
    monkeypatch.delattr(Intake, unused)
    with run_tls_receiver(tmp_path, fast=fast) as (receiver, trusting):
        ae = AE(ae_title="PACS")
        ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        ae.add_requested_context(Verification)
        association = ae.associate(
            HOST, receiver.tls_port, ae_title=CALLED, tls_args=(trusting, HOST)
        )
        for number in range(3):
            assert association.send_c_store(image(number=number)).Status == StoreStatus.SUCCESS
            assert association.send_c_echo().Status == StoreStatus.SUCCESS
        association.release()


def test_a_large_instance_is_not_held_in_memory_on_the_tls_port(tmp_path: Path) -> None:
    head, data = implicit()
    size, piece = 100_000_000, bytes(100_000)
    large = struct.pack("<HHL", 0x7FE1, 0x1010, size)  # a private element of that size
    with run_tls_receiver(tmp_path, fast=True) as (receiver, trusting):
        sender = RawPeer(receiver.tls_port, tls=trusting)
        sender.send(message())
        assert sender.status() == StoreStatus.SUCCESS
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sender.send(pdu(pdv(COMMAND | LAST, head)) + pdu(pdv(0, data + large)))
        for _ in range(size // len(piece) - 1):
            sender.send(pdu(pdv(0, piece)))
        sender.send(pdu(pdv(LAST, piece)))
        assert sender.status() == StoreStatus.SUCCESS
        sender.release()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < size // 2 // 1024


def test_instances_held_in_memory_share_a_budget_and_their_senders_repeat(tmp_path: Path) -> None:
    head, data = implicit(1)
    other_head, other_data = implicit(2)
    filling = bytes(60_000 - 8)
    data += struct.pack("<HHL", 0x7FE1, 0x1010, len(filling)) + filling
    other_data += struct.pack("<HHL", 0x7FE1, 0x1010, len(filling)) + filling
    with run_receiver(tmp_path, fast=False, memory_bytes=100_000) as receiver:
        first, second = RawPeer(receiver.port), RawPeer(receiver.port)
        first.send(pdu(pdv(COMMAND | LAST, head)) + pdu(pdv(0, data[:60_000])))
        wait_until(lambda: receiver.intake.memory.held_bytes >= 60_000, what="the first half")
        attempt = pdu(pdv(COMMAND | LAST, other_head)) + pdu(pdv(LAST, other_data))
        second.send(attempt)
        assert second.status() == StoreStatus.OUT_OF_RESOURCES
        first.send(pdu(pdv(LAST, data[60_000:])))
        assert first.status() == StoreStatus.SUCCESS
        second.send(attempt)
        assert second.status() == StoreStatus.SUCCESS
        assert sum(path.suffix == ".dcm" for path in receiver.files()) == 2
        first.send(pdu(pdv(COMMAND | LAST, head)) + pdu(pdv(0, data[:60_000])))
        wait_until(lambda: receiver.intake.memory.held_bytes >= 60_000, what="the first half")
        first.close()  # what a sender leaves behind is given back
        wait_until(lambda: receiver.intake.memory.held_bytes == 0, what="its end")
        second.release()


def test_a_connection_without_association_gets_no_buffer(tmp_path: Path) -> None:
    with run_receiver(tmp_path, fast=True, pdu_bytes=16_777_216, artim_s=3) as receiver:
        before = measure_resources()
        held = [connect_silently(receiver.port) for _ in range(20)]
        for each in held:
            each.sendall(b"\x01")
        time.sleep(1)
        assert measure_resources().megabytes - before.megabytes < 100  # 20 buffers were 670
        for each in held:
            each.close()
