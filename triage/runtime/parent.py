"""Signs of life of a process of `triage serve` for its supervisor, which started it.

A thread writes one byte a second into a pipe: `ALIVE`, or the reason for which the work hangs. A
process that is stopped, or in which one call holds the interpreter lock, writes nothing. The thread
needs neither ledger nor broker, so their outage is not taken for a hung process. It also ends
the process when the supervisor has disappeared.

A process that runs without a supervisor ends itself when its work hangs; systemd or the container
runtime starts it again.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import structlog

from triage.domain.health import HungReason
from triage.telemetry.progress import PROGRESS

log = structlog.get_logger(__name__)

SIGN_S = 1.0  #: between two signs of life
ALIVE = b"."
#: The byte that a process writes for each reason that it can find itself.
SIGNS = {HungReason.STALLED: b"s", HungReason.LISTENER_ENDED: b"l"}
REASONS = {sign: reason for reason, sign in SIGNS.items()}
HUNG = 1  #: exit status of a process that ends itself


@dataclass(frozen=True)
class Parent:
    """The supervisor of this process, as the option `--parent` names it."""

    pid: int
    pipe: int  #: descriptor of the pipe's end to write to

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parent of an option's value; raise ValueError."""
        pid, pipe = text.split(":")
        return cls(int(pid), int(pipe))

    def __str__(self) -> str:
        return f"{self.pid}:{self.pipe}"

    def write(self, sign: bytes) -> None:
        """Write a sign; a supervisor that does not read is not waited for."""
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self.pipe, sign)


def give_signs(parent: Parent | None) -> None:
    """Start the thread that gives signs of life, or watches a process without a supervisor."""
    if parent is None:
        _start(_watch_alone)
    else:
        os.set_blocking(parent.pipe, False)
        _start(lambda: _write_signs(parent))


def _start(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="signs of life", daemon=True).start()


def _write_signs(parent: Parent) -> None:
    while os.getppid() == parent.pid:
        hung = PROGRESS.judge(SIGN_S)
        parent.write(ALIVE if hung is None else SIGNS[hung])
        time.sleep(SIGN_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _watch_alone() -> None:
    while (hung := PROGRESS.judge(SIGN_S)) is None:
        time.sleep(SIGN_S)
    log.error("this process hangs and ends", why=hung)
    os._exit(HUNG)  # the thread that hangs would not let it end otherwise
