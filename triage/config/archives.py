"""Whom `triage pull` asks for studies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from triage.config.authorization import HttpAuthorization
from triage.config.fields import AeTitle, Count, Hours, Port
from triage.yaml_models import StrictModel


class ArchiveSettings(StrictModel):
    """How an archive is asked, however it is reached."""

    timeout_s: float = Field(default=60.0, gt=0, le=3600)  #: to connect, and for each next sign
    instances_per_s: Annotated[float, Field(ge=0.2, allow_inf_nan=False)] | None = 50.0
    studies_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    #: of the local day, in which studies are begun; None: at any time
    hours: Hours | None = None
    attempts: Count = 12  #: to reach it, before the rest is left


class MoveTo(StrictModel):
    """Where an archive sends what it is told to move: a port of ours while a study is fetched."""

    ae_title: AeTitle = "CMRTRIAGE_PULL"
    host: str = "127.0.0.1"  #: to listen on
    port: Port = 11114
    sends_as: tuple[AeTitle, ...] = ()  #: calling AE titles besides the one that is called


class DicomArchive(ArchiveSettings):
    """An archive that is asked over C-FIND, and fetched from by C-GET or C-MOVE."""

    kind: Literal["dicom"]
    ae_title: AeTitle
    host: str
    port: Port
    calling: AeTitle | None = None  #: as whom we call; None: receiver.ae_title
    move_to: MoveTo | None = None  #: for C-MOVE; None: C-GET


class DicomwebArchive(ArchiveSettings, HttpAuthorization):
    """An archive that is asked over QIDO-RS, and fetched from by WADO-RS."""

    kind: Literal["dicomweb"]
    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it


Archive = Annotated[DicomArchive | DicomwebArchive, Field(discriminator="kind")]
