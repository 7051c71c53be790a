"""Where products go."""

from typing import Literal

from pydantic import Field

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
