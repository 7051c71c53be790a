"""The receiver with real senders: DCMTK, and pynetdicom for invalid bytes."""

import socket
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID, EnhancedMRImageStorage, JPEG2000Lossless, MRImageStorage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

import receivers.c_store
from tests.builders.images import SIDE, image, part10, uid
from tests.fakes import FakeClock
from tests.integration.scp import ListeningScp, associated, dcmtk, stored
from tests.peers import real_data, unavailable
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dimse.statuses import StoreStatus
from triage.domain.errors import LedgerUnavailable
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


def listening(state: Path, spool: FileSpool) -> Iterator[ListeningScp]:
    ledger = SqlLedger.in_folder(state, FakeClock())
    settings = ReceiverSettings(
        ae_title="CMRTRIAGE", port=find_free_port(), calling=("PACS", "PACS2")
    )
    intake = Intake(spool, ledger)
    server = receivers.c_store.start(intake, settings)
    yield ListeningScp(settings.plain_port(), ledger, state, intake.associations)
    server.shutdown()
    ledger.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ListeningScp]:
    yield from listening(tmp_path, FileSpool(tmp_path))


def test_an_echo_is_answered(receiver: ListeningScp) -> None:
    assert dcmtk("echoscu", receiver.port).returncode == 0


@pytest.mark.parametrize(
    ("calling", "called", "said"),
    [
        ("STRANGER", "CMRTRIAGE", "Calling AE Title Not Recognized"),
        ("PACS", "OTHER", "Called AE Title Not Recognized"),
    ],
)
def test_an_unknown_caller_is_rejected_and_reported(
    receiver: ListeningScp, calling: str, called: str, said: str
) -> None:
    refused = dcmtk("echoscu", receiver.port, calling=calling, called=called)
    assert refused.returncode != 0
    assert said in refused.stdout + refused.stderr
    wait_until(receiver.ledger.incidents, what="the incident")
    (incident,) = receiver.ledger.incidents()
    assert incident.kind == "rejected association"
    assert incident.calling_ae == calling


@pytest.mark.parametrize("end", ["release", "abort"])
def test_the_association_of_a_study_counts_until_it_ends(receiver: ListeningScp, end: str) -> None:
    association = associated(receiver.port)
    other = associated(receiver.port)
    assert association.send_c_store(image()).Status == StoreStatus.SUCCESS
    assert receiver.associations.count_sending(uid("study")) == 1
    getattr(association, end)()
    wait_until(lambda: not receiver.associations.count_sending(uid("study")), what="the end")
    other.release()


def test_a_pacs_may_use_several_calling_titles(receiver: ListeningScp) -> None:
    assert dcmtk("echoscu", receiver.port, calling="PACS2").returncode == 0


def test_a_silent_connection_is_no_incident(receiver: ListeningScp) -> None:
    for _ in range(20):
        socket.create_connection((HOST, receiver.port)).close()
    assert dcmtk("echoscu", receiver.port).returncode == 0
    assert not receiver.ledger.incidents()


def test_the_received_bytes_are_kept_undecoded(receiver: ListeningScp) -> None:
    path = real_data("scd_ge_sax_frames") / "jfitz/dicoms/SCD0000101/47.dcm"
    sent = dcmtk("storescu", receiver.port, str(path))
    assert sent.returncode == 0, sent.stderr
    (kept,) = receiver.kept()
    original = dcmread(path)
    assert kept.endswith(original.PixelData)
    assert dcmread(next((receiver.state / "spool").rglob("*.dcm"))) == original


def test_compressed_images_stay_compressed(receiver: ListeningScp) -> None:
    path = real_data("derived_variants") / "ts_j2k_lossless.dcm"
    sent = dcmtk("storescu", receiver.port, str(path), "-xv")
    assert sent.returncode == 0, sent.stderr
    (kept,) = (receiver.state / "spool").rglob("*.dcm")
    assert dcmread(kept).file_meta.TransferSyntaxUID == JPEG2000Lossless


def test_enhanced_mr_is_accepted(receiver: ListeningScp) -> None:
    association = associated(receiver.port, EnhancedMRImageStorage)
    enhanced = image(SOPClassUID=EnhancedMRImageStorage)
    enhanced.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    assert association.send_c_store(enhanced).Status == StoreStatus.SUCCESS
    association.release()


