"""Where products go: one class a kind of destination, told apart by `kind`.

Rule: a new kind is one class here and one line in `AnyDestination`. Who names no kind means dicom.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from triage.config.fields import AeTitle, Name, Port
from triage.documents import Strict


class PacsTls(Strict):
    """TLS with a PACS that we call; its certificate is always checked."""

    trusted: Path | None = None  #: PEM of who signs for it; None: whom the system trusts
    name: str | None = None  #: DNS name or address that its certificate must have; None: host
    certificate: Path | None = None  #: PEM, who we are, with those between; None: it does not ask
    key: Path | None = None  #: PEM, not encrypted

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together, or neither is")
        return self


class DicomDestination(Strict):
    """A PACS that takes products over C-STORE."""

    name: Name
    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
    tls: PacsTls | None = None  #: None: no TLS
    timeout_s: float = Field(
        default=30.0, gt=0, le=40
    )  #: to connect, to be accepted, to be answered


class FolderDestination(Strict):
    """A folder that products are written to, as files."""

    name: Name
    kind: Literal["folder"]
    path: Path


def _kind(value: Any) -> str:
    """Return the kind of an entry as it was written, or of one that was read."""
    if isinstance(value, dict):
        return str(value.get("kind", "dicom"))
    return str(getattr(value, "kind", "dicom"))


AnyDestination = Annotated[
    Annotated[DicomDestination, Tag("dicom")] | Annotated[FolderDestination, Tag("folder")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="kind is dicom (which it is if left out) or folder",
    ),
]
