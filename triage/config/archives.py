"""Settings of the archives from which `triage pull` fetches studies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triage.config.authorization import HttpAuthorization
from triage.config.fields import AeTitle, Count, Hours, Port
from triage.yaml_models import StrictModel


class ArchiveSettings(StrictModel):
    """The settings that all archives share."""

    timeout_s: float = Field(default=60.0, gt=0, le=3600)  #: to connect, and for each answer
    #: most instances per second; None: no limit
    instances_per_s: Annotated[float, Field(ge=0.2, allow_inf_nan=False)] | None = 50.0
    #: most studies per hour; None: no limit
    studies_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    hours: Hours | None = None  #: local time of day in which studies are started; None: any
    attempts: Count = 12  #: attempts to reach the archive before `triage pull` ends


class MoveToSettings(StrictModel):
    """The port to which an archive sends with C-MOVE; it is open while a study is fetched."""

    ae_title: AeTitle = "CMRTRIAGE_PULL"
    host: str = "127.0.0.1"  #: address to listen on
    port: Port = 11114
    sends_as: tuple[AeTitle, ...] = ()  #: calling AE titles of the archive, plus its ae_title


class DicomArchiveSettings(ArchiveSettings):
    """An archive that is searched with C-FIND and sends with C-GET or C-MOVE."""

    kind: Literal["dicom"]
    ae_title: AeTitle
    host: str
    port: Port
    calling: AeTitle | None = None  #: our calling AE title; None: receiver.ae_title
    move_to: MoveToSettings | None = None  #: for C-MOVE; None: C-GET


class DicomwebArchiveSettings(ArchiveSettings, HttpAuthorization):
    """An archive that is searched with QIDO-RS and sends with WADO-RS."""

    kind: Literal["dicomweb"]
    trusted: Path | None = None  #: PEM file of trusted authorities; None: those of the system


AnyArchiveSettings = Annotated[
    DicomArchiveSettings | DicomwebArchiveSettings, Field(discriminator="kind")
]
