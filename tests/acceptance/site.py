"""A site for acceptance tests: `triage serve` as hospitals run it, beside a real Orthanc."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import yaml

from tests.integration.servers import Orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.domain.study import ENDED, StudyRevision
from triage.runtime.clock import SystemClock
from triage.runtime.storage import open_ledger
from triage.store.ledger import SqlLedger

CALLING = "SCANNERPACS"
CALLED = "CMRTRIAGE"
MARK = "TEST_SITE_MARK"
WORKERS = 2  #: one assesses, one delivers


@dataclass(frozen=True)
class LiveSite:
    """A running worker."""

    folder: Path
    port: int
    mark: str

    @property
    def config(self) -> Path:
        return self.folder / "triage.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")

    def ledger(self) -> SqlLedger:
        return open_ledger(load(self.config, {}), SystemClock())

    def studies(self) -> list[StudyRevision]:
        ledger = self.ledger()
        try:
            return list(ledger.list_studies())
        finally:
            ledger.close()

    def process(self, *arguments: str) -> psutil.Process:
        """Return the one process of this site whose command line contains all the arguments."""
        (found,) = (each for each in self.processes() if holds(each, arguments))
        return found

    def processes(self) -> list[psutil.Process]:
        """Return every running process of this site."""
        return processes(self.mark, str(self.state))

    def wait_for_end(self, seconds: float = 180) -> StudyRevision:
        """Return the newest revision when it has ended."""
        wait_until(
            lambda: (found := self.studies()) and found[-1].state in ENDED, seconds, "the end"
        )
        return self.studies()[-1]


def holds(process: psutil.Process, arguments: Sequence[str]) -> bool:
    command = " ".join(process.cmdline())
    return all(argument in command for argument in arguments)


def processes(mark: str, folder: str) -> list[psutil.Process]:
    """Return the running processes that carry a mark in their environment, or a folder in their
    command line: redis-server writes its title over its environment.
    """
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == mark or folder in " ".join(process.cmdline())
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def configure(folder: Path, pacs: Orthanc, **settings: object) -> LiveSite:
    """Write a site's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    content = {
        "state_dir": "state",
        "receiver": {"ae_title": CALLED, "port": port, "calling": [CALLING], "quiet_s": 3},
        "destinations": [
            {
                "name": "pacs",
                "ae_title": pacs.ae_title,
                "host": HOST,
                "port": pacs.dicom_port,
            }
        ],
        "worker": {"lease_s": 10},
        **settings,
    }
    site = LiveSite(folder, port, uuid4().hex)
    site.config.write_text(yaml.safe_dump(content))
    (folder / "serve.log").touch()
    return site


@contextmanager
def serving(site: LiveSite) -> Iterator[subprocess.Popen[bytes]]:
    """Run `triage serve` until the block ends, and see that nothing stays behind."""
    environment = {**os.environ, MARK: site.mark}
    command = [sys.executable, "-m", "triage", "--config", str(site.config), "serve"]
    with (site.folder / "serve.log").open("ab") as log:
        starts = 1 + site.log().count('"receiving"')
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_until(lambda: listens(site.port) or process.poll() is not None, what="serve")
            assert process.poll() is None, site.log()
            wait_until(
                lambda: site.log().count('"working"') >= WORKERS * starts, what="the workers"
            )
            yield process
        finally:
            process.terminate()
            process.wait(120)
            wait_until(lambda: not site.processes(), what="the end of all processes")


def storescu(site: LiveSite, files: Sequence[Path], *options: str) -> subprocess.Popen[bytes]:
    """Send files with DCMTK, one association."""
    command = [peer("storescu"), *options, "-aet", CALLING, "-aec", CALLED, HOST, str(site.port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.Popen([*command, *map(str, files)], env=environment)


def send_in_three_associations(site: LiveSite, files: Sequence[Path], seed: int = 7) -> None:
    """Send every file in shuffled order over three associations at once, a fifth of them twice."""
    order = random.Random(seed)
    shuffled = [*files, *order.sample(list(files), len(files) // 5)]
    order.shuffle(shuffled)
    sending = [storescu(site, shuffled[part::3]) for part in range(3)]
    assert [each.wait(300) for each in sending] == [0, 0, 0]
