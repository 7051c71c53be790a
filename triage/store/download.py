"""Download targets of retrieved studies: a folder, or the intake.

    FOLDER/<Study UID>/<SOP Instance UID>.dcm            complete studies
    FOLDER/.pulling/<Study UID>/<SOP Instance UID>.dcm   a study that is being retrieved
    FOLDER/.pulling/<random>                             an instance that is being written
    FOLDER/.pulling/lock                                 held by the running `triage pull`

A study's folder gets its final name by one rename, after all files are complete and durable. There
is no separate list of retrieved studies that could contradict the folders. File and folder names
are UIDs that were validated. Everything below .pulling is retrieved again after a crash.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

from triage.concurrency.file_lock import acquire_lock
from triage.dicom.fast_header import read_file_identity
from triage.domain.errors import (
    CommandFailed,
    ConfigurationError,
    DamagedInstance,
    InstanceRefused,
    MismatchedInstance,
    OutOfResources,
)
from triage.domain.uid import is_uid
from triage.store.spool import OWNER_ONLY, LocalStagedFile, fsync_folder, translate_disk_full

WORKING = ".pulling"
LOCK = "lock"


class FolderDownload:
    """One study being retrieved into a folder (`ports.StudyDownload`)."""

    def __init__(
        self,
        study_uid: str,
        folder: Path,
        turn: Callable[[], None],
        complete: Callable[[Path], None],
    ) -> None:
        if not is_uid(study_uid):  # it becomes part of a path
            raise ValueError("not a Study Instance UID")
        self._study_uid = study_uid
        self._folder = folder / study_uid
        self._wait_turn = turn
        self._complete = complete
        self._uids: set[str] = set()
        self.refusals: Counter[str] = Counter()
        self.storage_error: OutOfResources | None = None
        shutil.rmtree(self._folder, ignore_errors=True)
        with translate_disk_full():
            self._folder.mkdir(mode=OWNER_ONLY)

    @property
    def instances(self) -> int:
        """The number of different instances stored so far."""
        return len(self._uids)

    def keep(self, pieces: Iterable[bytes], announced_uid: str | None = None) -> None:
        """Store an instance of this study; a UID that is already stored changes nothing.

        Raises:
            InstanceRefused: the instance is damaged or of another study.
            OutOfResources: there is no free space.
        """
        self._wait_turn()
        with (
            self._count_refusals(),
            translate_disk_full(),
            LocalStagedFile(self._folder.parent / uuid4().hex) as staged,
        ):
            for piece in pieces:
                staged.write(piece)
            staged.close()
            self._check_and_name(staged.path, announced_uid)

    def _check_and_name(self, path: Path, announced_uid: str | None) -> None:
        if not path.stat().st_size:
            raise DamagedInstance("an empty file")
        identity = read_file_identity(path)
        if identity.study_uid != self._study_uid:
            raise MismatchedInstance("an instance of another study")
        if announced_uid not in {None, identity.sop_instance_uid}:
            raise MismatchedInstance("another SOP Instance UID than its command")
        if identity.sop_instance_uid not in self._uids:
            path.rename(self._folder / f"{identity.sop_instance_uid}.dcm")
            self._uids.add(identity.sop_instance_uid)

    def finish(self) -> None:
        """Hand over the complete study."""
        fsync_folder(self._folder)
        self._complete(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _count_refusals(self) -> Iterator[None]:
        try:
            yield
        except OutOfResources as error:
            self.storage_error = error
            raise
        except InstanceRefused as error:
            self.refusals[str(error)] += 1
            raise


class FolderDownloadTarget:
    """A folder of complete studies, readable by `triage index` (`ports.DownloadTarget`)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._working = root / WORKING

    def count_instances(self, study_uid: str) -> int:
        """Return how many instances of a complete study are stored; 0 if it is not stored."""
        return sum(1 for _ in (self._root / study_uid).glob("*.dcm"))

    def open(self, study_uid: str, turn: Callable[[], None]) -> FolderDownload:
        """Start retrieving a study from the beginning."""
        return FolderDownload(study_uid, self._working, turn, self._place)

    def _place(self, folder: Path) -> None:
        """Move a complete study to its final folder, or add its new files to an earlier copy."""
        final = self._root / folder.name
        if not final.exists():
            folder.rename(final)
        else:  # after a crash here the archive still has more instances, so it is asked again
            for path in folder.iterdir():
                path.replace(final / path.name)
            fsync_folder(final)
        fsync_folder(self._root)


class IntakeDownloadTarget:
    """Passes complete studies to the intake, which records them (`ports.DownloadTarget`).

    `check_room` raises BackpressureActive while no further study is accepted. It is called only
    before a study is started: half a study would be assessed as if it were complete.
    """

    def __init__(
        self,
        root: Path,
        known: Callable[[str], int],
        accept: Callable[[Path], None],
        check_room: Callable[[str], None],
    ) -> None:
        self._working = root / WORKING
        self._known = known
        self._accept = accept
        self._check_room = check_room

    def count_instances(self, study_uid: str) -> int:
        """Return how many instances of a study the intake has recorded."""
        return self._known(study_uid)

    def open(self, study_uid: str, turn: Callable[[], None]) -> FolderDownload:
        """Start retrieving a study; raise BackpressureActive while none is accepted."""
        self._check_room(study_uid)
        return FolderDownload(study_uid, self._working, turn, self._accept_all)

    def _accept_all(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            self._accept(path)


@contextmanager
def lock_download_folder(root: Path) -> Iterator[None]:
    """Lock a download folder for one pull, and remove what an interrupted pull left.

    Raises:
        ConfigurationError: the folder is not writable.
        CommandFailed: another pull uses the folder.
    """
    held = _lock(root)
    try:
        _sweep(root / WORKING)
        yield
    finally:
        os.close(held)


def _lock(root: Path) -> int:
    """Return the descriptor that holds the lock of a download folder."""
    working = root / WORKING
    try:
        working.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        held = acquire_lock(working / LOCK)
    except OSError as error:
        raise ConfigurationError(f"{root} is not writable: {error.strerror}") from None
    if held is None:
        raise CommandFailed(
            f"another pull uses {root}: wait until it ends, or choose another folder"
        )
    return held


def _sweep(working: Path) -> None:
    for path in working.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
