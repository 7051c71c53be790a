"""The fast path of C-STORE: files and responses equal those of pynetdicom."""

import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import MRImageStorage
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

import receivers.c_store
from receivers.c_store.fast_store import FastSocket
from tests.builders.associate_requests import ECHO, STORE, associate_rq
from tests.builders.images import image, part10
from tests.fakes import FakeClock
from tests.integration.raw_peer import (
    ABORT,
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
from tests.integration.scp import ListeningScp, associated, stored
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dicom.header import strip_file_meta
from triage.dimse.statuses import StoreStatus
from triage.pipeline.intake import Intake
from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


def listening(state: Path, *, fast: bool) -> Iterator[ListeningScp]:
    state.mkdir()
    ledger = SqlLedger.in_folder(state, FakeClock())
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",), fast=fast)
    intake = Intake(FileSpool(state), ledger)
    server = receivers.c_store.start(intake, settings)
    yield ListeningScp(settings.plain_port(), ledger, state, intake.associations)
    server.end()
    ledger.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ListeningScp]:
    yield from listening(tmp_path / "fast", fast=True)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[ListeningScp]:
    yield from listening(tmp_path / "plain", fast=False)


# -- a peer that writes its own bytes (PS3.8 9.3)


def nothing_is_left(receiver: ListeningScp) -> bool:
    return not list((receiver.state / "spool" / "incoming").iterdir())


def associations(port: int) -> list[Association]:
    """Return the associations of this receiver that have a thread."""
    ours = (each for each in threading.enumerate() if isinstance(each, Association))
    return [each for each in ours if each.is_acceptor and each.acceptor.port == port]


def test_the_fast_path_serves_an_instance_instead_of_pynetdicom(
    receiver: ListeningScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Intake, "accept")
    assert stored(receiver.port, image()) == [StoreStatus.SUCCESS]


def test_with_fast_false_pynetdicom_serves_an_instance(
    plain: ListeningScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Intake, "accept_file")
    assert stored(plain.port, image()) == [StoreStatus.SUCCESS]


def test_both_paths_keep_the_same_bytes(receiver: ListeningScp, plain: ListeningScp) -> None:
    images = [image(number=number) for number in range(5)]
    for each in (receiver, plain):
        assert set(stored(each.port, *images)) == {StoreStatus.SUCCESS}
    assert receiver.kept() == plain.kept()
    assert len(receiver.kept()) == 5


def sizes() -> list[int]:
    return [1, 7, 300, 10_000]


@pytest.mark.parametrize("size", sizes())
def test_fragments_of_any_size_are_joined(receiver: ListeningScp, size: int) -> None:
    sender = RawPeer(receiver.port)
    head, data = implicit()
    sender.send(pdu(pdv(COMMAND | LAST, head)) + in_pieces(data, size))
    assert sender.status() == StoreStatus.SUCCESS
    (kept,) = receiver.kept()
    assert strip_file_meta(kept) == data
    sender.release()


def test_bytes_may_arrive_one_at_a_time(receiver: ListeningScp) -> None:
    sender = RawPeer(receiver.port)
    for byte in message():
        sender.send(bytes([byte]))
    assert sender.status() == StoreStatus.SUCCESS
    sender.release()


def test_command_and_data_may_share_a_pdu_and_messages_a_packet(receiver: ListeningScp) -> None:
    sender = RawPeer(receiver.port)
    head, data = implicit(1)
    first = pdu(pdv(COMMAND | LAST, head), pdv(0, data[:100]), pdv(LAST, data[100:]))
    sender.send(first + message(2) + message(3))
    assert [sender.status() for _ in range(3)] == [StoreStatus.SUCCESS] * 3
    assert len(receiver.kept()) == 3
    sender.release()


def test_pynetdicom_serves_a_fragmented_command_and_the_fast_path_the_next_one(
    receiver: ListeningScp,
) -> None:
    sender = RawPeer(receiver.port)
    head, data = implicit(1)
    pieces = pdu(pdv(COMMAND, head[:50])) + pdu(pdv(COMMAND | LAST, head[50:]))
    for _ in range(2):
        sender.send(pieces + in_pieces(data, 300))
        assert sender.status() == StoreStatus.SUCCESS
        sender.send(message(2))
        assert sender.status() == StoreStatus.SUCCESS
    assert len(receiver.kept()) == 2
    sender.release()


