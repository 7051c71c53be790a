"""The settings of a site: one YAML file, single fields overridden by the environment.

Rule: frozen once read, and the only reader of the environment. The file is `--config`, else
TRIAGE_CONFIG, else there is none and the defaults hold. Any field can be set as TRIAGE_<FIELD>,
with two underscores between levels: TRIAGE_RECEIVER__PORT=11112. `deploy/triage.yaml` explains
every field; a test holds the two together.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from triage.documents import Location, Strict, parse, read
from triage.domain.assessment import Disclosure
from triage.domain.completeness import Sign
from triage.domain.errors import ConfigurationError
from triage.domain.hours import HOURS

AE_TITLE_MAX = 16
PACKAGE = Path(__file__).parent
ENVIRONMENT_PREFIX = "TRIAGE_"
#: Read by the programs themselves, not settings.
NOT_SETTINGS = {"TRIAGE_CONFIG", "TRIAGE_REAL_DATA", "TRIAGE_REQUIRE_PEERS"}

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _ae_title(value: str) -> str:
    """PS3.5 6.2, VR AE: 1 to 16 printable ASCII characters, no backslash, no outer spaces."""
    if not 1 <= len(value) <= AE_TITLE_MAX or value != value.strip() or "\\" in value:
        raise ValueError("an AE title has 1 to 16 characters, no backslash, no outer spaces")
    if not (value.isascii() and value.isprintable()):
        raise ValueError("an AE title has printable ASCII characters alone")
    return value


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Part = TypeVar("Part", bound=Strict)


def _broker_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("a Redis is named as redis://host:6379/0, rediss:// or unix:///path")
    return value


def _postgres_url(value: str) -> str:
    if not value.startswith("postgresql+psycopg://"):
        raise ValueError("a PostgreSQL is named as postgresql+psycopg://user:password@host/db")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(f"{error}; one is named as 10.1.2.3 or 10.1.2.0/24") from None


def _certificate(value: str) -> str:
    """A fingerprint is compared without its colons and in small letters; a name as it stands."""
    digits = value.replace(":", "").lower()
    return digits if FINGERPRINT.fullmatch(digits) else value


def _hours(value: str) -> str:
    if not HOURS.fullmatch(value):
        raise ValueError("hours are written as 22:00-06:00")
    return value


def _dicomweb_url(value: str) -> str:
    """A password in it would be shown, and logged on the way; so would a query."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("a DICOMweb service is named as https://host/dicom-web")
    if url.username is not None or url.password is not None:
        raise ValueError("user and password go into authorization: Basic and their base64")
    return value.rstrip("/")


def _token(value: str) -> str:
    if not HASHED_TOKEN.fullmatch(value):
        raise ValueError("is no hashed token: `triage token NAME` makes the line")
    return value


FINGERPRINT = re.compile(r"[0-9a-f]{64}")
HASHED_TOKEN = re.compile(r"sha256\$[0-9a-f]{64}")  #: what `triage token` prints
PeerName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
Count = Annotated[int, Field(ge=1)]


class Peer(Strict):
    """Somebody who may send: each of what is said here must fit."""

    ae_titles: tuple[AeTitle, ...] = Field(min_length=1)  #: it calls itself one of these
    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = ()  #: none: from anywhere
    associations: Count | None = None  #: at once; None: as many as the receiver has
    #: of its TLS certificate: SHA-256 fingerprint, common name or DNS name; none: any, or no TLS
    certificates: tuple[Annotated[str, AfterValidator(_certificate)], ...] = ()


class Tls(Strict):
    """A second port, with TLS."""

    port: Port = 2762
    certificate: Path  #: PEM, with those between
    key: Path  #: PEM, not encrypted
    clients: Path | None = None  #: PEM of who signs for clients; None: no certificate is asked for


class Inquired(Strict):
    """A PACS that is asked over C-FIND how many instances of a study it has."""

    ae_title: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(default=5.0, gt=0, le=40)  #: to connect, to be accepted, to answer


class SourceCompleteness(Strict):
    """What is otherwise with studies from one sender; None: as with all."""

    calling: AeTitle
    quiet_s: Seconds | None = None
    at_most_s: Seconds | None = None
    evidence: tuple[Sign, ...] | None = None


