"""Networks of addresses, by which the actions of peers are counted."""

from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64  #: bits of a subnet (RFC 4291 2.5.1): one host can use all its 2^64 addresses


def name_network(address: str) -> str:
    """Return what one peer may control: the /64 of an IPv6 address, else the address itself.

    An IPv6 socket reports an IPv4 peer as a mapped address, which counts as IPv4. A text that is
    no IP address is returned as it is.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ip_network((int(ip), IPV6_PREFIX), strict=False))
