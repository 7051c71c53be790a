"""`triage serve`: the parts of the worker as processes of one group.

    private redis-server (if none is configured)
    triage receive          the receivers and the reconciler
    triage work (assess)    as many as `worker.assessors`
    triage work (deliver)   one, so that a long assessment holds up no delivery
    triage index --spool    until this bundle has embedded what others have; aside, and slowly
    triage web              the page for past cases, where it has users

Rule: a part that ends is started again, ever more slowly if it keeps ending; the others do not
notice. When the supervisor ends, so does everything it started.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from triage.broker.embedded import EmbeddedRedis
from triage.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

END_S = 30.0  #: a part may finish what it has in hand for so long
HEALTHY_S = 30.0  #: a part that ran so long is started again at once
SLOWEST_S = 30.0
TICK_S = 0.5


@dataclass
class SupervisedProcess:
    """One process that should always run."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = field(default=TICK_S)
    once: bool = False  #: it has done its work when it ends with 0

    def start(self) -> None:
        """Start the process, which ends itself should this one vanish."""
        parent = ("--parent", str(os.getpid()))
        command = [sys.executable, "-m", "triage", *self.arguments, *parent]
        self.process = subprocess.Popen(command, env=dict(self.environment))  # noqa: S603
        self.started_at = time.monotonic()

    def revive(self) -> None:
        """Start the process again if it has ended, ever more slowly if it keeps ending."""
        if self.process is None or self.process.poll() is None:
            return
        if self.once and self.process.returncode == 0:
            return
        ran_s = time.monotonic() - self.started_at
        if ran_s < self.pause_s:
            return
        self.pause_s = TICK_S if ran_s > HEALTHY_S else min(self.pause_s * 2, SLOWEST_S)
        log.error("a part ended, starting it again", part=self.name, rc=self.process.returncode)
        self.start()

    def end(self, deadline: float) -> None:
        """Wait for the process to end, and kill it after the deadline."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a part did not end in time and is killed", part=self.name)
            self.process.kill()
            self.process.wait()


def supervise(parts: Sequence[SupervisedProcess], redis: EmbeddedRedis | None) -> None:
    """Run the parts until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        for part in parts:
            part.start()
        while not ended.wait(TICK_S):
            _keep_redis_running(redis)
            for part in parts:
                part.revive()
    finally:
        _end_all(parts)


def _keep_redis_running(redis: EmbeddedRedis | None) -> None:
    """Keep the private server up; without it studies still arrive and wait in the ledger."""
    try:
        if redis is not None:
            redis.ensure()
    except ConfigurationError as error:
        log.error("no broker", error=str(error))  # noqa: TRY400 - no trace needed


def end_with_parent(parent: int) -> None:
    """End this process with SIGTERM when its parent is gone, from a thread of its own."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(TICK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _end_all(parts: Sequence[SupervisedProcess]) -> None:
    for part in parts:
        if part.process is not None:
            part.process.terminate()
    deadline = time.monotonic() + END_S
    for part in parts:
        part.end(deadline)
