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
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from triage.broker.embedded import EmbeddedRedis
from triage.broker.queue import ASSESS, DELIVER
from triage.config import ListeningAddress, Settings, child_environment
from triage.config.listening import list_receiving, list_web
from triage.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

END_S = 30.0  #: for which a process may finish its current work
HEALTHY_S = 30.0  #: a process that ran this long is restarted at once
SLOWEST_S = 30.0  #: longest pause before a restart
TICK_S = 0.5


@dataclass
class SupervisedProcess:
    """A process that is restarted when it ends."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = field(default=TICK_S)
    once: bool = False  #: with exit status 0 its work is done and it is not restarted
    listens: Sequence[ListeningAddress] = ()

    def start(self) -> None:
        """Start the process; it ends by itself if this process disappears."""
        parent = ("--parent", str(os.getpid()))
        command = [sys.executable, "-m", "triage", *self.arguments, *parent]
        self.process = subprocess.Popen(command, env=dict(self.environment))  # noqa: S603
        self.started_at = time.monotonic()

    def revive(self) -> None:
        """Restart the process if it has ended, after a pause that doubles each time.

        Raises ConfigurationError if another program has an address on which it listens: a restart
        would not help, and a worker that does not listen must not look healthy.
        """
        if self.process is None or self.process.poll() is None:
            return
        if self.once and self.process.returncode == 0:
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
    return processes


def supervise(processes: Sequence[SupervisedProcess], redis: EmbeddedRedis | None) -> None:
    """Run the processes until SIGTERM or SIGINT; raise ConfigurationError, see `revive`."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        for process in processes:
            process.start()
        while not ended.wait(TICK_S):
            _keep_redis_running(redis)
            for process in processes:
                process.revive()
    finally:
        _end_all(processes)


def _keep_redis_running(redis: EmbeddedRedis | None) -> None:
    """Restart the private Redis if it ended; until then studies wait in the ledger."""
    try:
        if redis is not None:
            redis.ensure()
    except ConfigurationError as error:
        log.error("no broker", error=str(error))  # noqa: TRY400 - the message is enough


def end_with_parent(parent: int) -> None:
    """Start a thread that ends this process with SIGTERM when its parent has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(TICK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _end_all(processes: Sequence[SupervisedProcess]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + END_S
    for process in processes:
        process.end(deadline)
