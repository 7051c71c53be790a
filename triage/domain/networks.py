"""The address or network that is counted as one peer."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

#: Bits of an IPv6 subnet (RFC 4291 2.5.1): one host can use all of its 2^64 addresses.
IPV6_PREFIX = 64
IPV4_PREFIX = 24  #: the smallest network that is routed between providers


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a peer; None if it is not an address.

    An IPv6 socket reports IPv4 peers as mapped addresses (RFC 4291 2.5.5.2).
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def single_peer(host: str) -> str:
    """Return what is counted as one peer: an IPv4 address, or the /64 network of an IPv6 one.

    `host` if it is no address.
    """
    address = parse_address(host)
    if address is None:
        return host
    return _network(address, IPV6_PREFIX) if isinstance(address, IPv6Address) else str(address)


def surrounding_network(host: str) -> str:
    """Return the network of a peer: /24 for IPv4, /64 for IPv6; `host` if it is no address."""
    address = parse_address(host)
    if address is None:
        return host
    return _network(address, IPV4_PREFIX if isinstance(address, IPv4Address) else IPV6_PREFIX)


def _network(address: IPv4Address | IPv6Address, prefix: int) -> str:
    return str(ip_network(f"{address}/{prefix}", strict=False))