class Completeness(Strict):
    """When a study is complete, but for `quiet_s`."""

    at_most_s: Seconds = 3600.0  #: after its first instance a study is complete in any case
    settle_s: Seconds = 3.0  #: evidence counts when nothing arrived for so long
    evidence: tuple[Sign, ...] = (Sign.VIEWS, Sign.ANNOUNCED)  #: what ends the wait sooner
    ask: Inquired | None = None  #: who is asked for the evidence "count"
    sources: tuple[SourceCompleteness, ...] = ()

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        wanted = {*self.evidence, *(s for each in self.sources for s in each.evidence or ())}
        if Sign.COUNT in wanted and self.ask is None:
            raise ValueError("evidence has count, so ask must name the PACS that is asked")
        titles = [each.calling for each in self.sources]
        if len(set(titles)) != len(titles):
            raise ValueError("two sources have the same calling AE title")
        return self


class CommitmentRequestor(Strict):
    """A sender that is told on an association of ours what we are committed to."""

    calling: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, to be accepted, answered


class StowSender(Strict):
    """Somebody who may send over STOW-RS: each of what is said here must fit."""

    token: Annotated[str, AfterValidator(_token)] | None = None  #: hashed; None: it needs none
    certificates: tuple[Annotated[str, AfterValidator(_certificate)], ...] = ()  #: as of a peer
    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = ()  #: none: from anywhere

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.token is None and not self.certificates:
            raise ValueError("has neither token nor certificates: `triage token NAME` makes one")
        return self


class Stow(Strict):
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


class WatchedFolder(Strict):
    """A folder whose files are taken."""

    path: Path
    name: AeTitle = "FOLDER"  #: stands in the ledger in place of a calling AE title
    settle_s: Seconds = 10.0  #: a file is taken when it did not change for so long
    every_s: Seconds = 5.0  #: between two looks
    after: Literal["keep", "move", "delete"] = "keep"  #: what becomes of a file that was taken


class Receiver(Strict):
    """Where studies arrive, and from whom."""

    ae_title: AeTitle = "CMRTRIAGE"
    check_called: bool = True  #: reject who calls us by another AE title
    host: str = "127.0.0.1"
    port: Port = 11112
    tls: Tls | None = None  #: None: no TLS
    calling: tuple[AeTitle, ...] = ()  #: AE titles that may send, from anywhere
    peers: dict[PeerName, Peer] = Field(default_factory=dict)  #: who may send besides
    associations: int = Field(default=100, ge=1, le=300)  #: at once, of all peers together
    artim_s: float = Field(default=30.0, gt=0, le=600)  #: for a connection to ask
    idle_s: float = Field(default=60.0, gt=0, le=86400)  #: for an association to go on
    pdu_bytes: int = Field(default=131_072, ge=4096, le=16_777_216)  #: the longest PDU
    instance_bytes: int = Field(default=2_147_483_648, ge=1)  #: the largest instance
    fast: bool = True  #: C-STORE past pynetdicom's own loops
    free_bytes: int = Field(default=5_000_000_000, ge=0)  #: with less on the disk nothing is taken
    waiting_studies: Count | None = 1000  #: with so many unassessed no new one is; None: any number
    quiet_s: Seconds = 15.0  #: a study is complete when nothing arrived for so long
    complete: Completeness = Completeness()
    commitment: tuple[CommitmentRequestor, ...] = ()  #: where reports of commitment go
    stow: Stow | None = None  #: None: nothing over HTTP
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

    def titles(self) -> tuple[str, ...]:
        """Return every AE title that may send."""
        return (*self.calling, *(title for p in self.peers.values() for title in p.ae_titles))


