"""Sends what waits, in order: one process of a site does, whichever holds the lock.

Rule: a message is forgotten after the repository has taken it, never before. While it is away it is
asked ever more rarely, aside, and nothing but the trail waits.
"""

import os
import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from triage.audit.spool import FileTrail
from triage.audit.syslog import Unconfirmed
from triage.concurrency.file_lock import acquire_lock
from triage.domain.delivery import backoff_s
from triage.domain.errors import AuditUnavailable

log = structlog.get_logger(__name__)

LOCK = "sender.lock"
BATCH = 200  #: messages
EVERY_S = 1.0
SLOWEST_S = 60.0
#: So often in a row may a repository take a batch and not say so; then it is one that never does.
UNCONFIRMED_MOST = 3


class Transport(Protocol):
    """The way to an audit repository."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Return when the repository has the messages; raise AuditUnavailable otherwise."""

    def check(self) -> str:
        """Say that it is there; raise AuditUnavailable otherwise."""


class Sender:
    """A thread that sends until it is ended."""

    def __init__(self, trail: FileTrail, transport: Transport) -> None:
        self._trail = trail
        self._transport = transport
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._failures = 0
        self._unconfirmed = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Send once more what waits, if that is possible in so short a time."""
        self._ended.set()
        self._thread.join(within_s)

    def send_waiting(self) -> int:
        """Send everything that waits; return how many messages. Raises AuditUnavailable."""
        sent = 0
        self._trail.tell_of_gap()
        while batch := self._trail.oldest(BATCH):
            self._send([message for _, message in batch])
            self._trail.sent([name for name, _ in batch])
            sent += len(batch)
        return sent

    def _send(self, messages: Sequence[bytes]) -> None:
        try:
            self._transport.send(messages)
        except Unconfirmed:
            self._unconfirmed += 1
            if self._unconfirmed < UNCONFIRMED_MOST:
                raise
            log.warning("the audit repository never confirms; taking its messages for sent")
        self._unconfirmed = 0

    def _run(self) -> None:
        held = None
        while held is None:
            held = acquire_lock(self._trail.folder / LOCK)  # another process sends
            if held is None and self._ended.wait(EVERY_S):
                return
        try:
            self._sweep()
            while not self._ended.wait(self._pause_s()):
                self._turn()
            if not self._failures:
                self._turn()
        finally:
            if held is not None:
                os.close(held)

    def _sweep(self) -> None:
        try:
            self._trail.sweep()
        except OSError as error:  # nobody was promised what is left, and the rest is to be sent
            log.warning("audit messages half written not swept", why=str(error))

    def _turn(self) -> None:
        try:
            self.send_waiting()
        except (AuditUnavailable, OSError) as error:
            if not self._failures:
                log.warning("audit repository not reached, messages wait", why=str(error))
            self._failures += 1
        else:
            if self._failures:
                log.info("audit repository reached again, nothing waits")
            self._failures = 0

    def _pause_s(self) -> float:
        if not self._failures:
            return EVERY_S
        return backoff_s(self._failures, EVERY_S, SLOWEST_S)
