"""The thread that sends spooled audit messages to the repository, in order.

Several processes of a site have such a thread; the one that holds the lock file sends. A message
leaves the spool only after the repository has it. While the repository is down, the pauses between
attempts grow to one minute, and only the audit trail waits.
"""

import os
import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from triage.audit.spool import SpooledAuditTrail
from triage.audit.syslog import AuditUnconfirmed
from triage.concurrency.file_lock import acquire_lock
from triage.domain.delivery import backoff_s
from triage.domain.errors import AuditUnavailable

log = structlog.get_logger(__name__)

LOCK = "sender.lock"  #: file name in the spool's folder
BATCH = 200  #: messages
EVERY_S = 1.0  #: pause between two batches
SLOWEST_S = 60.0  #: longest pause after failures
#: After this many unconfirmed batches in a row, the repository counts as one that never confirms.
UNCONFIRMED_MOST = 3


class AuditTransport(Protocol):
    """The connection to an audit repository."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Return when the repository has the messages; raise AuditUnavailable otherwise."""

    def check(self) -> str:
        """Return how the repository is reached; raise AuditUnavailable otherwise."""


class AuditSender:
    """A thread that sends spooled audit messages until it is ended."""

    def __init__(self, trail: SpooledAuditTrail, transport: AuditTransport) -> None:
        self._trail = trail
        self._transport = transport
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._failures = 0  #: attempts that failed in a row
        self._unconfirmed = 0  #: batches in a row that were sent without a confirmation

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self, within_s: float) -> None:
        """Stop the thread; it sends spooled messages once more if `within_s` seconds suffice."""
        self._ended.set()
        self._thread.join(within_s)

    def send_waiting(self) -> int:
        """Send all spooled messages. Returns how many; raises AuditUnavailable."""
        sent = 0
        self._trail.record_gap()
        while batch := self._trail.oldest(BATCH):
            self._send([message for _, message in batch])
            self._trail.remove([name for name, _ in batch])
            sent += len(batch)
        return sent

    def _send(self, messages: Sequence[bytes]) -> None:
        try:
            self._transport.send(messages)
        except AuditUnconfirmed:
            self._unconfirmed += 1
            if self._unconfirmed < UNCONFIRMED_MOST:
                raise
            log.warning("the audit repository never confirms; its messages count as sent")
        self._unconfirmed = 0

    def _run(self) -> None:
        """Wait for the lock, then send until the thread is ended."""
        lock = None
        while lock is None:
            lock = acquire_lock(self._trail.folder / LOCK)
            if lock is None and self._ended.wait(EVERY_S):  # another process sends
                return
        try:
            self._sweep()
            while not self._ended.wait(self._pause_s()):
                self._attempt()
            if not self._failures:
                self._attempt()
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        try:
            self._trail.sweep()
        except OSError as error:  # incomplete files are harmless, and complete ones must be sent
            log.warning("incomplete audit messages not removed", why=str(error))

    def _attempt(self) -> None:
        """Send all spooled messages; log the first failure and the first success after it."""
        try:
            self.send_waiting()
        except (AuditUnavailable, OSError) as error:
            if not self._failures:
                log.warning("audit repository not reached, messages wait", why=str(error))
            self._failures += 1
        else:
            if self._failures:
                log.info("audit repository reached again, no message waits")
            self._failures = 0

    def _pause_s(self) -> float:
        if not self._failures:
            return EVERY_S
        return backoff_s(self._failures, EVERY_S, SLOWEST_S)
