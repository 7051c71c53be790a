"""Audit messages that wait to be sent: one file each, in one folder for all processes of a site.

    audit/<microseconds>-<process>-<number>.line   a message; names sort by time
    audit/<...>.new                                a message that is being written
    audit/missed                                   one byte for each event lost because it was full
    audit/missed.told                              the same, while the loss is being recorded

When `record` returns, the message is durable, or its loss is counted and logged. `record` raises
nothing: a failing audit trail must not stop the processing of studies.
"""

import itertools
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from triage.audit.message import AuditAuthor, syslog_line
from triage.domain.audit import AuditEvent, build_gap_event
from triage.ports.clock import Clock

log = structlog.get_logger(__name__)

OWNER_ONLY = 0o700
COUNT_EVERY_S = 1.0  #: shortest time between two counts of the folder
WARN_EVERY_S = 60.0  #: shortest time between two equal warnings in the log
WARN_FROM = 0.8  #: part of the limit from which on a warning is logged
ABANDONED_S = 3600.0  #: age at which an incomplete file counts as left by a crash


class SpooledAuditTrail:
    """An audit trail on disk; implements `AuditTrail`. Several processes may share a folder."""

    def __init__(self, folder: Path, author: AuditAuthor, clock: Clock, most: int) -> None:
        folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        self._folder = folder
        self._author = author
        self._clock = clock
        self._most = most  #: messages that may wait
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting = 0
        self._counted_at = self._warned_at = float("-inf")

    def record(self, event: AuditEvent) -> None:
        """Write an event durably, or count its loss."""
        try:
            if self._is_full():
                self._count_missed()
                return
            self._write(event)
        except OSError as error:
            log.exception("audit message not kept", about=event.event.meaning, exc_info=error)
            with suppress(OSError):  # one byte may fit where a message does not
                self._count_missed()

    def waiting(self) -> int:
        """Return how many messages wait."""
        return len(self._names())

    def missed(self) -> int:
        """Return how many events were lost since the last message that reported such a loss."""
        return sum(_size(path) for path in (self._missed_file, self._reported_file))

    def oldest(self, most: int) -> Sequence[tuple[str, bytes]]:
        """Return names and contents of the oldest messages, at most `most`."""
        return [(name, (self._folder / name).read_bytes()) for name in self._names()[:most]]

    def remove(self, names: Sequence[str]) -> None:
        """Remove messages that the repository has."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def record_gap(self) -> None:
        """Record how many events were lost, once there is room; call it in one process only."""
        if not self._reported_file.exists():
            if not self._missed_file.exists() or self._is_full():
                return
            self._missed_file.rename(self._reported_file)
        self._write(build_gap_event(_size(self._reported_file)))
        self._reported_file.unlink()

    def sweep(self) -> None:
        """Remove incomplete files that a crash left; `record` has not returned for these."""
        for path in self._folder.glob("*.new"):
            with suppress(FileNotFoundError):  # the message was completed and renamed meanwhile
                if path.stat().st_mtime < self._clock.now() - ABANDONED_S:
                    path.unlink()

    @property
    def folder(self) -> Path:
        """The folder of the messages."""
        return self._folder

    @property
    def _missed_file(self) -> Path:
        return self._folder / "missed"

    @property
    def _reported_file(self) -> Path:
        return self._folder / "missed.told"

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".line"))

    def _write(self, event: AuditEvent) -> None:
        at = self._clock.now()
        number = next(self._numbers) % 1_000_000
        name = f"{round(at * 1e6):020d}-{os.getpid()}-{number:06d}"
        path = self._folder / f"{name}.new"
        try:
            _write_durably(path, syslog_line(event, self._author, at))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        path.rename(path.with_suffix(".line"))
        _sync(self._folder)

    def _is_full(self) -> bool:
        """Return whether the limit of waiting messages is reached; log a warning before that."""
        with self._lock:
            now = time.monotonic()
            if now - self._counted_at > COUNT_EVERY_S:
                self._waiting, self._counted_at = self.waiting(), now
            self._waiting += 1
            if self._waiting > self._most * WARN_FROM and now - self._warned_at > WARN_EVERY_S:
                self._warned_at = now
                log.warning(
                    "audit messages wait for the repository",
                    waiting=self._waiting,
                    at_most=self._most,
                    missed=self.missed(),
                )
            return self._waiting > self._most

    def _count_missed(self) -> None:
        file = os.open(self._missed_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, b".")
        finally:
            os.close(file)


def _write_durably(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
