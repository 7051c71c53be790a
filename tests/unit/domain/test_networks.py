import pytest

from triage.domain.networks import name_network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.9", "10.0.0.9"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("scanner.example", "scanner.example"),
    ],
)
def test_one_host_controls_its_ipv4_address_or_its_ipv6_subnet(address: str, network: str) -> None:
    assert name_network(address) == network
