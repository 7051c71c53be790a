"""Messages that wait to be sent: one file each, from every process of a site into one folder.

    audit/<microseconds>-<process>-<number>.line   a message, in the order of its time
    audit/<...>.new                                being written, not yet promised
    audit/missed                                   one byte an event that there was no room for

Rule: when `record` returns, the message is durable or its loss is counted and logged; it goes when
the repository has it. Nothing here raises: an audit trail that fails stops no study.
"""

import itertools
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from triage.audit.message import Author, line
from triage.domain.audit import AuditEvent, gap
from triage.ports.clock import Clock

log = structlog.get_logger(__name__)

OWNER_ONLY = 0o700
COUNTED_S = 1.0  #: the folder is counted at most so often
WARNED_S = 60.0  #: the same is said in the log at most so often
NEARLY = 0.8  #: from this part of the limit on there is a warning
ABANDONED_S = 3600.0  #: what a crash left half written


class FileTrail:
    """See `ports.AuditTrail`. Several processes may have one each on the same folder."""

    def __init__(self, folder: Path, author: Author, clock: Clock, most: int) -> None:
        folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        self._folder = folder
        self._author = author
        self._clock = clock
        self._most = most
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting = 0
        self._counted_at = self._warned_at = float("-inf")

    def record(self, event: AuditEvent) -> None:
        """Keep an event durably, or count that it could not be kept."""
        try:
            if self._is_full():
                self._miss()
                return
            self._keep(event)
        except OSError as error:
            log.exception("audit message not kept", about=event.event.meaning, exc_info=error)
            with suppress(OSError):  # a byte may find room
                self._miss()

    def waiting(self) -> int:
        """Return how many messages wait."""
        return len(self._names())

    def missed(self) -> int:
        """Return how many events there was no room for, since the repository was told last."""
        return sum(_size(path) for path in (self._missed, self._told))

    def oldest(self, most: int) -> Sequence[tuple[str, bytes]]:
        """Return up to so many messages with their names, the oldest first."""
        return [(name, (self._folder / name).read_bytes()) for name in self._names()[:most]]

    def sent(self, names: Sequence[str]) -> None:
        """Forget messages that the repository has."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def tell_of_gap(self) -> None:
        """Record that there was no room for some, now that there is; in one process at a time."""
        if not self._told.exists():
            if not self._missed.exists() or self._is_full():
                return
            self._missed.rename(self._told)
        self._keep(gap(_size(self._told)))
        self._told.unlink()

    def sweep(self) -> None:
        """Remove what a crash left half written: nobody was promised it."""
        for path in self._folder.glob("*.new"):
            with suppress(FileNotFoundError):  # it is whole by now, and has its name
                if path.stat().st_mtime < self._clock.now() - ABANDONED_S:
                    path.unlink()

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._folder

    @property
    def _missed(self) -> Path:
        return self._folder / "missed"

    @property
    def _told(self) -> Path:
        return self._folder / "missed.told"

    def _names(self) -> list[str]:
        return sorted(name for name in self._entries() if name.endswith(".line"))

    def _entries(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [entry.name for entry in entries]

    def _keep(self, event: AuditEvent) -> None:
        at = self._clock.now()
        number = next(self._numbers) % 1_000_000
        name = f"{round(at * 1e6):020d}-{os.getpid()}-{number:06d}"
        path = self._folder / f"{name}.new"
        try:
            _write(path, line(event, self._author, at))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        path.rename(path.with_suffix(".line"))
        _sync(self._folder)

    def _is_full(self) -> bool:
        """Tell whether there is no room for more; warn before that."""
        with self._lock:
            now = time.monotonic()
            if now - self._counted_at > COUNTED_S:
                self._waiting, self._counted_at = self.waiting(), now
            self._waiting += 1
            if self._waiting > self._most * NEARLY and now - self._warned_at > WARNED_S:
                self._warned_at = now
                log.warning(
                    "audit messages wait for the repository",
                    waiting=self._waiting,
                    at_most=self._most,
                    missed=self.missed(),
                )
            return self._waiting > self._most

    def _miss(self) -> None:
        file = os.open(self._missed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, b".")
        finally:
            os.close(file)


def _write(path: Path, content: bytes) -> None:
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
