"""Settings of the receivers: which peers may send, and when a study is complete."""

from collections import Counter
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
    StorageClass,
    Token,
)
from triage.config.hl7 import Hl7Settings
from triage.config.transport import require_private_transport
from triage.domain.completeness import EvidenceKind
from triage.domain.errors import ConfigurationError
from triage.domain.instance import CorrectedStudy
from triage.yaml_models import StrictModel


class PeerSettings(StrictModel):
    """A peer that may send over DICOM; each condition given here must be met."""

    ae_titles: tuple[AeTitle, ...] = Field(min_length=1)  #: calling AE titles, one of which it uses
    addresses: tuple[Network, ...] = ()  #: empty: any address
    associations: Count | None = None  #: at once; None: up to the receiver's limit
    #: SHA-256 fingerprint, common name or DNS name of its TLS certificate; empty: any, or no TLS
    certificates: tuple[Certificate, ...] = ()
    tls: bool = False  #: reject its associations on the port without TLS


class TlsSettings(StrictModel):
    """A second port of the Storage SCP, with TLS."""

    port: Port = 2762
    certificate: Path  #: PEM, with intermediate certificates
    key: Path  #: PEM, not encrypted
    #: PEM of the authorities that sign client certificates; None: none is requested
    clients: Path | None = None


class InstanceCountSettings(StrictModel):
    """A PACS that reports over C-FIND how many instances a study has."""

    ae_title: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(
        default=5.0, gt=0, le=40
    )  #: for connection, association and response, each


class SourceCompleteness(StrictModel):
    """Completeness settings of one sender; None: the general setting applies."""

    calling: AeTitle
    quiet_s: Seconds | None = None
    at_most_s: Seconds | None = None
    evidence: tuple[EvidenceKind, ...] | None = None


class CompletenessSettings(StrictModel):
    """When a study is complete, besides `quiet_s`."""

    at_most_s: Seconds = (
        3600.0  #: limit after the first instance, at which a study is complete in any case
    )
    settle_s: Seconds = 3.0  #: evidence counts when no instance has arrived for this time
    evidence: tuple[EvidenceKind, ...] = (
        EvidenceKind.VIEWS,
        EvidenceKind.ANNOUNCED,
    )  #: kinds of evidence that end the wait early
    ask: InstanceCountSettings | None = None  #: the PACS that is queried for the evidence "count"
    sources: tuple[SourceCompleteness, ...] = ()

    @model_validator(mode="after")
    def _require_answerable_evidence(self) -> Self:
        wanted = {*self.evidence, *(e for source in self.sources for e in source.evidence or ())}
        if EvidenceKind.COUNT in wanted and self.ask is None:
            raise ValueError("evidence has count, so ask must name the PACS that is queried")
        titles = [source.calling for source in self.sources]
        if len(set(titles)) != len(titles):
            raise ValueError("two sources have the same calling AE title")
        return self


class CommitmentRequestor(StrictModel):
    """A sender that receives our storage commitment reports on an association of ours."""

    calling: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(
        default=30.0, gt=0, le=40
    )  #: for connection, association and response, each


class StowSender(StrictModel):
    """A client that may send over STOW-RS; each condition given here must be met."""

    token: Token | None = None  #: hashed; None: no token is needed
    certificates: tuple[Certificate, ...] = ()  #: as in `PeerSettings`
    addresses: tuple[Network, ...] = ()  #: empty: any address

    @model_validator(mode="after")
    def _require_identification(self) -> Self:
        if self.token is None and not self.certificates:
            raise ValueError(
                "has neither token nor certificates: `triage token NAME` makes a token"
            )
        return self


class StowSettings(StrictModel):
    """Receiving over HTTP (STOW-RS)."""

    host: str = "127.0.0.1"
    port: Port = 8444
    #: by the name that the ledger records in place of a calling AE title
    senders: dict[AeTitle, StowSender] = Field(min_length=1)
    certificate: Path | None = None  #: PEM, with intermediate certificates; None: no TLS
    key: Path | None = None  #: PEM, not encrypted
    #: PEM of the authorities that sign client certificates; None: none is requested
    clients: Path | None = None
    without_tls: bool = False  #: listen beyond this machine in plain HTTP
    requests: int = Field(default=8, ge=1, le=32)  #: at once

    @model_validator(mode="after")
    def _require_private_transport(self) -> Self:
        require_private_transport(
            self, "images and tokens", "behind a proxy that has TLS", self.clients, self.senders
        )
        return self


class WatchedFolder(StrictModel):
    """A folder from which DICOM files are received."""

    path: Path
    name: AeTitle = "FOLDER"  #: recorded in the ledger in place of a calling AE title
    settle_s: Seconds = 10.0  #: a file is received when it has not changed for this time
    every_s: Seconds = 5.0  #: between two scans of the folder
    after: Literal["keep", "move", "delete"] = "keep"  #: what happens to a received file