def test_an_echo_between_instances_is_answered(receiver: ListeningScp) -> None:
    association = associated(receiver.port, MRImageStorage, Verification)
    for number in range(3):
        assert association.send_c_store(image(number=number)).Status == StoreStatus.SUCCESS
        assert association.send_c_echo().Status == StoreStatus.SUCCESS
    association.release()


def odd(data: bytes) -> dict[str, bytes]:
    """Bytes that must not occur in the middle of a data set."""
    return {
        "another command": pdu(pdv(COMMAND | LAST, implicit(2)[0])),
        "another context": pdu(pdv(0, data, ECHO)),
        "two last fragments": pdu(pdv(LAST, data), pdv(LAST, data)),
        "a value longer than its PDU": pdu(struct.pack(">LBB", 9999, STORE, 0) + data),
        "a value without a header": pdu(b"\x00\x00"),
        "an empty PDU": pdu(),
        "a PDU beyond the limit": struct.pack(">BxL", P_DATA, 1 << 31),
        "another association": associate_rq(),
        "no PDU": bytes([99]) * 12,
    }


@pytest.mark.parametrize("what", odd(b""))
def test_invalid_bytes_end_the_association_and_leave_no_file(
    receiver: ListeningScp, what: str
) -> None:
    sender = RawPeer(receiver.port)
    head, data = implicit()
    sender.send(pdu(pdv(COMMAND | LAST, head)) + pdu(pdv(0, data[:100])) + odd(data[100:])[what])
    assert sender.ended()
    sender.close()
    wait_until(lambda: not associations(receiver.port), what="the end of the association")
    assert nothing_is_left(receiver)
    assert not receiver.kept()
    assert stored(receiver.port, image()) == [StoreStatus.SUCCESS]


@pytest.mark.parametrize("last", [b"", ABORT])
def test_a_sender_that_disconnects_in_the_middle_leaves_no_file(
    receiver: ListeningScp, last: bytes
) -> None:
    for cut in (3, 40, 200, 600):
        sender = RawPeer(receiver.port)
        sender.send(message()[:cut] if not last else message()[: 6 + 6 + len(implicit()[0])] + last)
        sender.close()
    wait_until(lambda: not associations(receiver.port), what="the end of the associations")
    assert nothing_is_left(receiver)
    assert not receiver.kept()


def test_a_silent_sender_does_not_delay_the_end(tmp_path: Path) -> None:
    ledger = SqlLedger.in_folder(tmp_path, FakeClock())
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",), fast=True)
    server = receivers.c_store.start(Intake(FileSpool(tmp_path), ledger), settings)
    sender = RawPeer(settings.plain_port())
    sender.send(message()[:600])
    time.sleep(0.5)
    began = time.monotonic()
    server.end()
    wait_until(lambda: not associations(settings.plain_port()), what="the end of the association")
    assert time.monotonic() - began < 5
    assert not list((tmp_path / "spool" / "incoming").iterdir())
    sender.close()
    ledger.close()


def test_a_silent_sender_is_disconnected(receiver: ListeningScp) -> None:
    sender = RawPeer(receiver.port)
    (association,) = associations(receiver.port)
    assert isinstance(association.dul.socket, FastSocket)
    association.dul.socket._timeout_s = 1.0
    sender.send(message()[:600])
    assert sender.ended()
    sender.close()
    wait_until(lambda: not associations(receiver.port), what="the end of the association")
    assert nothing_is_left(receiver)


