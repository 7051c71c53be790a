from dataclasses import replace
from typing import Any

import pytest

from receivers.admission import Admission, CallingPeer, Rejection
from triage.config import ReceiverSettings

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


def gate(**settings: Any) -> Admission:
    given = {"calling": ["OLD"], "peers": PEERS, "tls": TLS, **settings}
    return Admission(ReceiverSettings.model_validate(given))


def asked(caller: CallingPeer, admission: Admission | None = None, *, stays: bool = True) -> Any:
    return (admission or gate()).enter(caller, lambda: stays)


@pytest.mark.parametrize(
    "caller",
    [
        MR1,
        replace(MR1, calling_ae="MR1_STORE"),
        replace(MR1, address="10.1.2.3"),
        replace(MR1, address="::ffff:10.1.2.3"),  # IPv4, heard by a socket for both
        replace(MR1, address="fd00::1"),
        CallingPeer("OLD", US, "192.0.2.1"),
        CallingPeer("ARCHIVE", US, "192.0.2.1", frozenset({FINGERPRINT})),
        CallingPeer("ARCHIVE", US, "192.0.2.1", frozenset({"pacs.example", "cd" * 32})),
    ],
)
def test_9_a_peer_is_known_by_each_of_its_titles_and_addresses(caller: CallingPeer) -> None:
    assert asked(caller) is None


@pytest.mark.parametrize(
    ("caller", "reason", "said"),
    [
        (replace(MR1, calling_ae="MR2"), 3, "unknown calling AE title 'MR2'"),
        (replace(MR1, calling_ae="mr1"), 3, "unknown calling AE title 'mr1'"),
        (replace(MR1, address="10.1.5.1"), 3, "'MR1' is not known at this address"),
        (replace(MR1, called_ae="OTHER"), 7, "called as 'OTHER', we are 'CMRTRIAGE'"),
        (CallingPeer("ARCHIVE", US, "10.1.2.3"), 3, "must come over TLS with its certificate"),
        (
            CallingPeer("ARCHIVE", US, "10.1.2.3", frozenset({"other.example"})),
            3,
            "a certificate that is not its own",
        ),
    ],
)
def test_a_stranger_is_rejected_for_good_and_told_apart(
    caller: CallingPeer, reason: int, said: str
) -> None:
    rejection = asked(caller)
    assert isinstance(rejection, Rejection)
    assert (rejection.result, rejection.source, rejection.reason) == (1, 1, reason)
    assert said in rejection.why


def test_the_called_title_may_be_left_unchecked() -> None:
    assert asked(replace(MR1, called_ae="OTHER"), gate(check_called=False)) is None


def test_two_scanners_may_have_one_title_at_two_addresses() -> None:
    peers = {
        "a": {"ae_titles": ["MR"], "addresses": ["10.0.0.1"], "associations": 1},
        "b": {"ae_titles": ["MR"], "addresses": ["10.0.0.2"], "associations": 1},
    }
    admission = gate(peers=peers, calling=[])
    assert asked(CallingPeer("MR", US, "10.0.0.1"), admission) is None
    assert asked(CallingPeer("MR", US, "10.0.0.2"), admission) is None
    assert asked(CallingPeer("MR", US, "10.0.0.2"), admission).why.startswith("more than 1 ass")


def test_one_peer_cannot_take_the_place_of_others() -> None:
    admission = gate()
    assert asked(MR1, admission) is None
    assert asked(replace(MR1, calling_ae="MR1_STORE"), admission) is None
    third = asked(MR1, admission)
    assert (third.result, third.source, third.reason) == (2, 3, 2)  # transient, local limit
    assert third.why == "more than 2 associations of 'mr1' at once"
    assert asked(CallingPeer("OLD", US, "192.0.2.1"), admission) is None


def test_all_together_have_a_limit_and_who_has_gone_does_not_count() -> None:
    admission = gate(associations=3)
    old = CallingPeer("OLD", US, "192.0.2.1")
    assert [asked(old, admission, stays=False) for _ in range(10)] == [None] * 10
    assert [asked(old, admission) for _ in range(3)] == [None] * 3
    fourth = asked(old, admission)
    assert (fourth.result, fourth.source, fourth.reason) == (2, 3, 2)
    assert "more than 3 associations at once" in fourth.why


def test_a_title_that_is_another_peer_s_name_hides_nobody() -> None:
    admission = gate(calling=["mr1"])
    assert asked(replace(MR1, calling_ae="mr1", address="192.0.2.1"), admission) is None
    assert asked(MR1, admission) is None
    assert asked(replace(MR1, address="192.0.2.1"), admission) is not None


def test_who_is_rejected_does_not_count() -> None:
    admission = gate(associations=1)
    for _ in range(5):
        assert asked(replace(MR1, calling_ae="X"), admission) is not None
    assert asked(MR1, admission) is None
