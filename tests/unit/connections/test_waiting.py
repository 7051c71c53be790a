import pytest

from triage.connections.waiting import WaitingConnections, WaitingLimits

LIMITS = WaitingLimits(in_all=4, of_one_peer=2, wait_s=10)
PACS = "10.0.0.9"


@pytest.fixture
def waiting() -> WaitingConnections[str]:
    return WaitingConnections(LIMITS, lambda host: host == PACS)


def test_a_peer_beyond_its_limit_loses_its_own_oldest(waiting: WaitingConnections[str]) -> None:
    assert waiting.add("other", "10.0.0.1", 0) is None
    assert waiting.add("first", "10.0.0.2", 0) is None
    assert waiting.add("second", "10.0.0.2", 0) is None
    evicted = waiting.add("third", "10.0.0.2", 0)
    assert evicted is not None
    assert (evicted.key, evicted.host) == ("first", "10.0.0.2")
    assert list(waiting) == ["other", "second", "third"]


def test_all_addresses_of_one_ipv6_network_are_one_peer(waiting: WaitingConnections[str]) -> None:
    for number in range(3):
        evicted = waiting.add(f"{number}", f"2001:db8::{number}:1", 0)
    assert evicted is not None
    assert evicted.key == "0"


def test_strangers_make_room_before_a_known_peer(waiting: WaitingConnections[str]) -> None:
    waiting.add("known", PACS, 0)
    keys = []
    for number in range(20):
        evicted = waiting.add(f"{number}", f"10.0.1.{number}", 0)
        keys += [evicted.key] if evicted else []
    assert keys == [f"{number}" for number in range(17)]
    assert "known" in waiting


def test_the_oldest_of_all_goes_if_every_peer_is_known() -> None:
    waiting: WaitingConnections[str] = WaitingConnections(LIMITS, lambda _: True)
    for number in range(5):
        evicted = waiting.add(f"{number}", f"10.0.1.{number}", 0)
    assert evicted is not None
    assert (evicted.key, evicted.host) == ("0", "")


def test_overdue_and_identified_connections_wait_no_longer(
    waiting: WaitingConnections[str],
) -> None:
    waiting.add("early", "10.0.0.1", 0)
    waiting.add("identified", "10.0.0.2", 0)
    waiting.add("late", "10.0.0.3", 5)
    waiting.remove("identified")
    assert [evicted.key for evicted in waiting.evict_overdue(10)] == ["early"]
    assert waiting.remove_all() == ["late"]