def test_a_disk_that_fills_in_the_middle_refuses_one_instance(
    receiver: ListeningScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space")

    sender = RawPeer(receiver.port)
    with monkeypatch.context() as patch:
        patch.setattr("triage.store.spool.os.open", full)
        sender.send(message())
        assert sender.status() == StoreStatus.OUT_OF_RESOURCES
    sender.send(message())
    assert sender.status() == StoreStatus.SUCCESS
    assert nothing_is_left(receiver)
    sender.release()


def test_an_unexpected_error_fails_one_instance_and_the_association_continues(
    receiver: ListeningScp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    sender = RawPeer(receiver.port)
    with monkeypatch.context() as patch:
        patch.setattr(Intake, "accept_file", defect)
        sender.send(message())
        assert sender.status() == 0xC211
    sender.send(message())
    assert sender.status() == StoreStatus.SUCCESS
    assert nothing_is_left(receiver)
    sender.release()


FUZZED_S = 20  # tests/acceptance/test_fuzz.py goes on from here
WHOLE = message(1) + message(2)


# A command set that comes in pieces is pynetdicom's; one that is bent as well ends its thread, and
# with it the association.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mutated_bytes_neither_crash_nor_hang(receiver: ListeningScp) -> None:
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
        st.integers(1, len(WHOLE)),
        st.binary(max_size=50),
    )
    def bent(changes: list[tuple[int, int]], cut: int, after: bytes) -> None:
        content = bytearray(WHOLE)
        for at, value in changes:
            content[at] = value
        with closing(RawPeer(receiver.port)) as sender, suppress(ConnectionError):
            sender.send(bytes(content[:cut]) + after)
            sender.send(ABORT)

    until = time.monotonic() + FUZZED_S
    while time.monotonic() < until:
        bent()
    wait_until(lambda: not associations(receiver.port), what="the end of the associations")
    assert nothing_is_left(receiver)
    assert stored(receiver.port, image(number=9)) == [StoreStatus.SUCCESS]


SERVE = """
import sys, time
from pathlib import Path
import receivers.c_store
from triage.runtime.clock import SystemClock
from triage.config import ReceiverSettings
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool
state, port = Path(sys.argv[1]), int(sys.argv[2])
ledger = SqlLedger.in_folder(state, SystemClock())
settings = ReceiverSettings(port=port, calling=("PACS",), fast=True)
receivers.c_store.start(Intake(FileSpool(state), ledger), settings)
time.sleep(300)
"""


def store_until_killed(port: int, number: int, answered: list[int]) -> None:
    """Send instances on one association until it breaks; note those stored with Success."""
    sender = RawPeer(port)
    with suppress(OSError, AssertionError), closing(sender):
        for each in range(number, number + 1000):
            sender.send(message(each))
            if sender.status() == StoreStatus.SUCCESS:
                answered.append(each)


def test_a_receiver_killed_at_random_moments_loses_no_acknowledged_instance(tmp_path: Path) -> None:
    chance, answered, port = random.Random(7), list[int](), find_free_port()
    for turn in range(4):
        with subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path), str(port)]) as process:
            wait_until(lambda: listens(port), what="the receiver")
            firsts = [1 + turn * 4000 + association * 1000 for association in range(4)]
            senders = [
                threading.Thread(target=store_until_killed, args=(port, first, answered))
                for first in firsts
            ]
            for sender in senders:
                sender.start()
            time.sleep(chance.uniform(0.5, 2))
            os.kill(process.pid, signal.SIGKILL)
            for sender in senders:
                sender.join(20)
    assert len(answered) > 40
    kept = {strip_file_meta(path.read_bytes()) for path in (tmp_path / "spool").glob("*/*.dcm")}
    assert all(implicit(number)[1] in kept for number in answered)
    ledger = SqlLedger.in_folder(tmp_path, SystemClock())
    intake = Intake(FileSpool(tmp_path), ledger)
    intake.recover()
    assert len(ledger.list_known_paths()) == len(kept) >= len(answered)
    ledger.close()


def test_dcmtk_accepts_the_responses(receiver: ListeningScp, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(part10(image(number=number)))
    sent = subprocess.run(
        [peer("storescu"), "-v", "-aet", "PACS", "-aec", "CMRTRIAGE", HOST, str(receiver.port)]
        + [str(tmp_path / f"{number}.dcm") for number in range(3)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sent.returncode == 0, sent.stderr
    assert (sent.stdout + sent.stderr).count("Received Store Response (Success)") == 3
