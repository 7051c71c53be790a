"""Receive the files that are dropped into a watched folder.

Network shares do not report changes, so the folder is scanned at intervals. The receiver makes two
subfolders, `refused` and `taken`. They are inside the folder because the folder may be a mount:
beside it would be another file system, invisible to the users of the folder.

A file is moved or deleted only after the instance is durable in the spool, and only if it is still
the file that was read: one that has taken its place meanwhile is read by a later scan. A refused
file is moved, with a text that gives the reason. File names are not logged, because some are names
of patients.
"""

import os
import threading
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

import structlog

from receivers.folder.files import FileReplaced, FileSnapshot, FolderFiles, take_snapshot
from receivers.folder.journal import AcceptedFiles, compute_key
from triage.config import WatchedFolder
from triage.dicom.fast_header import read_file_identity
from triage.domain.errors import DamagedInstance, LedgerUnavailable, OutOfResources
from triage.domain.instance import Source
from triage.pipeline.backpressure import DiscardedFile
from triage.pipeline.intake import Intake
from triage.ports.spool import StagedFile

log = structlog.get_logger(__name__)

REFUSED, ACCEPTED = "refused", "taken"  #: names of the subfolders
#: A file that seems damaged may be half copied by a program that pauses: it is read again after
#: this many settling times, and refused then.
DAMAGED_SETTLE_FACTOR = 6
CHUNK_BYTES = 1 << 20
PREAMBLE_BYTES = 128  #: before the prefix "DICM" (PS3.10 7.1)
DICOMDIR = "1.2.840.10008.1.3.10"
END_S = 10.0  #: the longest wait for the current file when the receiver ends


class _FileRefused(Exception):
    """The file is not accepted; the message is the reason."""


class _FileChanged(Exception):
    """The file changes while it is read."""


@dataclass
class _PendingFile:
    """A file that was found and not processed yet."""

    snapshot: FileSnapshot
    since: float  #: unchanged since then, in monotonic seconds
    seems_damaged: bool = False  #: it was read once, and is read again before it is refused
    is_unreadable: bool = False


class _Problem(Enum):
    """A problem that is logged once when it begins and once when it ends."""

    FOLDER = ("the watched folder is unavailable", "the watched folder is available again")
    SUBFOLDERS = (
        "subfolders of the watched folder cannot be read",
        "all subfolders of the watched folder can be read",
    )
    FILES = (
        "files of the watched folder cannot be read",
        "all files of the watched folder can be read",
    )
    NO_ROOM = (
        "files wait in the watched folder: no room, or the ledger is busy",
        "files of the watched folder are accepted again",
    )
    STUCK = ("files of the watched folder cannot be moved or deleted: they stay", "")