def test_a_duplicate_instance_is_kept_once(receiver: ListeningScp) -> None:
    assert stored(receiver.port, image(), image()) == [StoreStatus.SUCCESS, StoreStatus.SUCCESS]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 1
    assert len(receiver.kept()) == 1


def test_a_damaged_instance_is_quarantined_and_the_next_one_is_stored(
    receiver: ListeningScp,
) -> None:
    damaged = image(number=2, PixelData=bytes(SIDE))
    statuses = stored(receiver.port, image(number=1), damaged, image(number=3))
    assert statuses == [StoreStatus.SUCCESS, StoreStatus.CANNOT_UNDERSTAND, StoreStatus.SUCCESS]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 2
    (incident,) = receiver.ledger.incidents()
    assert "shorter than the header states" in incident.detail
    assert (receiver.state / incident.path).is_file()


def test_an_instance_that_differs_from_its_command_is_refused(receiver: ListeningScp) -> None:
    association = associated(receiver.port)
    (context,) = association.accepted_contexts
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = MRImageStorage
    request.AffectedSOPInstanceUID = UID("1.2.3")
    request.DataSet = BytesIO(encode(image(), is_implicit_vr=True, is_little_endian=True) or b"")
    assert context.context_id is not None
    association._reactor_checkpoint.clear()  # or its own reactor takes the answer
    wait_until(lambda: association._is_paused, what="the pause")
    association.dimse.send_msg(request, context.context_id)
    _context, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    assert isinstance(answer, C_STORE)
    assert answer.Status == StoreStatus.DATA_SET_DOES_NOT_MATCH
    assert not receiver.ledger.list_studies()


def test_each_file_may_have_an_association_of_its_own(receiver: ListeningScp) -> None:
    for number in range(25):
        assert stored(receiver.port, image(number=number)) == [StoreStatus.SUCCESS]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 25


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        unavailable("a disk of 200 kB (mounting one needs root)")
    yield folder
    wait_until(
        lambda: not subprocess.run(["umount", str(folder)], check=False).returncode, what="umount"
    )


@pytest.fixture
def on_small_disk(tmp_path: Path, small_disk: Path) -> Iterator[ListeningScp]:
    yield from listening(tmp_path, FileSpool(small_disk))


def test_a_full_disk_returns_out_of_resources_and_keeps_stored_instances(
    on_small_disk: ListeningScp, small_disk: Path
) -> None:
    big = bytes(128 * 128 * 2)
    images = [image(number=n, Rows=128, Columns=128, PixelData=big) for n in range(12)]
    statuses = stored(on_small_disk.port, *images)
    assert statuses[0] == StoreStatus.SUCCESS
    assert statuses[-1] == StoreStatus.OUT_OF_RESOURCES
    promised = [
        part10(each)[-len(big) :] for each, s in zip(images, statuses, strict=True) if not s
    ]
    kept = [path.read_bytes() for path in (small_disk / "spool").glob("*/*.dcm")]
    assert len(kept) == len(promised)
    assert all(content.endswith(big) for content in kept)
    (study,) = on_small_disk.ledger.list_studies()
    assert study.instances == len(promised)
    # When there is room again, the sender's next try is taken.
    next((small_disk / "spool").glob("*/*.dcm")).unlink()
    assert stored(on_small_disk.port, images[-1]) == [StoreStatus.SUCCESS]


def test_an_unavailable_ledger_returns_out_of_resources_and_loses_nothing(
    receiver: ListeningScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.ledger, "record_instance", away)
        assert stored(receiver.port, image()) == [StoreStatus.OUT_OF_RESOURCES]
    assert stored(receiver.port, image()) == [StoreStatus.SUCCESS]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 1


def test_the_receiver_ends_soon_while_an_association_is_open(tmp_path: Path) -> None:
    ledger = SqlLedger.in_folder(tmp_path, FakeClock())
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",))
    server = receivers.c_store.start(Intake(FileSpool(tmp_path), ledger), settings)
    idle = associated(settings.plain_port())
    began = time.monotonic()
    server.end()
    wait_until(lambda: not idle.is_established, what="the end of the association")
    assert time.monotonic() - began < 10
    ledger.close()
