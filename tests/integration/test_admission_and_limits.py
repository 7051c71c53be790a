"""Admission of senders, and limits, with pynetdicom, DCMTK and bare sockets."""

import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    BasicTextSRStorage,
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    KeyObjectSelectionDocumentStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    MRSpectroscopyStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    RawDataStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from receivers.c_store.admission import INTERNAL_ERROR, Admission
from receivers.c_store.listener import ENDED, SILENT_CONNECTIONS_MAX, SILENT_OF_ONE_PEER
from tests.builders.images import image
from tests.integration.listening_receiver import (
    connect_silently,
    is_closed,
    measure_resources,
    read_rejection,
    request_association,
    run_receiver,
    write_study,
)
from tests.integration.scp import dcmtk
from tests.waiting import wait_until
from triage.dimse.pynetdicom_internals import EndCause
from triage.dimse.statuses import StoreStatus
from triage.dimse.storage_classes import PRIVATE_CLASSES

#: Storage classes of a cardiac study and of objects that accompany it.
ACCOMPANYING_CLASSES = [
    MRImageStorage,
    EnhancedMRImageStorage,
    EnhancedMRColorImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRSpectroscopyStorage,
    RawDataStorage,
    SegmentationStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ColorSoftcopyPresentationStateStorage,
    BasicTextSRStorage,
    EnhancedSRStorage,
    ComprehensiveSRStorage,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    EncapsulatedPDFStorage,
    *PRIVATE_CLASSES.values(),
]
#: What pydicom's decoders decode, and the uncompressed ones.
DECODED = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
    RLELossless,
]


@pytest.mark.parametrize("sop_class", ACCOMPANYING_CLASSES)
def test_each_class_is_accepted_in_each_decodable_syntax(tmp_path: Path, sop_class: str) -> None:
    with run_receiver(tmp_path) as receiver:
        association = request_association(
            receiver.port, *((sop_class, syntax) for syntax in DECODED)
        )
        assert association.is_established
        taken = {each.transfer_syntax[0] for each in association.accepted_contexts}
        association.release()
    assert taken == set(DECODED)


def test_a_private_class_beside_the_images_is_kept(tmp_path: Path) -> None:
    private = image(SOPClassUID=PRIVATE_CLASSES["SiemensCSANonImageStorage"])
    private.file_meta.MediaStorageSOPClassUID = private.SOPClassUID
    with run_receiver(tmp_path) as receiver:
        association = request_association(
            receiver.port, (private.SOPClassUID, ExplicitVRLittleEndian)
        )
        assert association.send_c_store(private).Status == StoreStatus.SUCCESS
        association.release()
        assert len(receiver.files()) == 1


def test_many_instances_arrive_on_one_association(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "sent", 1000)
    with run_receiver(tmp_path) as receiver:
        assert dcmtk("storescu", receiver.port, "+sd", str(folder)).returncode == 0
        (study,) = receiver.ledger.list_studies()
    assert study.instances == 1000