class DicomDestination(Strict):
    """A PACS that takes products over C-STORE."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
    timeout_s: float = Field(
        default=30.0, gt=0, le=40
    )  #: to connect, to be accepted, to be answered


class Asking(Strict):
    """How an archive is asked, however it is reached."""

    timeout_s: float = Field(default=60.0, gt=0, le=3600)  #: to connect, and for each next sign
    instances_per_s: Annotated[float, Field(ge=0.2, allow_inf_nan=False)] | None = 50.0
    studies_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    #: of the local day, in which studies are begun; None: at any time
    hours: Annotated[str, AfterValidator(_hours)] | None = None
    attempts: Count = 12  #: to reach it, before the rest is left


class MoveTo(Strict):
    """Where an archive sends what it is told to move: a port of ours while a study is fetched."""

    ae_title: AeTitle = "CMRTRIAGE_PULL"
    host: str = "127.0.0.1"  #: to listen on
    port: Port = 11114
    sends_as: tuple[AeTitle, ...] = ()  #: calling AE titles besides the one that is called


class DicomArchive(Asking):
    """An archive that is asked over C-FIND, and fetched from by C-GET or C-MOVE."""

    kind: Literal["dicom"]
    ae_title: AeTitle
    host: str
    port: Port
    calling: AeTitle | None = None  #: as whom we call; None: receiver.ae_title
    move_to: MoveTo | None = None  #: for C-MOVE; None: C-GET


class DicomwebArchive(Asking):
    """An archive that is asked over QIDO-RS, and fetched from by WADO-RS."""

    kind: Literal["dicomweb"]
    url: Annotated[str, AfterValidator(_dicomweb_url)]
    authorization: SecretStr | None = None  #: the header's value, e.g. Bearer ...
    authorization_file: Path | None = None  #: a file that holds it
    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.authorization is not None and self.authorization_file is not None:
            raise ValueError("give authorization or authorization_file, not both")
        secret = self.authorization is not None or self.authorization_file is not None
        url = urlsplit(self.url)
        if secret and url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError(f"to {url.hostname} it could be read on the way: use an https:// url")
        return self


Archive = Annotated[DicomArchive | DicomwebArchive, Field(discriminator="kind")]


class Model(Strict):
    """Which model runs, and on what."""

    bundle: Path = PACKAGE / "model" / "bundles" / "untrained"
    provider: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=0, ge=0)  #: of one worker; 0: as many as there are cores
    key_frames: int = Field(default=3, ge=0, le=10)  #: of a flagged finding, at most; 0: none


class Worker(Strict):
    """How studies are worked through."""

    assessors: int = Field(default=1, ge=1, le=64)  #: assessing processes of `triage serve`
    lease_s: Seconds = 30.0  #: a worker that is silent for so long has lost its study
    max_attempts: int = Field(default=5, ge=1)  #: then a study is set aside
    #: then a delivery is given up; with at most five minutes between two, 300 last a day
    max_delivery_attempts: int = Field(default=300, ge=1)


#: What `triage password` prints; triage/web/passwords.py makes and reads it.
HASHED = re.compile(r"scrypt\$\d{1,2}\$\d{1,2}\$\d{1,2}\$[0-9a-f]{32}\$[0-9a-f]{64}")
USER = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def _hashed(value: str) -> str:
    if not HASHED.fullmatch(value):
        raise ValueError("is no hashed password: `triage password NAME` makes the line")
    return value


def _user(value: str) -> str:
    if not USER.fullmatch(value):
        raise ValueError("a user's name has a to z, 0 to 9, . _ and -, and begins with a letter")
    return value


UserName = Annotated[str, AfterValidator(_user)]
Hashed = Annotated[str, AfterValidator(_hashed)]


class Web(Strict):
    """The page and the HTTP interface for past cases; without users there is none."""

    host: str = "127.0.0.1"
    port: Port = 8443
    users: dict[UserName, Hashed] = Field(default_factory=dict)  #: hashed passwords by name
    certificate: Path | None = None  #: PEM, with those between; None: no TLS
    key: Path | None = None  #: PEM, not encrypted
    without_tls: bool = False  #: listen beyond this machine in plain HTTP

    @model_validator(mode="after")
    def _private(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together, or neither is")
        if self.host not in LOOPBACK and self.certificate is None and not self.without_tls:
            raise ValueError(
                f"on {self.host} passwords could be read on the way: set certificate and key, or, "
                "behind a proxy that has TLS, without_tls: true"
            )
        return self


class MetricsEndpoint(Strict):
    """Where Prometheus scrapes; without a port there is nothing to scrape."""

    host: str = "127.0.0.1"
    port: Port | None = None


class Equipment(Strict):
    """How the worker names itself in what it sends."""

    manufacturer: str = Field(default="CMR triage project", max_length=64)
    name: str = Field(default="CMR triage worker", max_length=64)
    serial: str = Field(default="unnamed-site", max_length=64)


#: What can be sent of an assessment; a test holds them to the registry of reports.
Report = Literal["structured_report", "key_images", "pdf", "secondary_capture"]


class Settings(Strict):
    """Everything that a site decides."""

    state_dir: Path = Path("~/.local/state/cmr-triage")
    redis_url: Annotated[str, AfterValidator(_broker_url)] | None = (
        None  #: None: a private redis-server in the state folder
    )
    case_library: Annotated[str, AfterValidator(_postgres_url)] | None = (
        None  #: of past cases, on PostgreSQL with pgvector; None: in the state folder
    )
    log: Literal["auto", "json", "pretty"] = "auto"
    receiver: Receiver = Receiver()
    destinations: tuple[DicomDestination, ...] = ()
    archives: dict[PeerName, Archive] = Field(default_factory=dict)  #: that `triage pull` asks
    findings: Path = PACKAGE / "findings" / "default.yaml"
    series_rules: Path | None = None  #: what this site's series are, asked before the shipped table
    model: Model = Model()
    worker: Worker = Worker()
    equipment: Equipment = Equipment()
    similar_cases: Disclosure = Disclosure.OPAQUE  #: what reports tell of other patients' cases
    web: Web = Web()
    metrics: MetricsEndpoint = MetricsEndpoint()
    reports: tuple[Report, ...] = Field(
        default=("structured_report", "key_images", "pdf"), min_length=1
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return self


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the file at `path`, overridden by the environment."""
    if path is None and environment.get("TRIAGE_CONFIG"):
        path = Path(environment["TRIAGE_CONFIG"])
    overlay = _overlay(environment)
    if path is None:
        return _resolved(parse("{}", Settings, "the environment", overlay), Path.cwd())
    return _resolved(read(path, Settings, overlay), path.resolve().parent)


