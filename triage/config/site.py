"""Everything that a site decides."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from triage.config.archives import Archive
from triage.config.audit import AuditSettings
from triage.config.destinations import AnyDestination
from triage.config.fields import (
    LOOPBACK,
    BrokerUrl,
    HashedPassword,
    Name,
    Port,
    PostgresUrl,
    UserName,
)
from triage.config.receiver import ReceiverSettings
from triage.config.retention import RetentionSettings
from triage.config.spool import SpoolSettings
from triage.domain.assessment import Disclosure
from triage.domain.delivery import LONGEST_WAIT_S
from triage.yaml_models import StrictModel

PACKAGE = Path(__file__).parents[1]


class ModelSettings(StrictModel):
    """Which model runs, and on what."""

    bundle: Path = PACKAGE / "model" / "bundles" / "untrained"
    provider: Literal["cpu", "cuda"] = "cpu"
    fallback: Literal["cpu"] | None = None  #: where one clip does not fit into memory
    threads: int = Field(default=0, ge=0)  #: of one worker; 0: as many as there are cores
    key_frames: int = Field(default=3, ge=0, le=10)  #: of a flagged finding, at most; 0: none


class WorkerSettings(StrictModel):
    """How studies are worked through."""

    assessors: int = Field(default=1, ge=1, le=64)  #: assessing processes of `triage serve`
    #: a worker that is silent for so long has lost its study
    lease_s: float = Field(default=30.0, gt=0, le=LONGEST_WAIT_S)
    max_attempts: int = Field(default=5, ge=1)  #: then a study is set aside
    #: then a delivery is given up; with at most five minutes between two, 300 last a day
    max_delivery_attempts: int = Field(default=300, ge=1)


class WebSettings(StrictModel):
    """The page and the HTTP interface for past cases; without users there is none."""

    host: str = "127.0.0.1"
    port: Port = 8443
    users: dict[UserName, HashedPassword] = Field(default_factory=dict)  #: hashed passwords by name
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


class MetricsEndpoint(StrictModel):
    """Where Prometheus scrapes; without a port there is nothing to scrape."""

    host: str = "127.0.0.1"
    port: Port | None = None


class EquipmentSettings(StrictModel):
    """How the worker names itself in what it sends."""

    manufacturer: str = Field(default="CMR triage project", max_length=64)
    name: str = Field(default="CMR triage worker", max_length=64)
    serial: str = Field(default="unnamed-site", max_length=64)


#: What can be sent of an assessment; a test holds them to the registry of reports.
Report = Literal["structured_report", "key_images", "pdf", "secondary_capture", "hl7", "summary"]


class Settings(StrictModel):
    """Everything that a site decides."""

    state_dir: Path = Path("~/.local/state/cmr-triage")
    spool: SpoolSettings = SpoolSettings()
    redis_url: BrokerUrl | None = None  #: None: a private redis-server in the state folder
    ledger: PostgresUrl | None = None  #: None: an SQLite file in the state folder
    case_library: PostgresUrl | None = (
        None  #: of past cases, on PostgreSQL with pgvector; None: in the state folder
    )
    log: Literal["auto", "json", "pretty"] = "auto"
    receiver: ReceiverSettings = ReceiverSettings()
    destinations: tuple[AnyDestination, ...] = ()
    archives: dict[Name, Archive] = Field(default_factory=dict)  #: that `triage pull` asks
    findings: Path = PACKAGE / "findings" / "default.yaml"
    series_rules: Path | None = None  #: what this site's series are, asked before the shipped table
    model: ModelSettings = ModelSettings()
    worker: WorkerSettings = WorkerSettings()
    equipment: EquipmentSettings = EquipmentSettings()
    similar_cases: Disclosure = Disclosure.OPAQUE  #: what reports tell of other patients' cases
    web: WebSettings = WebSettings()
    metrics: MetricsEndpoint = MetricsEndpoint()
    audit: AuditSettings | None = None  #: None: no audit messages
    reports: tuple[Report, ...] = Field(
        default=("structured_report", "key_images", "pdf"), min_length=1
    )
    retention: RetentionSettings = RetentionSettings()  #: what is kept no longer

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return self

    @model_validator(mode="after")
    def _room_is_made_where_it_is_measured(self) -> Self:
        if self.retention.spool_free_bytes is not None and self.spool.bucket is not None:
            raise ValueError(
                "retention.spool_free_bytes does not go with an s3:// spool: an object store does "
                "not tell its room, and removing images there frees no disk here; set days"
            )
        return self

    @model_validator(mode="after")
    def _room_is_made_before_it_is_needed(self) -> Self:
        made, refused = self.retention.spool_free_bytes, self.receiver.free_bytes
        needed = refused + refused // 10  # so much more, until receiving begins again
        if made is not None and made <= needed:
            raise ValueError(
                f"retention.spool_free_bytes must be above {needed}, a tenth more than "
                "receiver.free_bytes, or nothing is taken in before room is made"
            )
        return self