def test_connections_closed_without_a_byte_leave_nothing_behind(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as receiver:
        before = measure_resources()
        for _ in range(500):
            connect_silently(receiver.port).close()
        wait_until(
            lambda: measure_resources().descriptors <= before.descriptors, what="the end of all"
        )
        assert measure_resources().threads <= before.threads
        assert not receiver.list_incidents()


def test_silent_connections_use_no_thread_and_delay_no_other(tmp_path: Path) -> None:
    with run_receiver(tmp_path, artim_s=10) as receiver:
        before = measure_resources()
        held = [connect_silently(receiver.port) for _ in range(SILENT_CONNECTIONS_MAX + 100)]
        began = time.monotonic()
        assert dcmtk("echoscu", receiver.port).returncode == 0
        assert is_closed(held[0], 4)  # the oldest has made room
        assert time.monotonic() - began < 8  # and ARTIM has not expired
        now = measure_resources()
        assert now.threads <= before.threads + 2  # those of the echo may not be over yet
        assert now.descriptors <= before.descriptors + len(held) + SILENT_CONNECTIONS_MAX + 2
        assert all(is_closed(each) for each in held)  # ARTIM
        for each in held:
            each.close()
        assert {why for why, *_ in receiver.list_incidents(len(held))} == {
            f"more than {SILENT_OF_ONE_PEER} silent connections of one address at once",
            ENDED[EndCause.NO_REQUEST][1],
        }
        wait_until(
            # the ledger has opened some
            lambda: measure_resources().descriptors <= before.descriptors + 10,
            what="the end of all",
        )


def test_a_silent_connection_may_end_while_it_is_replaced(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as receiver:
        held = [connect_silently(receiver.port) for _ in range(SILENT_CONNECTIONS_MAX)]
        for _ in range(1000):
            held.append(connect_silently(receiver.port))
            held.pop(0).close()
        assert dcmtk("echoscu", receiver.port).returncode == 0
        for each in held:
            each.close()


@pytest.mark.parametrize("said", [b"\x01", b"\x01\x00\x00\x00\x00\xff half a request"])
def test_an_incomplete_request_is_ended_by_artim(tmp_path: Path, said: bytes) -> None:
    with run_receiver(tmp_path, artim_s=1) as receiver:
        before = measure_resources()
        with connect_silently(receiver.port) as connection:
            connection.sendall(said)
            assert is_closed(connection)
        wait_until(
            lambda: measure_resources().threads <= before.threads, what="the end of its threads"
        )
        assert measure_resources().descriptors <= before.descriptors


def test_connections_with_one_byte_use_no_thread(tmp_path: Path) -> None:
    with run_receiver(tmp_path, associations=1, artim_s=5) as receiver:
        before = measure_resources()
        held = [connect_silently(receiver.port) for _ in range(SILENT_OF_ONE_PEER - 5)]
        for each in held:
            each.sendall(b"\x01")
        assert dcmtk("echoscu", receiver.port).returncode == 0
        assert measure_resources().threads <= before.threads + 3  # of the echo
        assert all(is_closed(each) for each in held)
        for each in held:
            each.close()
        incidents = receiver.list_incidents(len(held))
        assert {why for why, *_ in incidents} == {"the association request arrives too slowly"}


def test_a_peer_beyond_its_limit_is_rejected_transiently(tmp_path: Path) -> None:
    peers = {"mr1": {"ae_titles": ["MR1"], "associations": 2}}
    with run_receiver(tmp_path, peers=peers) as receiver:
        held = [request_association(receiver.port, calling="MR1") for _ in range(2)]
        assert all(each.is_established for each in held)
        for _ in range(5):
            assert read_rejection(request_association(receiver.port, calling="MR1")) == (2, 3, 2)
        said = dcmtk("echoscu", receiver.port, calling="MR1")
        assert "Local Limit Exceeded" in said.stdout + said.stderr
        assert request_association(receiver.port).is_established  # nobody else suffers
        assert receiver.list_incidents(6) == [
            ("more than 2 associations of 'mr1' at once", "MR1", 6)
        ]
        held[0].release()
        assert request_association(receiver.port, calling="MR1").is_established


def test_associations_beyond_the_limit_are_rejected_transiently(tmp_path: Path) -> None:
    with run_receiver(tmp_path, associations=3) as receiver:
        assert all(request_association(receiver.port).is_established for _ in range(3))
        assert read_rejection(request_association(receiver.port)) == (2, 3, 2)
        assert receiver.list_incidents(1) == [("more than 3 associations at once", "PACS", 1)]


def test_consecutive_associations_never_exceed_a_limit_of_one(tmp_path: Path) -> None:
    with run_receiver(tmp_path, associations=1) as receiver:
        for _ in range(30):
            association = request_association(receiver.port)
            assert association.is_established
            association.release()


@pytest.mark.parametrize(
    ("calling", "called", "expected"),
    [
        ("STRANGER", "CMRTRIAGE", (1, 1, 3)),
        ("PACS", "OTHER", (1, 1, 7)),
        ("FAR", "CMRTRIAGE", (1, 1, 3)),
    ],
)
def test_an_unknown_caller_is_rejected_permanently_each_time(
    tmp_path: Path, calling: str, called: str, expected: tuple[int, int, int]
) -> None:
    peers = {"far": {"ae_titles": ["FAR"], "addresses": ["192.0.2.0/24"]}}
    with run_receiver(tmp_path, peers=peers) as receiver:
        before = measure_resources()
        for _ in range(20):
            assert (
                read_rejection(request_association(receiver.port, calling=calling, called=called))
                == expected
            )
        ((_, who, times),) = receiver.list_incidents(20)
        assert (who, times) == (calling, 20)
        wait_until(
            lambda: measure_resources().threads <= before.threads, what="the end of its threads"
        )
        assert (
            measure_resources().descriptors < before.descriptors + 20
        )  # the ledger has opened some


def test_a_defect_in_admission_rejects_the_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Admission, "admit", broken)
    with run_receiver(tmp_path) as receiver:
        assert read_rejection(request_association(receiver.port)) == (2, 2, 1)
        assert receiver.list_incidents(1) == [(INTERNAL_ERROR.why, "", 1)]


def test_another_called_title_is_accepted_if_configured(tmp_path: Path) -> None:
    with run_receiver(tmp_path, check_called=False) as receiver:
        assert request_association(receiver.port, called="OTHER").is_established


def test_a_silent_association_is_ended(tmp_path: Path) -> None:
    with run_receiver(tmp_path, idle_s=1, artim_s=1) as receiver:
        association = request_association(receiver.port)
        assert association.is_established
        wait_until(lambda: association.is_aborted, what="the end of the association")


def bare(association: Any) -> socket.socket:
    """Take the connection of an association from pynetdicom, to send invalid bytes on it."""
    association._reactor_checkpoint.clear()
    association.dul._kill_thread = True
    association.dul.join()
    connection: socket.socket = association.dul.socket.socket
    return connection


def test_a_pdu_that_is_too_long_ends_the_association_and_allocates_no_memory(
    tmp_path: Path,
) -> None:
    with run_receiver(tmp_path, pdu_bytes=16_384) as receiver:
        association = request_association(receiver.port)
        assert association.acceptor.maximum_length == 16_384
        connection = bare(association)
        connection.sendall(struct.pack(">BBL", 4, 0, 16_385))
        connection.settimeout(5)
        aborted = connection.recv(10)
        assert aborted == b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x06"  # PS3.8 9.3.8
        assert is_closed(connection)
        connection.close()
        association._reactor_checkpoint.set()


def test_the_length_of_an_association_request_is_limited(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as receiver, connect_silently(receiver.port) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF))
        assert connection.recv(10)[-2:] == b"\x02\x06"
        assert is_closed(connection)


def test_a_pdu_of_the_largest_size_is_accepted(tmp_path: Path) -> None:
    big = image(Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2))
    with run_receiver(tmp_path, pdu_bytes=4096) as receiver:
        association = request_association(receiver.port, (MRImageStorage, ExplicitVRLittleEndian))
        assert association.send_c_store(big).Status == StoreStatus.SUCCESS
        association.release()


def test_an_instance_that_is_too_large_is_refused_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    large = image(number=2, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    small = [image(number=1), image(number=3)]
    with run_receiver(tmp_path, instance_bytes=100_000) as receiver:
        association = request_association(receiver.port, (MRImageStorage, ExplicitVRLittleEndian))
        order = [small[0], large, large, small[1]]
        statuses = [association.send_c_store(each).Status for each in order]
        association.release()
        assert statuses == [0, StoreStatus.TOO_LARGE, StoreStatus.TOO_LARGE, 0]
        assert len(receiver.files()) == 2
        assert receiver.list_incidents() == [
            ("larger than receiver.instance_bytes, 100000", "PACS", 2)
        ]
        (study,) = receiver.ledger.list_studies()
        assert study.instances == 2
