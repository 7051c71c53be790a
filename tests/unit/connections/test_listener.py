"""A bounded listener, accepting as the servers do."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.waiting import HOST
from triage.connections.listener import ENDING_MAX, BoundedListener, ListenerLimits
from triage.connections.waiting import WaitingLimits

LIMITS = ListenerLimits(WaitingLimits(in_all=2, of_one_peer=2, wait_s=0.05), admitted=1)


@pytest.fixture
def listener() -> Iterator[BoundedListener]:
    with BoundedListener(socket.create_server((HOST, 0)), LIMITS) as made:
        yield made


def connect(listener: BoundedListener) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new connection, ours first."""
    peer = socket.create_connection(listener.getsockname(), timeout=60)
    accepted, _ = listener.accept()
    return accepted, peer


def is_open(peer: socket.socket) -> bool:
    peer.settimeout(0)
    try:
        return bool(peer.recv(1))
    except BlockingIOError:
        return True


def test_the_oldest_waiting_connection_is_shut_down_and_an_admitted_one_never(
    listener: BoundedListener,
) -> None:
    pairs = [connect(listener)]
    listener.admit(pairs[0][0].fileno())
    pairs += [connect(listener) for _ in range(4)]
    assert [is_open(peer) for _, peer in pairs] == [True, False, False, True, True]
    for pair in pairs:
        for end in pair:
            end.close()


def test_no_more_are_admitted_than_allowed(listener: BoundedListener) -> None:
    pairs = [connect(listener) for _ in range(2)]
    for ours, _ in pairs:
        listener.admit(ours.fileno())
    pairs += [connect(listener) for _ in range(2)]
    assert [is_open(peer) for _, peer in pairs] == [True, False, True, True]
    for pair in pairs:
        for end in pair:
            end.close()


def test_an_overdue_connection_is_ended_and_an_admitted_one_is_not(
    listener: BoundedListener,
) -> None:
    ours, peer = connect(listener)
    admitted, other = connect(listener)
    listener.admit(admitted.fileno())
    time.sleep(2 * LIMITS.waiting.wait_s)
    listener.end_overdue()
    assert (is_open(peer), is_open(other)) == (False, True)
    for end in (ours, peer, admitted, other):
        end.close()


def test_nothing_is_accepted_while_evicted_connections_are_not_closed(
    listener: BoundedListener,
) -> None:
    pairs = [connect(listener) for _ in range(ENDING_MAX + 2)]
    with socket.create_connection(listener.getsockname(), timeout=60):
        with pytest.raises(BlockingIOError):
            listener.accept()
        pairs[0][0].close()
        accepted, _ = listener.accept()
        accepted.close()
    for pair in pairs:
        for end in pair:
            end.close()
    assert not listener._ends


def test_of_a_batch_only_those_with_room_reach_the_server() -> None:
    listening = socket.create_server((HOST, 0))
    with BoundedListener(listening, LIMITS, batch=10) as listener:
        peers = [socket.create_connection(listener.getsockname(), timeout=60) for _ in range(6)]
        accepted = [listener.accept()[0]]
        with pytest.raises(BlockingIOError):
            while True:
                accepted.append(listener.accept()[0])
        assert [is_open(peer) for peer in peers] == [False] * 4 + [True] * 2
        assert len(accepted) == 2
        for end in (*peers, *accepted):
            end.close()


def test_an_evicted_connection_gets_no_other_end(listener: BoundedListener) -> None:
    pairs = [connect(listener) for _ in range(3)]
    assert not listener.set_end(pairs[0][0].fileno(), lambda: None)
    assert listener.set_end(pairs[1][0].fileno(), lambda: None)
    for pair in pairs:
        for end in pair:
            end.close()
