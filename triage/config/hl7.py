"""Settings of the receiver of radiologists' reports over HL7 v2."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from triage.config.fields import LOOPBACK, Certificate, Name, Network, Port
from triage.config.transport import require_private_transport
from triage.yaml_models import StrictModel

#: A field of a segment, as OBR-18.
Hl7Field = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{2}-[1-9][0-9]?$")]
FindingId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Phrase = Annotated[str, StringConstraints(min_length=2, max_length=100)]


class Hl7Sender(StrictModel):
    """A system that may send reports; each condition given here must be met."""

    application: str = Field(min_length=1, max_length=180)  #: MSH-3, first component
    facility: str | None = None  #: MSH-4, first component; None: any
    addresses: tuple[Network, ...] = ()  #: empty: any address
    certificates: tuple[Certificate, ...] = ()  #: as in `PeerSettings`


class Hl7Settings(StrictModel):
    """Receiving radiologists' reports over HL7 v2 (MLLP)."""

    host: str = "127.0.0.1"
    port: Port = 2575
    senders: dict[Name, Hl7Sender] = Field(min_length=1)
    certificate: Path | None = None  #: PEM, with intermediate certificates; None: no TLS
    key: Path | None = None  #: PEM, not encrypted
    #: PEM of the authorities that sign client certificates; None: none is requested
    clients: Path | None = None
    without_tls: bool = False  #: listen beyond this machine without TLS
    connections: int = Field(default=16, ge=1, le=64)  #: at once, of permitted senders
    idle_s: float = Field(default=600.0, gt=0, le=86400)  #: between two messages of a connection
    #: from the first byte of a message to its last
    message_s: float = Field(default=30.0, gt=0, le=600)
    message_bytes: int = Field(default=1_048_576, ge=1024, le=67_108_864)  #: the largest message
    #: fields with a number under which the study may be known here, best first
    numbers: tuple[Hl7Field, ...] = Field(
        default=("OBR-18", "IPC-1", "OBR-3", "TXA-15"), min_length=1, max_length=16
    )
    #: words of further findings, by the id of the finding
    words: dict[FindingId, tuple[Phrase, ...]] = Field(default_factory=dict, max_length=64)

    @model_validator(mode="after")
    def _require_private_transport(self) -> Self:
        require_private_transport(
            self,
            "reports, which name the patient,",
            "in a network that you trust",
            self.clients,
            self.senders,
        )
        for name, sender in self.senders.items():
            if self.host not in LOOPBACK and not sender.addresses and not sender.certificates:
                raise ValueError(
                    f"senders.{name}: give addresses or certificates: any system can state the "
                    "name of an application"
                )
        return self
