"""Runs the processes of `triage serve` and restarts those that end.

    private redis-server    unless `redis_url` is configured
    triage receive          the receivers and the reconciler
    triage work (assess)    `worker.assessors` processes
    triage work (deliver)   one, so that a long assessment delays no delivery
    triage index --spool    at low priority, until this bundle has embedded all cases of the spool
    triage web              the page for past cases, if web.users is not empty

A process that ends is restarted, after a longer pause each time; the others continue. If another
program has meanwhile taken its address, the supervisor ends with an error. When the supervisor
ends, all processes that it started end.

A process that runs may hang all the same: stopped by a signal, held up inside one call, or without
progress of its work. Each process therefore gives signs of life through a pipe
(`triage.runtime.parent`). One that hangs is killed and restarted, logged, and reported as an
incident. Its study loses its lease; after a second lost worker the study is set aside
(`triage.pipeline.attempts`). If the supervisor itself hangs, systemd misses its reports and
restarts the unit.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from triage.broker.embedded import EmbeddedRedis
from triage.broker.queue import ASSESS, DELIVER
from triage.config import ListeningAddress, Settings, child_environment
from triage.config.listening import list_receiving, list_web
from triage.domain.errors import ConfigurationError
from triage.domain.health import BEAT_S, HungReason
from triage.runtime.parent import REASONS, Parent
from triage.runtime.service_manager import ALIVE, ServiceManager

log = structlog.get_logger(__name__)

END_S = 30.0  #: for which a process may finish its current work
KILL_S = 5.0  #: for which a hung process may end by SIGTERM, before SIGKILL
#: for which a process that starts may give no sign of life: it imports, on a machine that is busy
START_S = 300.0
HEALTHY_S = 30.0  #: a process that ran this long is restarted at once
SLOWEST_S = 30.0  #: longest pause before a restart
TICK_S = 0.5
SILENT_S = 60.0  #: default of `worker.silent_s`
PIPE_BYTES = 1 << 16  #: capacity of a pipe (pipe(7))
LATE_TICKS = 4  #: a round of the supervisor that took longer counts as so many

#: Reports that a process hung: its name and the reason.
Report = Callable[[str, HungReason], object]


class SignReader:
    """Reads the signs of life of one process (`triage.runtime.parent`)."""

    def __init__(self, pipe: int, silent_s: float) -> None:
        self._pipe = pipe  #: descriptor of the pipe's end to read from
        self._silent_s = silent_s
        self._limit_s = max(START_S, silent_s)
        self._silence_s = 0.0
        os.set_blocking(pipe, False)

    def judge(self, elapsed_s: float) -> HungReason | None:
        """Return why the process hangs, `elapsed_s` seconds after the last call; None if not."""
        signs = self._read()
        if signs:
            self._silence_s, self._limit_s = 0.0, self._silent_s
            return REASONS.get(signs[-1:])
        self._silence_s += elapsed_s
        return HungReason.SILENT if self._silence_s > self._limit_s else None

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)

    def _read(self) -> bytes:
        try:
            return os.read(self._pipe, PIPE_BYTES)
        except BlockingIOError:
            return b""


@dataclass
class SupervisedProcess:
    """A process that is restarted when it ends or hangs."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = field(default=TICK_S)
    once: bool = False  #: with exit status 0 its work is done and it is not restarted
    listens: Sequence[ListeningAddress] = ()
    silent_s: float = SILENT_S  #: longest time without a sign of life
    signs: SignReader | None = None
    killed_at: float | None = None  #: since when it is being killed, in monotonic seconds

    def start(self) -> None:
        """Start the process; it ends by itself if this process disappears."""
        reading, writing = os.pipe()
        parent = Parent(os.getpid(), writing)
        command = [*self.list_command(), "--parent", str(parent)]
        try:
            self.process = subprocess.Popen(  # noqa: S603
                command, env=dict(self.environment), pass_fds=(writing,)
            )
        finally:
            os.close(writing)
        if self.signs is not None:
            self.signs.close()
        self.signs = SignReader(reading, self.silent_s)
        self.started_at, self.killed_at = time.monotonic(), None

    def list_command(self) -> list[str]:
        """Return the command line, without the option that names the parent."""
        return [sys.executable, "-m", "triage", *self.arguments]

    def find_hang(self, elapsed_s: float) -> HungReason | None:
        """Return why the process hangs, `elapsed_s` seconds after the last call; None if not."""
        if self.signs is None or self.process is None or self.process.poll() is not None:
            return None
        return self.signs.judge(elapsed_s)

    def kill(self) -> None:
        """Send SIGTERM to a hung process, and SIGKILL at a call KILL_S seconds later.

        A thread that hangs in one call, and a stopped process, do not react to SIGTERM.
        """
        if self.process is None:
            return
        if self.killed_at is None:
            self.killed_at = time.monotonic()
            self.process.terminate()
        elif time.monotonic() - self.killed_at > KILL_S:
            self.process.kill()

    def revive(self) -> None:
        """Restart the process if it has ended, after a pause that doubles each time.

        Raises ConfigurationError if another program has an address on which it listens: a restart
        would not help, and a worker that does not listen must not look healthy.
        """
        if self.process is None or self.process.poll() is None:
            return
        if self.once and self.process.returncode == 0 and self.killed_at is None:
            return
        ran_s = time.monotonic() - self.started_at
        if ran_s < self.pause_s:
            return
        self.pause_s = TICK_S if ran_s > HEALTHY_S else min(self.pause_s * 2, SLOWEST_S)
        for address in self.listens:
            address.open(1).close()
        log.error("a process ended and is restarted", part=self.name, rc=self.process.returncode)
        self.start()

    def terminate(self) -> None:
        """Send SIGTERM to the process if it was started."""
        if self.process is not None:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for the process to end; kill it after the deadline (monotonic seconds)."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a process did not end in time and is killed", part=self.name)
            self.process.kill()
            self.process.wait()


