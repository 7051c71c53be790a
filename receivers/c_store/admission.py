"""Admit or reject association requests: known peers, their networks, and how many at a time.

Every rejection has a reason code of PS3.8 9.3.4, table 9-21, and a text for the administrator. Open
associations are counted by asking each one whether it is alive, so that no count can leak.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from receivers.networks import is_within
from triage.config import PeerSettings, ReceiverSettings


@dataclass(frozen=True)
class CallingPeer:
    """The sender of an association request."""

    calling_ae: str
    called_ae: str
    address: str
    #: Names of its client certificate (`tls.read_certificate_names`); empty: no certificate.
    certificates: frozenset[str] = frozenset()
    is_tls: bool = False


@dataclass(frozen=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21) and its text for the administrator."""

    result: int
    source: int
    reason: int
    why: str


#: Transient, service provider (ACSE), no reason given.
INTERNAL_ERROR = Rejection(2, 2, 1, "internal error; see the log")


def _reject_calling_title(why: str) -> Rejection:
    return Rejection(1, 1, 3, why)  # permanent, service user, calling AE title not recognized


def _reject_called_title(why: str) -> Rejection:
    return Rejection(1, 1, 7, why)  # permanent, service user, called AE title not recognized


def _reject_over_limit(why: str) -> Rejection:
    return Rejection(2, 3, 2, why)  # transient, service provider (presentation), local limit


class Admission:
    """Decides about association requests, for all ports of the receiver together."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._peers = dict(settings.peers)
        # The names of configured peers contain no space, so these names cannot collide with them.
        self._peers |= {f"calling {t}": PeerSettings(ae_titles=(t,)) for t in settings.calling}
        self._lock = threading.Lock()
        #: Name of the peer and `is_open` of each admitted association.
        self._open: list[tuple[str, Callable[[], bool]]] = []

    def admit(self, caller: CallingPeer, is_open: Callable[[], bool]) -> Rejection | None:
        """Admit a caller and return None, or return its rejection.

        The association counts for as long as `is_open` returns True.
        """
        settings = self._settings
        if settings.check_called and caller.called_ae != settings.ae_title:
            why = f"called AE title {caller.called_ae!r} is not ours, {settings.ae_title!r}"
            return _reject_called_title(why)
        name, why = self._identify(caller)
        if name is None:
            return _reject_calling_title(why)
        return self._count(name, is_open)

    def _count(self, name: str, is_open: Callable[[], bool]) -> Rejection | None:
        """Add an association of a peer; return a rejection if that would exceed a limit."""
        with self._lock:
            self._open = [entry for entry in self._open if entry[1]()]
            limit, limit_of_all = self._peers[name].associations, self._settings.associations
            if limit is not None and sum(peer == name for peer, _ in self._open) >= limit:
                return _reject_over_limit(f"more than {limit} associations of {name!r} at once")
            if len(self._open) >= limit_of_all:
                return _reject_over_limit(f"more than {limit_of_all} associations at once")
            self._open.append((name, is_open))
        return None

    def _identify(self, caller: CallingPeer) -> tuple[str | None, str]:
        """Return the name of the caller's peer, or None and what does not match."""
        title = caller.calling_ae
        titled = {name: peer for name, peer in self._peers.items() if title in peer.ae_titles}
        if not titled:
            return None, f"unknown calling AE title {title!r}"
        near = {name: p for name, p in titled.items() if is_within(caller.address, p.addresses)}
        if not near:
            return None, f"calling AE title {title!r} is not allowed from this address"
        allowed = {name: p for name, p in near.items() if caller.is_tls or not p.tls}
        if not allowed:
            return None, f"calling AE title {title!r} must use TLS (receiver.tls)"
        for name, peer in allowed.items():
            if not peer.certificates or caller.certificates & set(peer.certificates):
                return name, ""
        if not caller.certificates:
            return None, f"calling AE title {title!r} must use TLS with its client certificate"
        return None, f"calling AE title {title!r} presented a certificate that is not its own"
