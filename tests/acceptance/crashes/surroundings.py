"""A site whose parts a test can kill, whose disk can fill and whose network and clock can fail.

sender -> wire -> triage serve -> wire -> Orthanc
"""

import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.acceptance.site import CALLED, MARK, WORKERS, LiveSite, configure
from tests.integration import servers
from tests.integration.postgres import Postgres
from tests.integration.servers import Orthanc
from tests.peers import unavailable
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.crash_points import Moment

DISK_BYTES = 300_000_000
START_S = 240.0
#: Time limit for the archive's commitment report; after it, the request is sent again, seconds.
WITHIN_S = 5.0
BOUNDS = {"max_attempts": 3, "max_delivery_attempts": 4, "lease_s": 3}
PARTS = (
    ("serve",),
    ("receive",),
    ("work", "assess"),
    ("work", "deliver"),
)  #: arguments of their command lines
HOOK = Path(__file__).parent / "hook"


@dataclass
class Wire:
    """A TCP forwarder to a port that a test can disconnect."""

    target: int  #: port
    port: int = field(default_factory=find_free_port)
    _listening: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def join(self) -> None:
        """Let connections pass from now on."""
        self._listening = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, args=[self._listening], daemon=True).start()

    def cut(self) -> None:
        """Break what is open, and let nothing pass."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
            except OSError:  # cut
                return
            try:
                there = socket.create_connection((HOST, self.target))
            except OSError:  # the target is closed, so this connection closes as well
                here.close()
                continue
            self._open += [here, there]
            threading.Thread(target=_pass_on, args=[here, there], daemon=True).start()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    """Let bytes pass both ways, until one side ends."""
    with here, there, selectors.DefaultSelector() as ready, suppress(OSError):
        for one, other in ((here, there), (there, here)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(one, selectors.EVENT_READ, (one, other))
        while True:
            for key, _ in ready.select():
                one, other = key.data
                if not (part := one.recv(1 << 16)):
                    return
                other.sendall(part)


@dataclass
class OrthancArchive:
    """An Orthanc that is killed, and comes back with all that it has."""

    folder: Path
    server: Orthanc = field(default_factory=lambda: Orthanc(find_free_port(), find_free_port()))
    reports_to: int = 0  #: port to which it sends commitment reports
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        us = {"AET": CALLED, "Host": HOST, "Port": self.reports_to}
        known = {"us": us} if self.reports_to else {}
        self._process = servers.start(self.server, self.folder, DicomModalities=known)
        wait_until(self.server.is_up, what="Orthanc")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start_if_down(self) -> None:
        if not self.server.is_up():
            self.start()

    def reports(self, study_uid: str) -> int:
        """Return how many Structured Reports it has of a study."""
        found = self.server.find_series(study_uid, "SR")
        return sum(len(each["Instances"]) for each in found)


@dataclass
class Surroundings:
    """A running site with its archive, network, disk and clock."""

    site: LiveSite
    archive: OrthancArchive
    to_archive: Wire
    to_site: Wire
    wishes: Path  #: the folder that `hook` reads
    database: Postgres | None = None  #: None: the ledger is a file
    _serving: "subprocess.Popen[bytes] | None" = None
    _commands: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    # -- steps

    def arm(self, moment: Moment) -> None:
        """Have the first process stopped that reaches a moment from now on."""
        self.disarm()
        (self.wishes / "wish").write_text(f"{type(moment).__name__}.{moment.name}")
        (self.wishes / "wish").rename(self.wishes / "armed")

    def reached(self, seconds: float) -> int:
        """Wait until a process stops at the armed moment; returns its id."""
        there = self.wishes / "reached"
        wait_until(there.exists, seconds, "the moment")
        return int(there.read_text())

    def let_go(self) -> None:
        """Let the process that was stopped go on, if it still can."""
        (self.wishes / "go").touch()

    def disarm(self) -> None:
        for name in ("armed", "taken", "reached", "go"):
            (self.wishes / name).unlink(missing_ok=True)

    def break_assessments(self, times: int) -> None:
        (self.wishes / "breaks").write_text(str(times))

    def shift_clock(self, seconds: float) -> None:
        wish = self.wishes / "shift"
        wish.write_text(str(seconds))
        wish.rename(self.wishes / "shift_s")

    # -- processes

    def start(self) -> None:
        """Start the site, and wait until it works."""
        before = self.site.log().count('"working"') if self._serving else 0
        command = [sys.executable, "-m", "triage", "--config", str(self.site.config), "serve"]
        with (self.site.folder / "serve.log").open("ab") as log:
            self._serving = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment()
            )
        wait_until(
            lambda: self.site.log().count('"working"') >= before + WORKERS, START_S, "the workers"
        )
        self.wait_until_up()

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])])
        wishes = {"CRASHES_FOLDER": str(self.wishes), MARK: self.site.mark}
        return {**os.environ, "PYTHONPATH": path, **wishes}

    def wait_until_up(self) -> None:
        """Wait until every part runs, and its port is open."""

        def up() -> bool:
            commands = [each.cmdline() for each in self.site.processes()]
            whole = all(any(set(part) <= set(each) for each in commands) for part in PARTS)
            return whole and listens(self.site.port)

        wait_until(_unless_gone(up), START_S, "every part of the site")

    def kill(self, *command: str) -> None:
        """Kill the process with these arguments in its command line, if it runs."""
        for process in self.site.processes():
            with suppress(psutil.NoSuchProcess):
                if all(word in process.cmdline() for word in command):
                    process.kill()

    def restart(self) -> None:
        """End the site as its people do, and start it again."""
        assert self._serving is not None
        self._serving.terminate()
        self._serving.wait(60)
        self.start()

    def kill_everything(self) -> None:
        while processes := self.site.processes():  # what is killed may have started another one
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        if self._serving is not None:
            self._serving.wait()

    def kill_redis_and_what_it_has(self) -> None:
        for process in self.site.processes():
            with suppress(psutil.NoSuchProcess):
                if "redis-server" in " ".join(process.cmdline()):
                    process.kill()
        shutil.rmtree(self.site.state / "redis" / "appendonlydir", ignore_errors=True)

    def kill_database(self) -> None:
        """Kill every process of the ledger's server."""
        assert self.database is not None
        pid = int((self.database.folder / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs([server], 10)

    def start_database(self) -> None:
        assert self.database is not None
        self.database.start()

    def run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command of the site's people."""
        command = [sys.executable, "-m", "triage", "--config", str(self.site.config), *arguments]
        with (self.site.folder / "commands.log").open("ab") as log:
            started = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment())
        self._commands.append(started)
        return started

    def reap(self) -> None:
        """Wait for the commands that were started; some were killed."""
        while self._commands:
            self._commands.pop().wait(START_S)

    # -- disk and network

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Leave no byte on the site's disk until the block ends."""
        filling = self.site.state / "filling"
        with filling.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
        try:
            yield
        finally:
            filling.unlink()

    @contextmanager
    def no_network(self) -> Iterator[None]:
        """Cut the wires until the block ends."""
        for wire in (self.to_site, self.to_archive):
            wire.cut()
        try:
            yield
        finally:
            for wire in (self.to_site, self.to_archive):
                wire.join()


def _unless_gone(true: Callable[[], bool]) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return true()
        except psutil.NoSuchProcess:
            return False

    return asked


@contextmanager
def surroundings(
    folder: Path,
    quiet_s: float,
    database: Postgres | None = None,
    disk_bytes: int = DISK_BYTES,
    *,
    commitment: bool = False,
    **settings: Any,
) -> Iterator[Surroundings]:
    """Run a site on a small disk of its own, and an archive, until the block ends.

    With `commitment` a report is delivered when the archive has committed to it.
    """
    archive = OrthancArchive(folder / "orthanc")
    to_archive = Wire(archive.server.dicom_port)
    if database is not None:
        settings["ledger"] = database.new_database()
    site = _site(folder / "site", archive, to_archive.port, quiet_s, settings)
    around = Surroundings(site, archive, to_archive, Wire(site.port), folder / "wishes", database)
    around.wishes.mkdir()
    if commitment:
        archive.reports_to = around.to_site.port
        _ask_for_commitment(site)
    with ExitStack() as running:
        running.enter_context(_disk(site.state, disk_bytes))
        running.callback(archive.kill)
        archive.start()
        for wire in (around.to_archive, around.to_site):
            wire.join()
            running.callback(wire.cut)
        running.callback(around.kill_everything)
        around.start()
        yield around


def _site(
    folder: Path, archive: OrthancArchive, port: int, quiet_s: float, settings: dict[str, object]
) -> LiveSite:
    folder.parent.mkdir(parents=True, exist_ok=True)
    site = configure(folder, archive.server)
    content = yaml.safe_load(site.config.read_text())
    content["destinations"][0] |= {"port": port, "timeout_s": 5}
    content["receiver"] |= {
        "free_bytes": 0,
        "quiet_s": quiet_s,
        "complete": {"evidence": [], "at_most_s": 100},
    }
    content |= {"worker": BOUNDS, "log": "json", "reports": ["structured_report"], **settings}
    site.config.write_text(yaml.safe_dump(content))
    return site


def _ask_for_commitment(site: LiveSite) -> None:
    content = yaml.safe_load(site.config.read_text())
    (pacs,) = content["destinations"]
    pacs |= {"commitment": True, "commitment_within_s": WITHIN_S}
    content["receiver"]["calling"].append(pacs["ae_title"])
    site.config.write_text(yaml.safe_dump(content))


@contextmanager
def _disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a small file system at a folder."""
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        unavailable("the right to mount a file system")
    try:
        yield
    finally:
        time.sleep(0.1)
        subprocess.run(["umount", "-l", str(folder)], check=True)