class ReceiverSettings(StrictModel):
    """The receivers, their limits, and the peers that may send."""

    ae_title: AeTitle = "CMRTRIAGE"
    check_called: bool = True  #: reject associations that call another AE title
    host: str = "127.0.0.1"
    port: Port | None = 11112  #: None: no port without TLS
    tls: TlsSettings | None = None  #: None: no TLS
    calling: tuple[AeTitle, ...] = ()  #: AE titles that may send from any address
    peers: dict[Name, PeerSettings] = Field(
        default_factory=dict
    )  #: further peers that may send, with conditions
    associations: int = Field(default=100, ge=1, le=300)  #: at once, of all peers together
    artim_s: float = Field(
        default=30.0, gt=0, le=600
    )  #: until a connection requests an association (PS3.8 9.1.5, ARTIM)
    idle_s: float = Field(default=60.0, gt=0, le=86400)  #: for which an association may be silent
    pdu_bytes: int = Field(default=131_072, ge=4096, le=16_777_216)  #: the longest PDU
    instance_bytes: int = Field(default=536_870_912, ge=1)  #: the largest instance
    memory_bytes: int = Field(
        default=134_217_728, ge=1
    )  #: what incoming instances may hold in memory, all together
    fast: bool = True  #: receive C-STORE outside pynetdicom's own loops
    free_bytes: int = Field(
        default=5_000_000_000, ge=0
    )  #: with less free disk space nothing is received
    #: most bytes and files of refused instances in quarantine; then the oldest are removed
    quarantine_bytes: int = Field(default=1_000_000_000, ge=0)
    quarantine_files: int = Field(default=10_000, ge=0)
    #: with this many unassessed studies no new study is received; None: no limit
    waiting_studies: Count | None = 1000
    #: "any": every storage SOP class that a sender proposes; "known": those of the standard, of
    #: scanner vendors, and of storage_classes
    storage: Literal["known", "any"] = "known"
    #: UIDs of further storage SOP classes that are kept
    storage_classes: tuple[StorageClass, ...] = Field(default=(), max_length=64)
    #: other content under known SOP Instance UIDs of a study
    corrected_study: CorrectedStudy = CorrectedStudy.REPORT
    quiet_s: Seconds = 15.0  #: a study is complete when no instance has arrived for this time
    complete: CompletenessSettings = CompletenessSettings()
    commitment: tuple[CommitmentRequestor, ...] = ()  #: requestors that receive commitment reports
    stow: StowSettings | None = None  #: None: no STOW-RS
    folder: WatchedFolder | None = None  #: None: no watched folder
    hl7: Hl7Settings | None = None  #: None: no reports over HL7

    @model_validator(mode="after")
    def _require_unambiguous_entries(self) -> Self:
        for name, peer in self.peers.items():
            if twice := set(peer.ae_titles) & set(self.calling):
                raise ValueError(
                    f"{min(twice)} is in calling, which lets it send from any address, and in "
                    f"peers.{name}: remove it from calling"
                )
            if peer.tls and self.tls is None:
                raise ValueError(f"peers.{name}.tls: set receiver.tls, or it could not send")
            if peer.certificates and (self.tls is None or self.tls.clients is None):
                raise ValueError(
                    f"peers.{name}.certificates: set tls.clients, or no certificate is requested"
                )
        if repeated := [uid for uid, times in Counter(self.storage_classes).items() if times > 1]:
            raise ValueError(f"storage_classes has {repeated[0]} twice")
        if self.port is None and self.tls is None and not (self.stow or self.folder):
            raise ValueError("port is null: set tls, stow or folder, or nothing could arrive")
        if self.tls is not None and self.tls.port == self.port:
            raise ValueError("tls.port must differ from port")
        return self

    def plain_port(self) -> int:
        """Return the port without TLS; raise ConfigurationError if it is off."""
        if self.port is None:
            raise ConfigurationError("receiver.port is null: there is no port without TLS")
        return self.port

    def list_open_titles(self) -> tuple[str, ...]:
        """Return the AE titles that may send from any address without a certificate.

        None on a loopback address, which only programs of this machine reach.
        """
        if self.host in LOOPBACK:
            return ()
        free = [p for p in self.peers.values() if not p.addresses and not p.certificates]
        return (*self.calling, *(title for peer in free for title in peer.ae_titles))

    def calling_titles(self) -> tuple[str, ...]:
        """Return every AE title that may send."""
        return (*self.calling, *(title for p in self.peers.values() for title in p.ae_titles))