def list_processes(
    settings: Settings, config: Path | None, redis_url: str, *, is_trained: bool
) -> list[SupervisedProcess]:
    """Return the processes of `triage serve`, not started yet.

    An untrained model compares nothing, so it needs no index of past cases.
    """
    environment = child_environment(config, redis_url)
    receiving = list_receiving(settings)
    processes = [SupervisedProcess("receive", ("receive",), environment, listens=receiving)]
    for number in range(settings.worker.assessors):
        arguments = ("work", "--queue", ASSESS)
        processes.append(SupervisedProcess(f"assess-{number}", arguments, environment))
    processes.append(SupervisedProcess("deliver", ("work", "--queue", DELIVER), environment))
    if settings.web.users:
        web = SupervisedProcess("web", ("web",), environment, listens=list_web(settings))
        processes.append(web)
    if is_trained:
        processes.append(SupervisedProcess("index", ("index", "--spool"), environment, once=True))
    for process in processes:
        process.silent_s = settings.worker.silent_s
    return processes


@dataclass
class Supervisor:
    """Runs processes, and restarts those that end or hang."""

    processes: Sequence[SupervisedProcess]
    redis: EmbeddedRedis | None
    report: Report  #: is called for each process that is killed because it hung
    manager: ServiceManager
    _round_at: float = 0.0  #: beginning of the last round, in monotonic seconds
    _reported_at: float = 0.0  #: time of the last report to the service manager

    def run(self, ended: threading.Event) -> None:
        """Run the processes until `ended`; raise ConfigurationError, see `revive`."""
        try:
            for process in self.processes:
                process.start()
            self._round_at = time.monotonic()
            while not ended.wait(TICK_S):
                self._make_round()
        finally:
            _end_all(self.processes)

    def _make_round(self) -> None:
        """Look at each process once.

        A long round counts as a few ticks: the machine was asleep, or this process was stopped, so
        the signs of the others prove nothing.
        """
        before, self._round_at = self._round_at, time.monotonic()
        elapsed_s = min(self._round_at - before, LATE_TICKS * TICK_S)
        _keep_redis_running(self.redis)
        for process in self.processes:
            self._kill_if_hung(process, elapsed_s)
            process.revive()
        if self._round_at - self._reported_at >= BEAT_S:
            self._reported_at = self._round_at
            self.manager.notify(ALIVE)

    def _kill_if_hung(self, process: SupervisedProcess, elapsed_s: float) -> None:
        if process.killed_at is not None:
            process.kill()
            return
        why = process.find_hang(elapsed_s)
        if why is not None:
            process.kill()
            log.error("a process hangs and is killed", part=process.name, why=why)
            self.report(process.name, why)


def supervise(supervisor: Supervisor) -> None:
    """Run a supervisor until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    supervisor.run(ended)


def _keep_redis_running(redis: EmbeddedRedis | None) -> None:
    """Restart the private Redis if it ended; until then studies wait in the ledger."""
    try:
        if redis is not None:
            redis.ensure()
    except ConfigurationError as error:
        log.error("no broker", error=str(error))  # noqa: TRY400 - the message is enough


def _end_all(processes: Sequence[SupervisedProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + END_S
    for process in processes:
        process.end(deadline)
