"""Where products go: one class a kind of destination, told apart by `kind`.

Rule: a new kind is one class here and one line in `AnyDestination`. Who names no kind means dicom.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, SecretStr, Tag, model_validator

from triage.config.authorization import HttpAuthorization
from triage.config.fields import LOOPBACK, AeTitle, Name, Port, WebUrl
from triage.yaml_models import StrictModel

OBJECTS = ("structured_report", "key_images", "pdf", "secondary_capture")


class DestinationTls(StrictModel):
    """TLS to a destination; its certificate must be for its host."""

    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it
    certificate: Path | None = None  #: PEM, who we are; None: it does not ask
    key: Path | None = None  #: PEM, not encrypted

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _paired(self.certificate, self.key)
        return self


class PacsTls(DestinationTls):
    """TLS with a PACS."""

    name: str | None = None  #: DNS name or address that its certificate must have; None: host


class DicomDestination(StrictModel):
    """A PACS that takes products over C-STORE."""

    takes: ClassVar[Collection[str]] = OBJECTS  #: of `reports`
    name: Name
    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
    tls: PacsTls | None = None  #: None: no TLS
    commitment: bool = False  #: delivered is when it has said that it keeps it (PS3.4 J)
    #: it is asked again, then sent to again, when it has not said so for so long
    commitment_within_s: float = Field(default=3600.0, gt=0, le=86_400)
    commitment_from: tuple[AeTitle, ...] = ()  #: calling AE titles of its reports besides ae_title
    timeout_s: float = Field(
        default=30.0, gt=0, le=40
    )  #: to connect, to be accepted, to be answered

    def reporters(self) -> tuple[str, ...]:
        """Return the AE titles whose word on what it keeps counts."""
        return (self.ae_title, *self.commitment_from)


class FolderDestination(StrictModel):
    """A folder that products are written to, as files."""

    takes: ClassVar[Collection[str]] = (*OBJECTS, "summary", "hl7")
    name: Name
    kind: Literal["folder"]
    path: Path


class WebhookDestination(StrictModel):
    """A program that is told over HTTP that a study was assessed."""

    takes: ClassVar[Collection[str]] = ("summary",)
    name: Name
    kind: Literal["webhook"]
    url: WebUrl
    secret: SecretStr | None = None  #: that it and we share, in base64; it signs what we send
    secret_file: Path | None = None  #: a file that holds it
    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it
    certificate: Path | None = None  #: PEM, who we are; None: it does not ask
    key: Path | None = None  #: PEM, not encrypted
    timeout_s: float = Field(default=15.0, gt=0, le=40)  #: to connect, to be answered

    @model_validator(mode="after")
    def _signed_and_private(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("give secret or secret_file, one of them, or anybody could say this")
        _paired(self.certificate, self.key)
        url = urlsplit(self.url)
        if url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError(f"to {url.hostname} it could be read on the way: use an https:// url")
        return self


class MllpDestination(StrictModel):
    """A system that takes HL7 v2 messages over MLLP."""

    takes: ClassVar[Collection[str]] = ("hl7",)
    name: Name
    kind: Literal["mllp"]
    host: str
    port: Port
    tls: DestinationTls | None = None  #: None: no TLS
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, to be answered


class StowDestination(HttpAuthorization):
    """A DICOMweb service that takes products over STOW-RS."""

    takes: ClassVar[Collection[str]] = OBJECTS
    name: Name
    kind: Literal["stow"]
    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it
    certificate: Path | None = None  #: PEM, who we are; None: it does not ask
    key: Path | None = None  #: PEM, not encrypted
    without_tls: bool = False  #: send beyond this machine in plain HTTP
    timeout_s: float = Field(default=30.0, gt=0, le=40)  #: to connect, to be answered

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _paired(self.certificate, self.key)
        url = urlsplit(self.url)
        if url.scheme == "http" and url.hostname not in LOOPBACK and not self.without_tls:
            raise ValueError(
                f"to {url.hostname} reports could be read on the way: use an https:// url, or, in "
                "a network that you trust, without_tls: true"
            )
        return self


def _paired(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key are given together, or neither is")


def _kind(value: Any) -> str:
    """Return the kind of an entry as it was written, or of one that was read."""
    if isinstance(value, dict):
        return str(value.get("kind", "dicom"))
    return str(getattr(value, "kind", "dicom"))


AnyDestination = Annotated[
    Annotated[DicomDestination, Tag("dicom")]
    | Annotated[FolderDestination, Tag("folder")]
    | Annotated[WebhookDestination, Tag("webhook")]
    | Annotated[MllpDestination, Tag("mllp")]
    | Annotated[StowDestination, Tag("stow")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message=(
            "kind is dicom (which it is if left out), folder, webhook, mllp or stow"
        ),
    ),
]
