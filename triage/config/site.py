"""The root of the settings, and the settings of model, worker, pages and metrics."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from triage.config.archives import AnyArchiveSettings
from triage.config.audit import AuditSettings
from triage.config.destinations import AnyDestination
from triage.config.fields import (
    BrokerUrl,
    HashedPassword,
    Name,
    Port,
    PostgresUrl,
    PublicKey,
    Seconds,
    UserName,
)
from triage.config.receiver import ReceiverSettings
from triage.config.retention import RetentionSettings
from triage.config.server_urls import ServerSetting, describe_remedy, is_readable_on_the_way
from triage.config.spool import SpoolSettings
from triage.config.transport import require_private_transport
from triage.domain.assessment import Disclosure
from triage.domain.delivery import LONGEST_WAIT_S
from triage.yaml_models import StrictModel

PACKAGE = Path(__file__).parents[1]


class ModelSettings(StrictModel):
    """Which model runs, and on which hardware."""

    bundle: Path = PACKAGE / "model" / "bundles" / "untrained"
    provider: Literal["cpu", "cuda"] = "cpu"
    fallback: Literal["cpu"] | None = None  #: used if a clip does not fit into GPU memory
    threads: int = Field(default=0, ge=0)  #: of one worker; 0: one for each core
    key_frames: int = Field(default=3, ge=0, le=10)  #: at most, of each flagged finding; 0: none
    #: reason for flags on studies unlike those of the training, which are then marked; empty: such
    #: studies are Not Evaluated
    mark_unfamiliar: str = ""
    #: Ed25519 keys in base64, one of which must have signed the bundle; empty: none needs to
    trusted_keys: tuple[PublicKey, ...] = ()
    first_run_s: Seconds = 300.0  #: limit of a bundle's first run, in a process of its own
    #: limit of private memory of that process
    first_run_bytes: int = Field(default=8_000_000_000, ge=500_000_000)


class WorkerSettings(StrictModel):
    """How workers process studies."""

    assessors: int = Field(default=1, ge=1, le=64)  #: assessing processes of `triage serve`
    #: without renewal for this time a worker loses its study to another
    lease_s: float = Field(default=30.0, gt=0, le=LONGEST_WAIT_S)
    max_attempts: int = Field(default=5, ge=1)  #: after which a study is FAILED
    #: a process without a sign of life for this time is killed and started again
    silent_s: float = Field(default=60.0, ge=5)
    #: longest step of a process, as the encoding of one clip; a process whose work makes no
    #: progress for this time is killed and started again
    stalled_s: float = Field(default=600.0, ge=5)
    #: after which a delivery is a dead letter; at most five minutes apart, 300 take a day
    max_delivery_attempts: int = Field(default=300, ge=1)


class WebSettings(StrictModel):
    """The web page and HTTP interface of past cases; without users they are off."""

    host: str = "127.0.0.1"
    port: Port = 8443
    users: dict[UserName, HashedPassword] = Field(default_factory=dict)  #: hashed passwords by name
    certificate: Path | None = None  #: PEM, with intermediate certificates; None: no TLS
    key: Path | None = None  #: PEM, not encrypted
    without_tls: bool = False  #: listen beyond this machine in plain HTTP

    @model_validator(mode="after")
    def _require_private_transport(self) -> Self:
        require_private_transport(self, "passwords", "behind a proxy that has TLS")
        return self


class MetricsEndpoint(StrictModel):
    """The endpoint that Prometheus scrapes; without a port there are no metrics."""

    host: str = "127.0.0.1"
    port: Port | None = None


class EquipmentSettings(StrictModel):
    """How the worker identifies itself in the objects that it sends."""

    manufacturer: str = Field(default="CMR triage project", max_length=64)
    name: str = Field(default="CMR triage worker", max_length=64)
    serial: str = Field(default="unnamed-site", max_length=64)


class CalibrationSettings(StrictModel):
    """How many labelled patients a threshold of this site needs, for each set of views.

    They are counted on the smaller side: with the finding, or without it.
    """

    show_from: int = Field(default=10, ge=2)  #: for a threshold at all, tried in silence
    report_from: int = Field(default=30, ge=2)  #: for a threshold that reports flag by

    @model_validator(mode="after")
    def _require_order(self) -> Self:
        if self.report_from < self.show_from:
            raise ValueError("report_from is below show_from: reports need at least as many")
        return self


class Settings(StrictModel):
    """All settings of a site."""

    state_dir: Path = Path("~/.local/state/cmr-triage")
    spool: SpoolSettings = SpoolSettings()
    redis_url: BrokerUrl | None = None  #: None: a private redis-server in the state folder
    ledger: PostgresUrl | None = None  #: None: an SQLite file in the state folder
    #: past cases, on PostgreSQL with pgvector; None: in the state folder
    case_library: PostgresUrl | None = None
    without_tls: tuple[ServerSetting, ...] = ()  #: those that may be on other machines without TLS
    log: Literal["auto", "json", "pretty"] = "auto"
    receiver: ReceiverSettings = ReceiverSettings()
    destinations: tuple[AnyDestination, ...] = ()
    archives: dict[Name, AnyArchiveSettings] = Field(
        default_factory=dict
    )  #: archives from which `triage pull` fetches
    findings: Path = PACKAGE / "findings" / "default.yaml"
    two_person_approval: bool = False  #: an activation of a finding waits for another person
    calibration: CalibrationSettings = CalibrationSettings()
    series_rules: Path | None = None  #: this site's series rules, applied before the shipped ones
    model: ModelSettings = ModelSettings()
    worker: WorkerSettings = WorkerSettings()
    equipment: EquipmentSettings = EquipmentSettings()
    similar_cases: Disclosure = Disclosure.OPAQUE  #: how reports identify other patients' cases
    web: WebSettings = WebSettings()
    metrics: MetricsEndpoint = MetricsEndpoint()
    audit: AuditSettings | None = None  #: None: no audit trail
    #: names of reports; `triage.runtime.preflight.check_reports` knows the valid ones
    reports: tuple[str, ...] = Field(
        default=("structured_report", "key_images", "pdf"), min_length=1
    )
    retention: RetentionSettings = RetentionSettings()  #: when data is removed

    @model_validator(mode="after")
    def _require_privacy(self) -> Self:
        urls: dict[ServerSetting, str | None] = {
            "redis_url": self.redis_url,
            "ledger": self.ledger,
            "case_library": self.case_library,
        }
        for setting, url in urls.items():
            if url and setting not in self.without_tls and is_readable_on_the_way(url):
                raise ValueError(describe_remedy(setting))
        return self

    @model_validator(mode="after")
    def _require_distinct_names(self) -> Self:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return self

    @model_validator(mode="after")
    def _require_measurable_free_space(self) -> Self:
        if self.retention.spool_free_bytes is not None and self.spool.bucket is not None:
            raise ValueError(
                "retention.spool_free_bytes does not work with an s3:// spool: an object store "
                "does not report its free space; set spool_days instead"
            )
        return self

    @model_validator(mode="after")
    def _require_removal_before_refusal(self) -> Self:
        made, refused = self.retention.spool_free_bytes, self.receiver.free_bytes
        needed = refused + refused // 10  # receiving resumes at a tenth above the limit
        if made is not None and made <= needed:
            raise ValueError(
                f"retention.spool_free_bytes must be above {needed}, a tenth more than "
                "receiver.free_bytes: else receiving stops before images are removed"
            )
        return self
