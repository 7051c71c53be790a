"""The rule that what a receiver or page takes is not read on the way: TLS beyond this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from triage.config.fields import LOOPBACK


class Listener(Protocol):
    """Settings of a service that listens, with or without TLS."""

    @property
    def host(self) -> str:
        """The address on which it listens."""

    @property
    def certificate(self) -> Path | None:
        """PEM, with intermediate certificates; None: no TLS."""

    @property
    def key(self) -> Path | None:
        """PEM, not encrypted."""

    @property
    def without_tls(self) -> bool:
        """Whether it may listen beyond this machine without TLS."""


class CertifiedSender(Protocol):
    """Settings of a sender that may be known by its client certificate."""

    @property
    def certificates(self) -> Sequence[str]:
        """Its fingerprints or names; empty: none is needed."""


def require_private_transport(
    listener: Listener,
    exposed: str,
    unless: str,
    clients: Path | None = None,
    senders: Mapping[str, CertifiedSender] | None = None,
) -> None:
    """Raise ValueError for settings that contradict each other or expose what is sent.

    `exposed` names what could be read, `unless` the place where it may be. `clients` are the
    authorities that sign client certificates, without which `senders` cannot need one.
    """
    if (listener.certificate is None) != (listener.key is None):
        raise ValueError("give certificate and key together, or neither")
    if clients is not None and listener.certificate is None:
        raise ValueError(
            "clients needs certificate and key: without TLS no client certificate is sent"
        )
    if listener.host not in LOOPBACK and listener.certificate is None and not listener.without_tls:
        raise ValueError(
            f"on {listener.host} {exposed} could be read on the way: set certificate and key, or, "
            f"{unless}, without_tls: true"
        )
    for name, sender in (senders or {}).items():
        if sender.certificates and clients is None:
            raise ValueError(
                f"senders.{name}.certificates: set clients, or no certificate is requested"
            )
