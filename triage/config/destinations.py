"""Where products go: one class a kind of destination, told apart by `kind`.

Rule: a new kind is one class here and one line in `AnyDestination`. Who names no kind means dicom.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from triage.config.fields import AeTitle, Name, Port
from triage.documents import Strict


class DicomDestination(Strict):
    """A PACS that takes products over C-STORE."""

    name: Name
    kind: Literal["dicom"] = "dicom"
    ae_title: AeTitle
    host: str
    port: Port
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
