"""Requests that PS3.8 allows are accepted; whatever is turned away ends and is reported.

Each test leaves no thread and no connection behind, and an echo of a known peer is answered.
"""

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.acse import ACSE
from pynetdicom.fsm import ACTIONS

from receivers.c_store.guard import TOO_LONG, TOO_SLOW
from receivers.c_store.listener import ENDED
from tests.builders.associate_requests import CONTEXTS, USER, associate_rq, context, item
from tests.builders.associate_requests import pdu as any_pdu
from tests.integration.certificates import TlsWorld
from tests.integration.listening_receiver import (
    ListeningReceiver,
    connect_silently,
    is_closed,
    measure_resources,
    run_receiver,
)
from tests.integration.raw_peer import (
    ABORTED,
    ACCEPTED,
    COMMAND,
    LAST,
    REJECTED,
    RawPeer,
    message,
    pdu,
    pdv,
)
from tests.integration.scp import dcmtk
from tests.waiting import wait_until
from triage.cli.demo_site import find_free_port
from triage.dimse.pynetdicom_internals import EndCause
from triage.dimse.statuses import StoreStatus
from triage.domain.incident import ENDINGS, IncidentKind, RejectionReason

ABORT_PDU = (ABORTED, b"\x00\x00\x02\x06")  #: provider, invalid parameter (PS3.8 9.3.8)
INVALID, IDLE = (ENDED[cause][1] for cause in (EndCause.INVALID_PDU, EndCause.IDLE))
ECHO_ONLY = (CONTEXTS[1],)
BAD_CONTEXT = context(1, MRImageStorage)  #: without transfer syntax


@dataclass(frozen=True)
class Listening:
    """A receiver and the way to it."""

    receiver: ListeningReceiver
    tls: SSLContext | None

    @property
    def port(self) -> int:
        return self.receiver.port if self.tls is None else self.receiver.tls_port

    def open(self, request: bytes) -> RawPeer:
        return RawPeer(self.port, request, self.tls)

    def count(self, reason: RejectionReason) -> float:
        """Return how often the metric counts a reason."""
        labels = {"reason": reason.value}
        name = "triage_associations_rejected_total"
        return self.receiver.intake.metrics.registry.get_sample_value(name, labels) or 0

    def find_incidents(self, times: int = 1) -> list[tuple[str, str, str, int]]:
        """Return kind, detail, AE title and count of each incident."""
        self.receiver.list_incidents(times)
        rows = self.receiver.ledger.incidents(1000)
        return [(row.kind, row.detail, row.calling_ae, row.times) for row in rows]


Listen = Callable[..., AbstractContextManager[Listening]]


@pytest.fixture(params=["fast", "plain", "tls"])
def listen(request: pytest.FixtureRequest, tmp_path: Path, world: TlsWorld) -> Listen:
    """Run a receiver; when the block ends, everything is as before and an echo is answered."""

    @contextmanager
    def run(**settings: Any) -> Iterator[Listening]:
        tls = None
        settings = {"artim_s": 30, "fast": request.param == "fast", **settings}
        if request.param == "tls":
            shown = world.server
            settings["tls"] = {
                "port": find_free_port(),
                "certificate": shown.certificate,
                "key": shown.key,
            }
            tls = create_default_context(cafile=str(world.ours.certificate))
        with run_receiver(tmp_path, **settings) as receiver:
            before = measure_resources().threads
            began = time.monotonic()
            yield Listening(receiver, tls)
            wait_until(lambda: measure_resources().threads <= before, what="the end of its threads")
            assert time.monotonic() - began < 25  # no thread has waited for ARTIM
            assert dcmtk("echoscu", receiver.port).returncode == 0

    return run


