"""`triage demo`: the whole way, with a receiving test PACS, on free loopback ports.

Rule: everything real and nothing left behind. The demo writes a configuration as a site would,
runs `triage serve` on it, sends a study as a PACS would, waits for the report to come back over
C-STORE, and ends what it started. The model that was trained on drawn hearts answers for drawn
hearts alone, which are known by the truth beside them; a patient's study meets the untrained one.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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

HOST = "127.0.0.1"
TEST_PACS = "TESTPACS"
WORKER = "CMRTRIAGE"
QUIET_S = 2.0
START_S = 60.0
FINISH_S = 600.0
REAL_STUDY = Path(__file__).parents[1] / "demo_study"
BUNDLES = Path(__file__).parents[1] / "model" / "bundles"
DRAWN_HEARTS, UNTRAINED = BUNDLES / "demo", BUNDLES / "untrained"
FINDINGS = Path(__file__).parents[1] / "findings"
ASKED = {DRAWN_HEARTS: FINDINGS / "drawn_hearts.yaml", UNTRAINED: FINDINGS / "default.yaml"}


class DemoFailed(TriageError):
    """The demo did not come to its end; the message says where to look."""


@dataclass(frozen=True)
class Demo:
    """A running worker with its test PACS."""

    config: Path
    log: Path
    received: Path
    port: int

    @property
    def worker(self) -> RemoteEntity:
        """Where to send the study."""
        return RemoteEntity(HOST, self.port, ae_title=WORKER, calling_ae=TEST_PACS)


@contextmanager
def run_site(folder: Path, received: Path, bundle: Path) -> Iterator[Demo]:
    """Run worker and test PACS until the block ends; both keep their files in the folders."""
    port, pacs_port = find_free_port(), find_free_port()
    config = _configure(folder, port, pacs_port, bundle)
    demo = Demo(config, folder / "worker.log", received, port)
    with _pacs(received, pacs_port), _worker(demo):
        yield demo


def wait_for_end(ledger: Ledger, study_uid: str) -> StudyRevision:
    """Return the study when it has ended; raise DemoFailed where it takes too long."""
    deadline = time.monotonic() + FINISH_S
    while time.monotonic() < deadline:
        study = ledger.get_study(study_uid, 1)
        if study is not None and study.state in ENDED:
            return study
        time.sleep(0.1)
    raise DemoFailed(f"the study did not end within {FINISH_S:.0f} s")


def read_study_uids(files: Sequence[Path]) -> list[str]:
    """Return the Study UIDs of the files."""
    tags = ["StudyInstanceUID"]
    found = {str(dcmread(path, specific_tags=list(tags)).StudyInstanceUID) for path in files}
    return sorted(found)


def find_free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def read_truth(study: Path) -> Mapping[str, bool] | None:
    """Return what a synthetic heart has, by finding; None for a study without its truth.json."""
    path = study / TRUTH
    if not path.is_file():
        return None
    findings: Mapping[str, bool] = json.loads(path.read_text(encoding="utf-8"))["findings"]
    return findings


def _configure(folder: Path, port: int, pacs_port: int, bundle: Path) -> Path:
    config = folder / "triage.yaml"
    receiver = {"ae_title": WORKER, "port": port, "calling": [TEST_PACS], "quiet_s": QUIET_S}
    pacs = {"name": "test-pacs", "ae_title": TEST_PACS, "host": HOST, "port": pacs_port}
    model = {"bundle": str(bundle)}
    content = {
        "state_dir": "state",
        "receiver": receiver,
        "model": model,
        "findings": str(ASKED[bundle]),
        "destinations": [pacs],
    }
    config.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return config


@contextmanager
def _pacs(received: Path, port: int) -> Iterator[None]:
    """Run a PACS that keeps what it receives as Part 10 files."""
    received.mkdir(parents=True, exist_ok=True)
    ae = AE(ae_title=TEST_PACS)
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    server = ae.start_server(
        (HOST, port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, _keep, [received]), CONNECTION_SETUP],
    )
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _keep(event: evt.Event, received: Path) -> int:
    name = f"{event.file_meta.MediaStorageSOPInstanceUID}.dcm"
    (received / name).write_bytes(event.encoded_dataset())
    return 0x0000


@contextmanager
def _worker(demo: Demo) -> Iterator[None]:
    command = [sys.executable, "-m", "triage", "--config", str(demo.config), "serve"]
    with demo.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=log, stderr=log, env=child_environment(demo.config, None)
        )
        try:
            _wait_until_listening(process, demo)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], demo: Demo) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, demo.port)) == 0:
                return
        time.sleep(0.1)
    said = demo.log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise DemoFailed(f"the worker did not start; it said:\n{said}")
