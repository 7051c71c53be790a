"""Who may open an association: known peers, from where they are known to be, and not too many.

Rule: every rejection has its reason in PS3.8 9.3.4, table 9-21, and in words that an administrator
can act on. What is counted are associations that are alive: there is no count that could leak.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from triage.config import PeerSettings, ReceiverSettings


@dataclass(frozen=True)
class CallingPeer:
    """Who asks for an association."""

    calling_ae: str
    called_ae: str
    address: str
    #: what its client certificate is called (triage.config.Peer.certificates); none: no certificate
    certificates: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rejection:
    """An A-ASSOCIATE-RJ, PS3.8 table 9-21, and why in words."""

    result: int
    source: int
    reason: int
    why: str


#: Transient, service provider (ACSE), no reason given.
INTERNAL_ERROR = Rejection(2, 2, 1, "a defect; see the log")


def _reject_calling_title(why: str) -> Rejection:
    return Rejection(1, 1, 3, why)  # permanent, service user, calling AE title not recognized


def _reject_called_title(why: str) -> Rejection:
    return Rejection(1, 1, 7, why)  # permanent, service user, called AE title not recognized


def _reject_over_limit(why: str) -> Rejection:
    return Rejection(2, 3, 2, why)  # transient, service provider (presentation), local limit


class Admission:
    """The one who decides, for all ports of a receiver together."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._peers = dict(settings.peers)
        # No peer's name has a space, so none is hidden by a title.
        self._peers |= {f"calling {t}": PeerSettings(ae_titles=(t,)) for t in settings.calling}
        self._lock = threading.Lock()
        self._inside: list[tuple[str, Callable[[], bool]]] = []

    def enter(self, caller: CallingPeer, is_open: Callable[[], bool]) -> Rejection | None:
        """Let a caller in, or return why not; it counts for as long as `is_open`."""
        settings = self._settings
        if settings.check_called and caller.called_ae != settings.ae_title:
            return _reject_called_title(
                f"called as {caller.called_ae!r}, we are {settings.ae_title!r}"
            )
        name, why = self._identify(caller)
        if name is None:
            return _reject_calling_title(why)
        with self._lock:
            self._inside = [each for each in self._inside if each[1]()]
            most = self._peers[name].associations
            if most is not None and sum(each[0] == name for each in self._inside) >= most:
                return _reject_over_limit(f"more than {most} associations of {name!r} at once")
            if len(self._inside) >= settings.associations:
                return _reject_over_limit(f"more than {settings.associations} associations at once")
            self._inside.append((name, is_open))
        return None

    def _identify(self, caller: CallingPeer) -> tuple[str | None, str]:
        """Return the name of the peer that a caller is, or None and what does not fit."""
        title = caller.calling_ae
        known = {name: peer for name, peer in self._peers.items() if title in peer.ae_titles}
        if not known:
            return None, f"unknown calling AE title {title!r}"
        near = {name: p for name, p in known.items() if is_within(caller.address, p.addresses)}
        if not near:
            return None, f"{title!r} is not known at this address"
        for name, peer in near.items():
            if not peer.certificates or caller.certificates & set(peer.certificates):
                return name, ""
        if not caller.certificates:
            return None, f"{title!r} must come over TLS with its certificate"
        return None, f"{title!r} came with a certificate that is not its own"


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Tell whether an address is in one of the networks; without any, every one is."""
    networks = list(networks)
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:  # a socket for both hears IPv4 like this
        ip = ip.ipv4_mapped
    return not networks or any(ip in ip_network(each) for each in networks)