@pytest.mark.parametrize(
    "request_bytes",
    [
        associate_rq(calling=b"PACS".ljust(16, b"\0"), called=b"CMRTRIAGE".ljust(16, b"\0")),
        associate_rq(calling=b"PACS\0left over\0\0"),
        associate_rq(version=0xFFFF),
        associate_rq(user=(*USER, (0x99, b"?"), (0x53, b""), (0x56, b"\xff\xff"))),
        associate_rq(user=(*USER, (0x55, b"an implementation \\ \xe9 of more than 16\0"))),
        associate_rq(user=()),
        associate_rq(more=item(0x77, b"?")),
    ],
    ids=["nul", "left-over", "version", "user-items", "version-name", "no-user", "item"],
)
def test_what_ps3_8_allows_is_accepted(listen: Listen, request_bytes: bytes) -> None:
    with listen() as listening:
        peer = listening.open(request_bytes)
        assert peer.results() == {1: 0, 3: 0}
        peer.send(message())
        assert peer.status() == StoreStatus.SUCCESS
        peer.release()
        (study,) = listening.receiver.ledger.list_studies()
        assert study.instances == 1
        assert not listening.find_incidents(0)


def test_a_context_without_transfer_syntax_is_refused_alone(listen: Listen) -> None:
    good = context(5, MRImageStorage, ImplicitVRLittleEndian)
    with listen() as listening:
        peer = listening.open(associate_rq(contexts=(BAD_CONTEXT, good)))
        assert peer.results() == {1: 4, 5: 0}  # PS3.8 table 9-18: transfer syntaxes not supported
        peer.release()


def test_contexts_without_transfer_syntax_hold_no_connection(listen: Listen) -> None:
    with listen(associations=2) as listening:
        for _ in range(10):
            peer = listening.open(associate_rq(contexts=(BAD_CONTEXT,)))
            assert peer.results() == {1: 4}
            peer.release()
        peer = listening.open(associate_rq(contexts=ECHO_ONLY))
        assert peer.results() == {3: 0}
        peer.release()


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (associate_rq(version=2), (REJECTED, b"\x00\x01\x02\x02")),  # table 9-21
        (associate_rq(more=b"\x20\0\xff\xff"), ABORT_PDU),
        (associate_rq(contexts=(item(0x20, b"\x01\0\0\0\x30\0\0\x40"),)), ABORT_PDU),
        (associate_rq(contexts=ECHO_ONLY * 2), ABORT_PDU),
        (associate_rq(contexts=()), ABORT_PDU),
        (associate_rq(user=((0x51, struct.pack(">L", 6)),)), ABORT_PDU),
        (any_pdu(1, b""), ABORT_PDU),
        (any_pdu(1, bytes(68)), (REJECTED, b"\x00\x01\x02\x02")),
        (any_pdu(5, bytes(4)), ABORT_PDU),
        (struct.pack(">BxL", 1, 0xFFFFFFFF), ABORT_PDU),
        (b"GET / HTTP/1.1\r\n", ABORT_PDU),
    ],
    ids=[
        "version",
        "item-length",
        "sub-item-length",
        "same-id",
        "no-context",
        "maximum-length",
        "empty",
        "zeros",
        "release",
        "length",
        "http",
    ],
)
def test_a_request_that_cannot_be_read_is_answered_and_reported_once(
    listen: Listen, request_bytes: bytes, answer: tuple[int, bytes]
) -> None:
    with listen() as listening:
        for _ in range(3):
            peer = listening.open(request_bytes)
            assert peer.accepted in {answer, (0, b"")}  # a reset may overtake the answer
            peer.close()
        ((kind, _, _, times),) = listening.find_incidents(3)
        assert (kind, times) == (IncidentKind.REJECTED_ASSOCIATION, 3)
        assert listening.count(RejectionReason.MALFORMED) == 3


def test_an_empty_title_is_rejected_as_unknown(listen: Listen) -> None:
    with listen() as listening:
        peer = listening.open(associate_rq(calling=bytes(16)))
        assert peer.accepted == (REJECTED, b"\x00\x01\x01\x03")
        peer.close()
        ((kind, _, _, times),) = listening.find_incidents()
        assert (kind, times) == (IncidentKind.REJECTED_ASSOCIATION, 1)


