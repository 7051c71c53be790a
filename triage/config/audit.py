"""Where audit messages go (DICOM PS3.15 A.5)."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.config.fields import LOOPBACK, Count, Port
from triage.yaml_models import StrictModel


class AuditSyslogSettings(StrictModel):
    """An audit repository over syslog."""

    host: str = Field(min_length=1)
    port: Port = 6514
    tls: bool = True  #: False: plain TCP, to this machine alone
    trusted: Path | None = (
        None  #: PEM of who signs for its certificate; None: whom the system trusts
    )
    name: str | None = None  #: DNS name or address that its certificate must have; None: host
    certificate: Path | None = None  #: PEM, who we are, with those between; None: it does not ask
    key: Path | None = None  #: PEM, not encrypted
    timeout_s: float = Field(default=10.0, gt=0, le=60)  #: to connect, to take a batch

    @model_validator(mode="after")
    def _private(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together, or neither is")
        if not self.tls and self.host not in LOOPBACK:
            raise ValueError(
                f"to {self.host} patient numbers could be read on the way: leave tls on, or name a "
                "relay on this machine"
            )
        if not self.tls and (self.trusted, self.name, self.certificate) != (None, None, None):
            raise ValueError("trusted, name and certificate need tls: true")
        return self


class AuditSettings(StrictModel):
    """The audit trail of a site."""

    file: Path | None = None  #: one message a line
    syslog: AuditSyslogSettings | None = None
    source: str = Field(default="cmr-triage", min_length=1, max_length=64)  #: AuditSourceID
    site: str = Field(default="", max_length=64)  #: AuditEnterpriseSiteID; "": not said
    waiting_messages: Count = 100_000  #: kept while the repository is away

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.file is None) == (self.syslog is None):
            raise ValueError("name file or syslog, one of them")
        return self
