"""A watched folder: what is dropped there comes in like what is sent.

Folders on shares tell nobody what changes in them, so it is looked at again and again. Ours are two
subfolders, `refused` and `taken`: inside, because the folder may be a mount, and beside one lies
another file system, that those who drop files cannot see.

Rule: nothing vanishes. A file is moved or deleted when it is durable in the spool and not before;
what is refused is moved, with a text that says why. No name of a file is logged: some are names of
patients.
"""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePath

import structlog

from receivers.folder_files import FileReplaced, FileSnapshot, FolderFiles, take_snapshot
from receivers.folder_journal import AcceptedFiles, compute_key
from triage.config import WatchedFolder
from triage.dicom.fast_header import read_file_identity
from triage.dimse.storage_classes import list_storage_classes
from triage.domain.errors import DamagedInstance, LedgerUnavailable, OutOfResources
from triage.domain.instance import Source
from triage.pipeline.backpressure import DiscardedFile
from triage.pipeline.intake import Intake
from triage.ports.spool import StagedFile

log = structlog.get_logger(__name__)

REFUSED, ACCEPTED = "refused", "taken"
#: What seems damaged may be half copied by a program that pauses: it is looked at once more after
#: so many times the settling time, and refused then.
DAMAGED_SETTLE_FACTOR = 6
CHUNK_BYTES = 1 << 20  #: bytes that are read at a time
DICOMDIR = "1.2.840.10008.1.3.10"
END_S = 10.0  #: one file may take so long to be finished when the receiver ends


class _FileRefused(Exception):
    """A file that is not taken; the text says why."""


class _FileChanged(Exception):
    """A file that changes while it is read."""


@dataclass
class _UnsettledFile:
    """A file that was seen, and since when it is as it is (monotonic seconds)."""

    look: FileSnapshot
    since: float
    doubted: bool = False  #: it was read once, and seems damaged
    unreadable: bool = False


class _ReadFailure(Enum):
    """What keeps the folder, or something in it, from being read; told once."""

    AWAY = auto()
    PARTS = auto()
    FILES = auto()
    STUCK = auto()
    NO_ROOM = auto()


