"""A STOW-RS receiver that listens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomweb_client.api import DICOMwebClient

import receivers.stow
from receivers.stow import server
from receivers.stow.access import hash_token
from tests.fakes import FakeClock
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings, StowSender, StowSettings
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

TOKEN = "a token of 32 random bytes"


@dataclass(frozen=True)
class ListeningStow:
    """A receiver with its ledger and spool."""

    port: int
    ledger: SqlLedger
    state: Path
    intake: Intake
    serving: server.RunningStowServer
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    def kept(self) -> set[bytes]:
        return {path.read_bytes() for path in (self.state / "spool").glob("*.*/*.dcm")}

    def on_the_way(self) -> list[Path]:
        return list((self.state / "spool" / "incoming").iterdir())

    def client(self) -> DICOMwebClient:
        return DICOMwebClient(self.url, headers={"Authorization": f"Bearer {TOKEN}"})


def start_stow(state: Path, stow: dict[str, Any], **receiver: Any) -> ListeningStow:
    ledger = SqlLedger.in_folder(state, FakeClock())
    senders = {"MR1": StowSender(token=hash_token(TOKEN))}
    settings = StowSettings.model_validate({"port": find_free_port(), "senders": senders, **stow})
    intake = Intake(FileSpool(state), ledger)
    serving = receivers.stow.start(intake, ReceiverSettings(stow=settings, **receiver), settings)
    scheme = "https" if settings.certificate else "http"
    return ListeningStow(settings.port, ledger, state, intake, serving, scheme)


def end_stow(receiver: ListeningStow) -> None:
    receiver.serving.end()
    receiver.ledger.close()
