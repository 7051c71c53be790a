"""The site of `triage demo`: a worker and a test PACS on free loopback ports.

The demo writes settings as a site would, runs `triage serve` with them, sends a study as a PACS
would, waits until the report arrives over C-STORE, and ends all that it started. The model is the
demo bundle, which evaluates no study of a patient.
"""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.config import child_environment
from triage.dimse.association import CONNECTION_SETUP, RemoteEntity
from triage.domain.errors import TriageError
from triage.domain.study import ENDED, StudyRevision
from triage.phantom.dicom import TRUTH
from triage.ports.ledger import Ledger
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 10_000, 20_000  #: among which a free one is chosen
TEST_PACS = "TESTPACS"
WORKER = "CMRTRIAGE"
QUIET_S = 2.0  #: after the last instance a study is complete
START_S = 60.0  #: for the worker to listen
FINISH_S = 600.0  #: for a study to end
REAL_STUDY = Path(__file__).parents[1] / "demo_study"


class DemoFailed(TriageError):
    """The demo did not finish; the message has the reason or the end of the worker's log."""


@dataclass(frozen=True)
class DemoSite:
    """A running worker and its test PACS."""

    config: Path
    log: Path
    received: Path
    port: int

    @property
    def worker(self) -> RemoteEntity:
        """The Storage SCP of the worker."""
        return RemoteEntity(HOST, self.port, ae_title=WORKER, calling_ae=TEST_PACS)


@contextmanager
def run_site(folder: Path, received: Path) -> Iterator[DemoSite]:
    """Run a worker in `folder` and a test PACS that stores in `received` until the block ends."""
    port, pacs_port = find_free_port(), find_free_port()
    config = _write_settings(folder, port, pacs_port)
    demo = DemoSite(config, folder / "worker.log", received, port)
    with _run_pacs(received, pacs_port), _run_worker(demo):
        yield demo


def wait_for_end(ledger: Ledger, study_uid: str) -> StudyRevision:
    """Wait until a study has ended and return it; raise DemoFailed after FINISH_S."""
    deadline = time.monotonic() + FINISH_S
    while time.monotonic() < deadline:
        study = ledger.get_study(study_uid, 1)
        if study is not None and study.state in ENDED:
            return study
        time.sleep(0.1)
    raise DemoFailed(f"the study did not end within {FINISH_S:.0f} s")


def read_study_uids(files: Sequence[Path]) -> list[str]:
    """Return the Study UIDs of DICOM files, sorted."""
    tags = ["StudyInstanceUID"]
    found = {str(dcmread(path, specific_tags=list(tags)).StudyInstanceUID) for path in files}
    return sorted(found)


def find_free_port() -> int:
    """Return a loopback port that is free at the moment.

    It is below those that the system gives to outgoing connections, one of which could take it.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def read_truth(study: Path) -> Mapping[str, bool] | None:
    """Return the findings of a synthetic heart by id; None for a study without truth.json."""
    path = study / TRUTH
    if not path.is_file():
        return None
    findings: Mapping[str, bool] = json.loads(path.read_text(encoding="utf-8"))["findings"]
    return findings


def _write_settings(folder: Path, port: int, pacs_port: int) -> Path:
    config = folder / "triage.yaml"
    receiver = {"ae_title": WORKER, "port": port, "calling": [TEST_PACS], "quiet_s": QUIET_S}
    pacs = {"name": "test-pacs", "ae_title": TEST_PACS, "host": HOST, "port": pacs_port}
    model = {"bundle": str(DEMO_BUNDLE)}
    content = {
        "state_dir": "state",
        "receiver": receiver,
        "model": model,
        "findings": str(DEMO_FINDINGS),
        "destinations": [pacs],
    }
    config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return config


@contextmanager
def _run_pacs(received: Path, port: int) -> Iterator[None]:
    """Run a PACS that stores what it receives as Part 10 files."""
    received.mkdir(parents=True, exist_ok=True)
    ae = AE(ae_title=TEST_PACS)
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    server = ae.start_server(
        (HOST, port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, _store, [received]), CONNECTION_SETUP],
    )
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _store(event: evt.Event, received: Path) -> int:
    name = f"{event.file_meta.MediaStorageSOPInstanceUID}.dcm"
    (received / name).write_bytes(event.encoded_dataset())
    return 0x0000


@contextmanager
def _run_worker(demo: DemoSite) -> Iterator[None]:
    command = [sys.executable, "-m", "triage", "--config", str(demo.config), "serve"]
    with demo.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - it starts this program
            command, stdout=log, stderr=log, env=child_environment(demo.config, None)
        )
        try:
            _wait_until_listening(process, demo)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], demo: DemoSite) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, demo.port)) == 0:
                return
        time.sleep(0.1)
    log_end = demo.log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise DemoFailed(f"the worker did not start; the end of its log is:\n{log_end}")
