"""Addresses and networks that senders may use."""

from collections.abc import Collection
from ipaddress import ip_network

from triage.domain.networks import parse_address


def is_within(address: str, networks: Collection[str]) -> bool:
    """Return True if an address is in one of the networks, or if there are no networks."""
    return not networks or is_named(address, networks)


def is_named(address: str, networks: Collection[str]) -> bool:
    """Return True if an address is in one of the networks."""
    ip = parse_address(address)
    return ip is not None and any(ip in ip_network(network) for network in networks)
