import pytest

from triage.domain.networks import parse_address, single_peer, surrounding_network


@pytest.mark.parametrize(
    ("host", "peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/64"),
        ("scanner.example", "scanner.example", "scanner.example"),
        ("", "", ""),
    ],
)
def test_what_counts_as_one_peer_and_as_one_network(host: str, peer: str, network: str) -> None:
    assert single_peer(host) == peer
    assert surrounding_network(host) == network


def test_a_host_name_is_no_address() -> None:
    assert parse_address("localhost") is None
