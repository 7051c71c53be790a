"""Settings of the audit trail (DICOM PS3.15 A.5)."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.config.fields import LOOPBACK, Count, Port
from triage.yaml_models import StrictModel


class AuditSyslogSettings(StrictModel):
    """An audit repository that is reached over syslog."""

    host: str = Field(min_length=1)
    port: Port = 6514
    tls: bool = True  #: False: plain TCP, only to this machine
    trusted: Path | None = None  #: PEM file of trusted authorities; None: those of the system
    name: str | None = None  #: DNS name or address in the server's certificate; None: host
    certificate: Path | None = None  #: PEM of our certificate, with intermediates; None: none
    key: Path | None = None  #: PEM of its key, not encrypted
    timeout_s: float = Field(default=10.0, gt=0, le=60)  #: to connect, and to take a batch

    @model_validator(mode="after")
    def _require_privacy(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("set both certificate and key, or neither")
        if not self.tls and self.host not in LOOPBACK:
            raise ValueError(
                f"audit messages to {self.host} contain patient IDs and would be readable on the "
                "way: set tls: true, or set host to a relay on this machine"
            )
        if not self.tls and (self.trusted, self.name, self.certificate) != (None, None, None):
            raise ValueError("trusted, name and certificate have an effect only with tls: true")
        return self


class AuditSettings(StrictModel):
    """The audit trail of a site."""

    file: Path | None = None  #: path of a file with one message a line; None: syslog
    syslog: AuditSyslogSettings | None = None
    source: str = Field(default="cmr-triage", min_length=1, max_length=64)  #: AuditSourceID
    site: str = Field(default="", max_length=64)  #: AuditEnterpriseSiteID; "": left out
    waiting_messages: Count = 100_000  #: messages kept while the repository is down

    @model_validator(mode="after")
    def _require_one_transport(self) -> Self:
        if (self.file is None) == (self.syslog is None):
            raise ValueError("set either file or syslog")
        return self
