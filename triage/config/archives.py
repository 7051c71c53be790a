"""Whom `triage pull` asks for studies."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from triage.config.fields import LOOPBACK, AeTitle, Count, DicomwebUrl, Hours, Port
from triage.documents import Strict


class Asking(Strict):
    """How an archive is asked, however it is reached."""

    timeout_s: float = Field(default=60.0, gt=0, le=3600)  #: to connect, and for each next sign
    instances_per_s: Annotated[float, Field(ge=0.2, allow_inf_nan=False)] | None = 50.0
    studies_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    #: of the local day, in which studies are begun; None: at any time
    hours: Hours | None = None
    attempts: Count = 12  #: to reach it, before the rest is left


class MoveTo(Strict):
    """Where an archive sends what it is told to move: a port of ours while a study is fetched."""

    ae_title: AeTitle = "CMRTRIAGE_PULL"
    host: str = "127.0.0.1"  #: to listen on
    port: Port = 11114
    sends_as: tuple[AeTitle, ...] = ()  #: calling AE titles besides the one that is called


class DicomArchive(Asking):
    """An archive that is asked over C-FIND, and fetched from by C-GET or C-MOVE."""

    kind: Literal["dicom"]
    ae_title: AeTitle
    host: str
    port: Port
    calling: AeTitle | None = None  #: as whom we call; None: receiver.ae_title
    move_to: MoveTo | None = None  #: for C-MOVE; None: C-GET


class DicomwebArchive(Asking):
    """An archive that is asked over QIDO-RS, and fetched from by WADO-RS."""

    kind: Literal["dicomweb"]
    url: DicomwebUrl
    authorization: SecretStr | None = None  #: the header's value, e.g. Bearer ...
    authorization_file: Path | None = None  #: a file that holds it
    trusted: Path | None = None  #: PEM of who signs for its certificate; None: as the system has it

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.authorization is not None and self.authorization_file is not None:
            raise ValueError("give authorization or authorization_file, not both")
        secret = self.authorization is not None or self.authorization_file is not None
        url = urlsplit(self.url)
        if secret and url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError(f"to {url.hostname} it could be read on the way: use an https:// url")
        return self


Archive = Annotated[DicomArchive | DicomwebArchive, Field(discriminator="kind")]