def test_a_request_that_drips_is_ended_by_artim(listen: Listen) -> None:
    request = associate_rq()
    with listen(artim_s=2) as listening:
        peer = connect_silently(listening.port)
        if listening.tls is not None:
            peer = listening.tls.wrap_socket(peer, server_hostname="127.0.0.1")
        began = time.monotonic()
        for at in range(len(request)):  # 40 s, a byte at a time
            try:
                peer.sendall(request[at : at + 1])
            except OSError:
                break
            time.sleep(0.2)
        assert is_closed(peer)
        assert time.monotonic() - began < 20
        peer.close()
        ((kind, _, _, _),) = listening.find_incidents()
        assert kind == IncidentKind.ENDED_CONNECTION
        assert listening.count(RejectionReason.SLOW) == 1


def test_silence_before_a_request_is_ended_by_artim(listen: Listen) -> None:
    with listen(artim_s=1) as listening:
        peer = connect_silently(listening.port)
        if listening.tls is not None:
            peer = listening.tls.wrap_socket(peer, server_hostname="127.0.0.1")
        assert is_closed(peer)
        peer.close()
        ((kind, detail, _, _),) = listening.find_incidents()
        assert (kind, detail) == (
            IncidentKind.ENDED_CONNECTION,
            ENDED[EndCause.NO_REQUEST][1],
        )


@pytest.mark.parametrize(
    ("sent", "details"),
    [
        (pdu(pdv(0, bytes(5000))), {TOO_LONG}),
        (associate_rq(), {INVALID}),
        (any_pdu(9, b"1234"), {INVALID}),
        (message()[:600], {TOO_SLOW, IDLE}),  # both are true, and either may be seen first
        (b"\x04\x00", {TOO_SLOW, IDLE}),
        (pdu(pdv(COMMAND | LAST, b"no command set")), {INVALID, "invalid command set"}),
    ],
    ids=["too-long", "second-request", "unknown", "half-pdu", "half-header", "no-command"],
)
def test_an_association_that_is_ended_is_reported(
    listen: Listen, sent: bytes, details: set[str]
) -> None:
    with listen(idle_s=2, pdu_bytes=4096) as listening:
        peer = listening.open(associate_rq())
        assert peer.accepted[0] == ACCEPTED
        peer.send(sent)
        assert peer.ended()
        peer.close()
        ((kind, why, calling, times),) = listening.find_incidents()
        assert (kind, calling, times) == (IncidentKind.ENDED_CONNECTION, "PACS", 1)
        assert why in details
        assert sum(listening.count(reason) for reason in ENDINGS) == 1


def test_an_idle_association_is_ended_and_reported(listen: Listen) -> None:
    with listen(idle_s=1) as listening:
        peer = listening.open(associate_rq())
        assert peer.ended()
        peer.close()
        ((_, why, calling, _),) = listening.find_incidents()
        assert (why, calling) == (IDLE, "PACS")


def _fail(*_: Any) -> Any:
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize("part", ["decoding", "negotiation", "encoding"])
def test_a_defect_of_the_library_ends_the_connection(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    with listen() as listening:
        with monkeypatch.context() as patch:
            if part == "decoding":
                patch.setattr("pynetdicom.pdu.A_ASSOCIATE_RQ.to_primitive", _fail)
            elif part == "negotiation":
                patch.setattr(ACSE, "_negotiate_as_acceptor", _fail)
            else:
                text, _, state = ACTIONS["AE-7"]
                patch.setitem(ACTIONS, "AE-7", (text, _fail, state))
            peer = listening.open(associate_rq())
            assert peer.accepted[0] in {0, ABORTED}
            peer.close()
            wait_until(lambda: listening.count(RejectionReason.DEFECT) == 1, what="the report")
        ((_, why, _, times),) = listening.find_incidents()
        assert (why, times) == (ENDED[EndCause.DEFECT][1], 1)


def test_many_faults_of_one_address_are_few_rows(listen: Listen) -> None:
    with listen() as listening:
        for number in range(30):
            listening.open(associate_rq(calling=f"CALLER{number}".encode().ljust(16))).close()
            listening.open(any_pdu(number % 6 + 2, bytes(4))).close()
        rows = listening.find_incidents(60)
        assert len(rows) <= 12
        assert sum(times for *_, times in rows) == 60
