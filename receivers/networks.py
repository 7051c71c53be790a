"""Addresses and networks that senders may use."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Return True if an address is in one of the networks, or if there are no networks."""
    networks = list(networks)
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:  # an IPv6 socket reports IPv4 peers so
        ip = ip.ipv4_mapped
    return not networks or any(ip in ip_network(network) for network in networks)