class FolderScanner:
    """Scans the folder once for each call of `scan`. Not thread-safe."""

    def __init__(
        self,
        intake: Intake,
        settings: WatchedFolder,
        limit_bytes: int,
        accepted: AcceptedFiles,
        classes: Container[str],
    ) -> None:
        self._intake = intake
        self._settings = settings
        self._limit_bytes = limit_bytes
        self._accepted = accepted
        self._files = FolderFiles(settings.path, (REFUSED, ACCEPTED))
        self._classes = classes
        self._source = Source(settings.name, "", id(self))
        self._pending: dict[PurePath, _PendingFile] = {}
        self._is_open = False  #: it counts as an open association
        self._logged: set[_Problem] = set()

    def scan(self, now: float, ending: threading.Event) -> None:
        """Accept the files that have settled by `now`, in monotonic seconds.

        While other files are pending, the folder counts as an open association, so that its last
        study is not complete yet.
        """
        try:
            files, unread = self._files.list_files()
        except OSError as error:
            self._log_begin(_Problem.FOLDER, error.strerror or "no answer")
            return
        self._log_end(_Problem.FOLDER)
        self._update_pending(files, now)
        if unread:
            self._log_begin(_Problem.SUBFOLDERS, unread)
        else:
            self._log_end(_Problem.SUBFOLDERS)
            self._prune_journal(files)
        self._count_as_association()
        accepted = self._process(self._list_settled(now), now, ending)
        if accepted:
            log.info("files accepted from the watched folder", files=accepted)
        self._count_as_association()

    def end(self) -> None:
        """Stop counting as an open association."""
        self._intake.associations.close(self._source.association)

    def _prune_journal(self, files: dict[PurePath, FileSnapshot]) -> None:
        if files:
            self._accepted.prune([compute_key(path, found) for path, found in files.items()])

    def _update_pending(self, files: dict[PurePath, FileSnapshot], now: float) -> None:
        """Note since when each file is unchanged; leave out files that were processed."""
        before, self._pending = self._pending, {}
        for path, snapshot in files.items():
            if compute_key(path, snapshot) in self._accepted:
                continue
            pending = before.get(path)
            if pending is None or pending.snapshot != snapshot:
                pending = _PendingFile(snapshot, now)
            self._pending[path] = pending

    def _count_as_association(self) -> None:
        more = any(not p.seems_damaged and not p.is_unreadable for p in self._pending.values())
        if more and not self._is_open:
            self._intake.associations.open(self._source.association)
        elif not more:
            self.end()
        self._is_open = more

    def _list_settled(self, now: float) -> list[PurePath]:
        settle_s = self._settings.settle_s
        return sorted(
            path
            for path, pending in self._pending.items()
            if now - pending.since
            >= settle_s * (DAMAGED_SETTLE_FACTOR if pending.seems_damaged else 1)
        )

    def _process(self, paths: Iterable[PurePath], now: float, ending: threading.Event) -> int:
        """Process files until there is no room or `ending` is set; return how many are accepted."""
        accepted = 0
        for path in paths:
            if ending.is_set():
                break
            try:
                accepted += self._process_file(path, now)
            except (OutOfResources, LedgerUnavailable) as error:
                self._log_begin(_Problem.NO_ROOM, str(error))
                return accepted
            except FileNotFoundError:
                self._pending.pop(path, None)
            except OSError as error:
                self._pending[path].is_unreadable = True
                self._log_begin(_Problem.FILES, error.strerror or "no answer")
            else:
                self._log_end(_Problem.NO_ROOM)
        if not any(pending.is_unreadable for pending in self._pending.values()):
            self._log_end(_Problem.FILES)
        return accepted

    def _process_file(self, path: PurePath, now: float) -> bool:
        """Accept or refuse a settled file; return True if it was accepted."""
        pending = self._pending[path]
        pending.is_unreadable = False
        try:
            self._accept(path, pending)
        except _FileChanged:
            pending.since = now
            return False
        except (DamagedInstance, _FileRefused) as error:
            if not pending.seems_damaged and isinstance(error, DamagedInstance):
                pending.seems_damaged = True
            else:
                self._refuse(path, pending.snapshot, str(error))
            return False
        self._dispose(path, pending.snapshot, self._settings.after)
        return True

    def _accept(self, path: PurePath, pending: _PendingFile) -> None:
        with self._intake.open_staging_file() as staged:
            if isinstance(staged, DiscardedFile):  # it is empty, and would seem damaged
                raise staged.error
            self._copy(path, pending, staged)
            self._check_copy(staged)
            self._intake.accept_file(staged, self._source)

    def _copy(self, path: PurePath, pending: _PendingFile, staged: StagedFile) -> None:
        """Copy a file into the staging file; raise if it is not acceptable or changes.

        From then on the pending file's snapshot is of the file that was read.
        """
        snapshot = pending.snapshot
        if snapshot.size > self._limit_bytes:
            raise _FileRefused(f"larger than receiver.instance_bytes, {self._limit_bytes}")
        if snapshot.size == 0:
            raise DamagedInstance("the file is empty")
        with self._files.open_file(path) as descriptor:
            copied = 0
            while chunk := os.read(descriptor, CHUNK_BYTES):
                copied += len(chunk)
                if copied > snapshot.size:
                    raise _FileChanged
                staged.write(chunk)
            pending.snapshot = take_snapshot(descriptor)
            if pending.snapshot != snapshot or copied != snapshot.size:
                raise _FileChanged
        staged.close()

    def _check_copy(self, staged: StagedFile) -> None:
        """Raise if a copy is not an acceptable instance, so that it is not quarantined."""
        with staged.path.open("rb") as file:
            if file.read(PREAMBLE_BYTES + 4)[PREAMBLE_BYTES:] != b"DICM":
                raise DamagedInstance("not a DICOM file (PS3.10: no DICM prefix)")
            if DICOMDIR.encode() in file.read(512):
                raise _FileRefused("a DICOMDIR; the files that it names are accepted without it")
        sop_class = read_file_identity(staged.path).sop_class_uid
        if sop_class not in self._classes:
            raise _FileRefused(f"{sop_class} is not an accepted storage SOP class")

    def _refuse(self, path: PurePath, snapshot: FileSnapshot, why: str) -> None:
        """Report a refused file as an incident and move it, with a text that gives the reason."""
        self._intake.report_refused(f"{why}; moved to the subfolder {REFUSED}", self._source)
        self._dispose(path, snapshot, "refuse", why)

    def _dispose(self, path: PurePath, snapshot: FileSnapshot, action: str, why: str = "") -> None:
        """Delete, move or keep a processed file; if that fails, the file stays and is skipped."""
        self._pending.pop(path)
        try:
            if action == "delete":
                self._files.delete(path, snapshot)
            elif action == "move":
                self._files.move(path, snapshot, ACCEPTED)
            elif action == "refuse":
                why = f"This file was not accepted: {why}."
                self._files.move(path, snapshot, REFUSED, why)
            else:
                self._files.require_same(path, snapshot)
                self._accepted.add(compute_key(path, snapshot))
        except (FileReplaced, FileNotFoundError):  # a new file is processed by a later scan
            return
        except OSError as error:
            self._accepted.add(compute_key(path, snapshot))
            self._log_begin(_Problem.STUCK, error.strerror or "no answer")

    def _log_begin(self, problem: _Problem, why: object) -> None:
        if problem not in self._logged:
            self._logged.add(problem)
            log.warning(problem.value[0], why=why)

    def _log_end(self, problem: _Problem) -> None:
        if problem in self._logged:
            self._logged.remove(problem)
            log.warning(problem.value[1])


class FolderReceiver:
    """Scans the folder at intervals in a thread; `end` ends the thread."""

    def __init__(self, scanner: FolderScanner, every_s: float) -> None:
        self._scanner = scanner
        self._every_s = every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the thread of the scanner runs."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop scanning; a share that does not answer is waited for END_S at most."""
        self._ending.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._scanner.scan(time.monotonic(), self._ending)
            except Exception as error:  # a defect must not end the receiver
                log.exception("the scan of the watched folder failed", exc_info=error)
            self._ending.wait(self._every_s)
        self._scanner.end()


def start(
    intake: Intake,
    settings: WatchedFolder,
    limit_bytes: int,
    state_dir: Path,
    classes: Container[str],
) -> FolderReceiver:
    """Start to scan a folder in a thread; the folder may become available later."""
    accepted = AcceptedFiles(state_dir / "folder.taken")
    scanner = FolderScanner(intake, settings, limit_bytes, accepted, classes)
    receiver = FolderReceiver(scanner, settings.every_s)
    log.info("watching a folder", after=settings.after)
    return receiver
