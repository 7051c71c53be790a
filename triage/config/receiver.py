"""Where studies arrive, from whom, and when one is complete."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from triage.config.fields import (
    LOOPBACK,
    AeTitle,
    Certificate,
    Count,
    Name,
    Network,
    Port,
    Seconds,
    Token,
)
from triage.domain.completeness import EvidenceKind
from triage.yaml_models import StrictModel


class PeerSettings(StrictModel):
    """Somebody who may send: each of what is said here must fit."""

    ae_titles: tuple[AeTitle, ...] = Field(min_length=1)  #: it calls itself one of these
    addresses: tuple[Network, ...] = ()  #: none: from anywhere
    associations: Count | None = None  #: at once; None: as many as the receiver has
    #: of its TLS certificate: SHA-256 fingerprint, common name or DNS name; none: any, or no TLS
    certificates: tuple[Certificate, ...] = ()


class TlsSettings(StrictModel):
    """A second port, with TLS."""

    port: Port = 2762
    certificate: Path  #: PEM, with those between
    key: Path  #: PEM, not encrypted
    clients: Path | None = None  #: PEM of who signs for clients; None: no certificate is asked for


class InstanceCountSettings(StrictModel):
    """A PACS that is asked over C-FIND how many instances of a study it has."""

    ae_title: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(default=5.0, gt=0, le=40)  #: to connect, to be accepted, to answer


class SourceCompleteness(StrictModel):
    """What is otherwise with studies from one sender; None: as with all."""

    calling: AeTitle
    quiet_s: Seconds | None = None
    at_most_s: Seconds | None = None
    evidence: tuple[EvidenceKind, ...] | None = None


class CompletenessSettings(StrictModel):
    """When a study is complete, but for `quiet_s`."""

    at_most_s: Seconds = 3600.0  #: after its first instance a study is complete in any case
    settle_s: Seconds = 3.0  #: evidence counts when nothing arrived for so long
    evidence: tuple[EvidenceKind, ...] = (
        EvidenceKind.VIEWS,
        EvidenceKind.ANNOUNCED,
    )  #: what ends the wait sooner
    ask: InstanceCountSettings | None = None  #: who is asked for the evidence "count"
    sources: tuple[SourceCompleteness, ...] = ()

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        wanted = {*self.evidence, *(s for each in self.sources for s in each.evidence or ())}
        if EvidenceKind.COUNT in wanted and self.ask is None:
            raise ValueError("evidence has count, so ask must name the PACS that is asked")
        titles = [each.calling for each in self.sources]
        if len(set(titles)) != len(titles):
            raise ValueError("two sources have the same calling AE title")
        return self


class CommitmentRequestor(StrictModel):
    """A sender that is told on an association of ours what we are committed to."""

    calling: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, to be accepted, answered


class StowSender(StrictModel):
    """Somebody who may send over STOW-RS: each of what is said here must fit."""

    token: Token | None = None  #: hashed; None: it needs none
    certificates: tuple[Certificate, ...] = ()  #: as of a peer
    addresses: tuple[Network, ...] = ()  #: none: from anywhere

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.token is None and not self.certificates:
            raise ValueError("has neither token nor certificates: `triage token NAME` makes one")
        return self


class StowSettings(StrictModel):
    """Receiving over HTTP (STOW-RS)."""

    host: str = "127.0.0.1"
    port: Port = 8444
    #: by the name that stands in the ledger in place of a calling AE title
    senders: dict[AeTitle, StowSender] = Field(min_length=1)
    certificate: Path | None = None  #: PEM, with those between; None: no TLS
    key: Path | None = None  #: PEM, not encrypted
    clients: Path | None = None  #: PEM of who signs for clients; None: no certificate is asked for
    without_tls: bool = False  #: listen beyond this machine in plain HTTP
    requests: int = Field(default=8, ge=1, le=32)  #: at once

    @model_validator(mode="after")
    def _private(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together, or neither is")
        if self.clients is not None and self.certificate is None:
            raise ValueError("clients needs certificate and key: without TLS there is none")
        if self.host not in LOOPBACK and self.certificate is None and not self.without_tls:
            raise ValueError(
                f"on {self.host} images and tokens could be read on the way: set certificate and "
                "key, or, behind a proxy that has TLS, without_tls: true"
            )
        for name, sender in self.senders.items():
            if sender.certificates and self.clients is None:
                raise ValueError(f"senders.{name}.certificates: set clients, or none is asked for")
        return self


class WatchedFolder(StrictModel):
    """A folder whose files are taken."""

    path: Path
    name: AeTitle = "FOLDER"  #: stands in the ledger in place of a calling AE title
    settle_s: Seconds = 10.0  #: a file is taken when it did not change for so long
    every_s: Seconds = 5.0  #: between two looks
    after: Literal["keep", "move", "delete"] = "keep"  #: what becomes of a file that was taken


class ReceiverSettings(StrictModel):
    """Where studies arrive, and from whom."""

    ae_title: AeTitle = "CMRTRIAGE"
    check_called: bool = True  #: reject who calls us by another AE title
    host: str = "127.0.0.1"
    port: Port = 11112
    tls: TlsSettings | None = None  #: None: no TLS
    calling: tuple[AeTitle, ...] = ()  #: AE titles that may send, from anywhere
    peers: dict[Name, PeerSettings] = Field(default_factory=dict)  #: who may send besides
    associations: int = Field(default=100, ge=1, le=300)  #: at once, of all peers together
    artim_s: float = Field(default=30.0, gt=0, le=600)  #: for a connection to ask
    idle_s: float = Field(default=60.0, gt=0, le=86400)  #: for an association to go on
    pdu_bytes: int = Field(default=131_072, ge=4096, le=16_777_216)  #: the longest PDU
    instance_bytes: int = Field(default=2_147_483_648, ge=1)  #: the largest instance
    fast: bool = True  #: C-STORE past pynetdicom's own loops
    free_bytes: int = Field(default=5_000_000_000, ge=0)  #: with less on the disk nothing is taken
    waiting_studies: Count | None = 1000  #: with so many unassessed no new one is; None: any number
    quiet_s: Seconds = 15.0  #: a study is complete when nothing arrived for so long
    complete: CompletenessSettings = CompletenessSettings()
    commitment: tuple[CommitmentRequestor, ...] = ()  #: where reports of commitment go
    stow: StowSettings | None = None  #: None: nothing over HTTP
    folder: WatchedFolder | None = None  #: None: none is watched

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        for name, peer in self.peers.items():
            if twice := set(peer.ae_titles) & set(self.calling):
                raise ValueError(
                    f"{min(twice)} stands in calling, which lets it send from anywhere, and in "
                    f"peers.{name}: take it out of calling"
                )
            if peer.certificates and (self.tls is None or self.tls.clients is None):
                raise ValueError(
                    f"peers.{name}.certificates: set tls.clients, or none is asked for"
                )
        if self.tls is not None and self.tls.port == self.port:
            raise ValueError("tls.port must be another one than port")
        return self

    def calling_titles(self) -> tuple[str, ...]:
        """Return every AE title that may send."""
        return (*self.calling, *(title for p in self.peers.values() for title in p.ae_titles))