class FolderScanner:
    """See the module. Not safe for threads: one looks."""

    def __init__(
        self, intake: Intake, settings: WatchedFolder, most_bytes: int, taken: AcceptedFiles
    ) -> None:
        self._intake = intake
        self._settings = settings
        self._most_bytes = most_bytes
        self._taken = taken
        self._files = FolderFiles(settings.path, (REFUSED, ACCEPTED))
        self._classes = frozenset(list_storage_classes())
        self._source = Source(settings.name, "", id(self))
        self._waiting: dict[PurePath, _UnsettledFile] = {}
        self._is_open = False  #: it counts as an association
        self._told: set[_ReadFailure] = set()

    def look(self, now: float, ending: threading.Event) -> None:
        """Take what has settled at a time, in monotonic seconds; the rest waits.

        While something waits, the study that came last does so too, as with an association.
        """
        try:
            files, unread = self._files.files()
        except OSError as error:
            self._tell(
                _ReadFailure.AWAY, "the watched folder is away", error.strerror or "no answer"
            )
            return
        self._over(_ReadFailure.AWAY, "the watched folder is back")
        if unread:
            self._tell(
                _ReadFailure.PARTS, "subfolders of the watched folder cannot be read", unread
            )
        else:
            self._over(_ReadFailure.PARTS, "all subfolders of the watched folder can be read")
        self._notice(files, now)
        if files and not unread:
            self._taken.forget_but([compute_key(path, look) for path, look in files.items()])
        self._count_as_association()
        taken = self._take(self._settled(now), now, ending)
        if taken:
            log.info("files taken from the watched folder", files=taken)
        self._count_as_association()

    def end(self) -> None:
        """Nothing more comes."""
        self._intake.associations.close(self._source.association)

    def _notice(self, files: dict[PurePath, FileSnapshot], now: float) -> None:
        """Remember since when each file is as it is; those that were dealt with are none."""
        before, self._waiting = self._waiting, {}
        for path, look in files.items():
            if compute_key(path, look) in self._taken:
                continue
            known = before.get(path)
            unchanged = known is not None and known.look == look
            self._waiting[path] = known if known and unchanged else _UnsettledFile(look, now)

    def _count_as_association(self) -> None:
        more = any(not each.doubted and not each.unreadable for each in self._waiting.values())
        if more and not self._is_open:
            self._intake.associations.open(self._source.association)
        elif not more:
            self.end()
        self._is_open = more

    def _settled(self, now: float) -> list[PurePath]:
        settle_s = self._settings.settle_s
        return sorted(
            path
            for path, each in self._waiting.items()
            if now - each.since >= settle_s * (DAMAGED_SETTLE_FACTOR if each.doubted else 1)
        )

    def _take(self, paths: Iterable[PurePath], now: float, ending: threading.Event) -> int:
        """Take files one by one, until there is no room or it is to end; return how many."""
        taken = 0
        for path in paths:
            if ending.is_set():
                break
            try:
                taken += self._take_one(path, now)
            except (OutOfResources, LedgerUnavailable) as error:
                event = "files wait in the watched folder: no room, or the ledger is busy"
                self._tell(_ReadFailure.NO_ROOM, event, str(error))
                return taken
            except FileNotFoundError:
                self._waiting.pop(path, None)
            except OSError as error:
                self._waiting[path].unreadable = True
                event = "files of the watched folder cannot be read"
                self._tell(_ReadFailure.FILES, event, error.strerror or "no answer")
            else:
                self._over(_ReadFailure.NO_ROOM, "files of the watched folder are taken again")
        if not any(each.unreadable for each in self._waiting.values()):
            self._over(_ReadFailure.FILES, "all files of the watched folder can be read")
        return taken

    def _take_one(self, path: PurePath, now: float) -> bool:
        """Take a settled file; return False where it was not, or not yet."""
        waiting = self._waiting[path]
        waiting.unreadable = False
        try:
            with self._intake.open_staging_file() as aside:
                if isinstance(aside, DiscardedFile):  # or what was never copied would seem damaged
                    raise aside.error
                self._copy(path, waiting.look, aside)
                self._judge(aside)
                self._intake.accept_file(aside, self._source)
        except _FileChanged:
            waiting.since = now
            return False
        except (DamagedInstance, _FileRefused) as refused:
            if not waiting.doubted and isinstance(refused, DamagedInstance):
                waiting.doubted = True
            else:
                self._refuse(path, waiting.look, str(refused))
            return False
        self._dealt_with(path, waiting.look, self._settings.after)
        return True

    def _copy(self, path: PurePath, look: FileSnapshot, aside: StagedFile) -> None:
        """Copy a file to the spool's file system; raise where it is none of ours, or changes."""
        if look.size > self._most_bytes:
            raise _FileRefused(f"larger than receiver.instance_bytes, {self._most_bytes}")
        if look.size == 0:
            raise DamagedInstance("the file is empty")
        with self._files.opened(path) as descriptor:
            copied = 0
            while piece := os.read(descriptor, CHUNK_BYTES):
                copied += len(piece)
                if copied > look.size:
                    raise _FileChanged
                aside.write(piece)
            if take_snapshot(descriptor) != look or copied != look.size:
                raise _FileChanged
        aside.close()

    def _judge(self, aside: StagedFile) -> None:
        """Raise where a copy is no instance that is taken: nothing of it goes to quarantine."""
        with aside.path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                raise DamagedInstance("not a DICOM file (PS3.10: no DICM prefix)")
            if DICOMDIR.encode() in file.read(512):
                raise _FileRefused("a DICOMDIR: the files that it names are taken without it")
        sop_class = read_file_identity(aside.path).sop_class_uid
        if sop_class not in self._classes:
            raise _FileRefused(f"{sop_class} is no storage SOP class that is taken")

    def _refuse(self, path: PurePath, look: FileSnapshot, why: str) -> None:
        """Move a file aside, tell those who dropped it why, and the administrator too."""
        self._intake.report_refused(f"{why}; it lies in the subfolder {REFUSED}", self._source)
        self._dealt_with(path, look, "refuse", why)

    def _dealt_with(self, path: PurePath, look: FileSnapshot, after: str, why: str = "") -> None:
        """Do with a file what is to be done; where that fails it stays, and is known."""
        self._waiting.pop(path)
        try:
            if after == "delete":
                self._files.delete(path, look)
            elif after == "move":
                self._files.move(path, ACCEPTED)
            elif after == "refuse":
                self._files.move(path, REFUSED, f"This file was not taken: {why}.")
            else:
                self._taken.add(compute_key(path, look))
        except FileReplaced:  # by a new one, whose turn comes
            return
        except OSError as error:
            self._taken.add(compute_key(path, look))
            event = "files of the watched folder cannot be moved or deleted: they stay"
            self._tell(_ReadFailure.STUCK, event, error.strerror or "no answer")

    def _tell(self, trouble: _ReadFailure, event: str, why: object) -> None:
        if trouble not in self._told:
            self._told.add(trouble)
            log.warning(event, why=why)

    def _over(self, trouble: _ReadFailure, event: str) -> None:
        if trouble in self._told:
            self._told.remove(trouble)
            log.warning(event)


class FolderReceiver:
    """A folder that is looked at in a thread of its own; `end` ends it."""

    def __init__(self, folder: FolderScanner, every_s: float) -> None:
        self._folder = folder
        self._every_s = every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more; a share that does not answer is not waited for."""
        self._ending.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._folder.look(time.monotonic(), self._ending)
            except Exception as error:  # a defect must not end the receiver
                log.exception("the watched folder was not looked at", exc_info=error)
            self._ending.wait(self._every_s)
        self._folder.end()


def start(
    intake: Intake, settings: WatchedFolder, most_bytes: int, state_dir: Path
) -> FolderReceiver:
    """Watch a folder in a thread; one that is away is waited for."""
    taken = AcceptedFiles(state_dir / "folder.taken")
    watching = FolderReceiver(FolderScanner(intake, settings, most_bytes, taken), settings.every_s)
    log.info("watching a folder", after=settings.after)
    return watching
