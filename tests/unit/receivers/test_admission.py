import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from receivers.c_store.admission import Admission, CallingPeer, Rejection
from receivers.c_store.scp import _admit_or_reject
from triage.config import ReceiverSettings
from triage.pipeline.intake import Intake

FINGERPRINT = "ab" * 32
US = "CMRTRIAGE"
MR1 = CallingPeer("MR1", US, "10.1.4.7")
PEERS: dict[str, Any] = {
    "mr1": {
        "ae_titles": ["MR1", "MR1_STORE"],
        "addresses": ["10.1.2.3", "10.1.4.0/24", "fd00::/8"],
        "associations": 2,
    },
    "pacs": {"ae_titles": ["ARCHIVE"], "certificates": [":".join(["AB"] * 32), "pacs.example"]},
}
TLS = {"certificate": "c.pem", "key": "k.pem", "clients": "ca.pem"}


def admission_of(**settings: Any) -> Admission:
    given = {"calling": ["OLD"], "peers": PEERS, "tls": TLS, **settings}
    return Admission(ReceiverSettings.model_validate(given))


def request(caller: CallingPeer, admission: Admission | None = None, *, stays: bool = True) -> Any:
    return (admission or admission_of()).admit(caller, lambda: stays)


@pytest.mark.parametrize(
    "caller",
    [
        MR1,
        replace(MR1, calling_ae="MR1_STORE"),
        replace(MR1, address="10.1.2.3"),
        replace(MR1, address="::ffff:10.1.2.3"),  # IPv4, as an IPv6 socket reports it
        replace(MR1, address="fd00::1"),
        CallingPeer("OLD", US, "192.0.2.1"),
        CallingPeer("ARCHIVE", US, "192.0.2.1", frozenset({FINGERPRINT})),
        CallingPeer("ARCHIVE", US, "192.0.2.1", frozenset({"pacs.example", "cd" * 32})),
    ],
)
def test_a_peer_is_admitted_with_each_of_its_titles_and_addresses(caller: CallingPeer) -> None:
    assert request(caller) is None


@pytest.mark.parametrize(
    ("caller", "reason", "text"),
    [
        (replace(MR1, calling_ae="MR2"), 3, "unknown calling AE title 'MR2'"),
        (replace(MR1, calling_ae="mr1"), 3, "unknown calling AE title 'mr1'"),
        (replace(MR1, address="10.1.5.1"), 3, "'MR1' is not allowed from this address"),
        (replace(MR1, called_ae="OTHER"), 7, "called AE title 'OTHER' is not ours, 'CMRTRIAGE'"),
        (CallingPeer("ARCHIVE", US, "10.1.2.3"), 3, "must use TLS with its client certificate"),
        (
            CallingPeer("ARCHIVE", US, "10.1.2.3", frozenset({"other.example"})),
            3,
            "a certificate that is not its own",
        ),
    ],
)
def test_an_unknown_caller_is_rejected_permanently_with_a_reason(
    caller: CallingPeer, reason: int, text: str
) -> None:
    rejection = request(caller)
    assert isinstance(rejection, Rejection)
    assert (rejection.result, rejection.source, rejection.reason) == (1, 1, reason)
    assert text in rejection.why


def test_the_called_title_may_be_left_unchecked() -> None:
    assert request(replace(MR1, called_ae="OTHER"), admission_of(check_called=False)) is None


def test_two_scanners_may_have_one_title_at_two_addresses() -> None:
    peers = {
        "a": {"ae_titles": ["MR"], "addresses": ["10.0.0.1"], "associations": 1},
        "b": {"ae_titles": ["MR"], "addresses": ["10.0.0.2"], "associations": 1},
    }
    admission = admission_of(peers=peers, calling=[])
    assert request(CallingPeer("MR", US, "10.0.0.1"), admission) is None
    assert request(CallingPeer("MR", US, "10.0.0.2"), admission) is None
    assert request(CallingPeer("MR", US, "10.0.0.2"), admission).why.startswith("more than 1 ass")


def test_a_peer_at_its_limit_leaves_room_for_others() -> None:
    admission = admission_of()
    assert request(MR1, admission) is None
    assert request(replace(MR1, calling_ae="MR1_STORE"), admission) is None
    third = request(MR1, admission)
    assert (third.result, third.source, third.reason) == (2, 3, 2)  # transient, local limit
    assert third.why == "more than 2 associations of 'mr1' at once"
    assert request(CallingPeer("OLD", US, "192.0.2.1"), admission) is None


def test_open_associations_have_a_limit_and_ended_ones_do_not_count() -> None:
    admission = admission_of(associations=3)
    old = CallingPeer("OLD", US, "192.0.2.1")
    assert [request(old, admission, stays=False) for _ in range(10)] == [None] * 10
    assert [request(old, admission) for _ in range(3)] == [None] * 3
    fourth = request(old, admission)
    assert (fourth.result, fourth.source, fourth.reason) == (2, 3, 2)
    assert "more than 3 associations at once" in fourth.why


def test_a_title_that_is_the_name_of_another_peer_hides_neither() -> None:
    admission = admission_of(calling=["mr1"])
    assert request(replace(MR1, calling_ae="mr1", address="192.0.2.1"), admission) is None
    assert request(MR1, admission) is None
    assert request(replace(MR1, address="192.0.2.1"), admission) is not None


def test_a_rejected_association_does_not_count() -> None:
    admission = admission_of(associations=1)
    for _ in range(5):
        assert request(replace(MR1, calling_ae="X"), admission) is not None
    assert request(MR1, admission) is None


def test_a_connection_that_closes_during_admission_is_no_defect() -> None:
    closed = socket.socket()
    closed.close()
    primitive = SimpleNamespace(calling_ae_title="PACS", called_ae_title=US)
    association: Any = SimpleNamespace(
        requestor=SimpleNamespace(primitive=primitive, address="127.0.0.1"),
        dul=SimpleNamespace(socket=SimpleNamespace(socket=closed)),
        is_rejected=False,
    )
    settings = ReceiverSettings(calling=("PACS",))
    intake = cast(Intake, None)  # only a rejection is reported
    _admit_or_reject(association, Admission(settings), intake, settings)
    assert not association.is_rejected


def test_a_peer_that_must_use_tls_is_rejected_without() -> None:
    tls = {"certificate": "a.pem", "key": "a.key"}
    peers = {"mr1": {"ae_titles": ["MR1"], "tls": True}}
    admission = Admission(ReceiverSettings.model_validate({"tls": tls, "peers": peers}))
    rejection = admission.admit(CallingPeer("MR1", "CMRTRIAGE", "10.0.0.1"), lambda: True)
    assert rejection is not None
    assert "must use TLS" in rejection.why
    secure = CallingPeer("MR1", "CMRTRIAGE", "10.0.0.1", is_tls=True)
    assert admission.admit(secure, lambda: True) is None