def require_peers(settings: Settings) -> None:
    """Raise ConfigurationError unless there is somebody to receive from and to send to."""
    receiver = settings.receiver
    if not receiver.titles() and receiver.stow is None and receiver.folder is None:
        raise ConfigurationError(
            "receiver.calling is empty and so is receiver.peers: every sender would be rejected; "
            "list the AE titles that may send, e.g. calling: [PACS]"
        )
    if not settings.destinations:
        raise ConfigurationError(
            "destinations is empty, so no report could be sent: list at least one PACS"
        )


def shown(settings: Settings) -> str:
    """Return the settings as JSON for people, without the passwords of its URLs or anybody's hash.

    A password may hold a slash, and that of a database may stand behind the URL's question mark.
    """
    named = re.sub(r'(://)[^"]*@', r"\1***@", settings.model_dump_json())
    without_urls = re.sub(r'([?&]password=)[^&"]*', r"\1***", named)
    return re.sub(r'"(scrypt|sha256)\$[^"]*"', r'"\1$***"', without_urls)


def child_environment(config: Path | None, redis_url: str | None) -> dict[str, str]:
    """Return the environment in which a part of the worker is started."""
    environment = dict(os.environ)
    if config is not None:
        environment["TRIAGE_CONFIG"] = str(config.resolve())
    if redis_url is not None:
        environment["TRIAGE_REDIS_URL"] = redis_url
    return environment


def _overlay(environment: Mapping[str, str]) -> dict[Location, str]:
    return {
        tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
    }


def _resolved(settings: Settings, base: Path) -> Settings:
    """Make paths absolute; relative ones are seen from the file that names them."""
    model = settings.model.model_copy(update={"bundle": _absolute(settings.model.bundle, base)})
    paths = {
        "state_dir": _absolute(settings.state_dir, base),
        "findings": _absolute(settings.findings, base),
        "series_rules": settings.series_rules and _absolute(settings.series_rules, base),
    }
    web = settings.web.model_copy(
        update={
            "certificate": settings.web.certificate and _absolute(settings.web.certificate, base),
            "key": settings.web.key and _absolute(settings.web.key, base),
        }
    )
    tls = settings.receiver.tls and settings.receiver.tls.model_copy(
        update={
            "certificate": _absolute(settings.receiver.tls.certificate, base),
            "key": _absolute(settings.receiver.tls.key, base),
            "clients": settings.receiver.tls.clients
            and _absolute(settings.receiver.tls.clients, base),
        }
    )
    stow, folder = settings.receiver.stow, settings.receiver.folder
    update = {
        "tls": tls,
        "stow": stow and _with_absolute(stow, base, "certificate", "key", "clients"),
        "folder": folder and _with_absolute(folder, base, "path"),
    }
    receiver = settings.receiver.model_copy(update=update)
    archives = {name: _archive(each, base) for name, each in settings.archives.items()}
    parts = {"model": model, "web": web, "receiver": receiver, "archives": archives}
    return settings.model_copy(update={**paths, **parts})


def _archive(archive: DicomArchive | DicomwebArchive, base: Path) -> Archive:
    if isinstance(archive, DicomArchive):
        return archive
    return _with_absolute(archive, base, "authorization_file", "trusted")


def _with_absolute(part: Part, base: Path, *fields: str) -> Part:
    paths = {field: getattr(part, field) for field in fields}
    return part.model_copy(update={f: path and _absolute(path, base) for f, path in paths.items()})


def _absolute(path: Path, base: Path) -> Path:
    return (base / path.expanduser()).resolve()
