"""Where pulled studies go: into a folder, or on to the intake.

    FOLDER/<Study UID>/<SOP Instance UID>.dcm            whole studies
    FOLDER/.pulling/<Study UID>/<SOP Instance UID>.dcm   a study that is being fetched
    FOLDER/.pulling/<random>                             an instance that is being written
    FOLDER/.pulling/lock                                 held by the pull that is at work

Rule: the name is the record. A study's folder gets its name by one rename when it is whole and lies
durably on disk; there is no other list of what was done, so none that could contradict it. Both
names come from UIDs that were checked. Whatever lies below .pulling is fetched anew.
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
from triage.dicom.fast_header import read_identity_of
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
    """See `ports.Desk`."""

    def __init__(
        self,
        study_uid: str,
        folder: Path,
        turn: Callable[[], None],
        hand_on: Callable[[Path], None],
    ) -> None:
        if not is_uid(study_uid):  # before it becomes a path, whoever asks
            raise ValueError("a study is named by what is no UID")
        self._study_uid = study_uid
        self._folder = folder / study_uid
        self._turn = turn
        self._hand_on = hand_on
        self._kept: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.full: OutOfResources | None = None
        shutil.rmtree(self._folder, ignore_errors=True)
        with translate_disk_full():
            self._folder.mkdir(mode=OWNER_ONLY)

    @property
    def instances(self) -> int:
        """How many different instances lie here."""
        return len(self._kept)

    def keep(self, pieces: Iterable[bytes], announced_uid: str | None = None) -> None:
        """Keep an instance of this study under its name; the same UID again changes nothing."""
        self._turn()
        with (
            self._noted(),
            translate_disk_full(),
            LocalStagedFile(self._folder.parent / uuid4().hex) as aside,
        ):
            for piece in pieces:
                aside.write(piece)
            aside.close()
            self._name(aside.path, announced_uid)

    def _name(self, path: Path, announced_uid: str | None) -> None:
        if not path.stat().st_size:
            raise DamagedInstance("an empty file")
        identity = read_identity_of(path)
        if identity.study_uid != self._study_uid:
            raise MismatchedInstance("an instance of another study")
        if announced_uid not in {None, identity.sop_instance_uid}:
            raise MismatchedInstance("another SOP Instance UID than its command")
        if identity.sop_instance_uid not in self._kept:
            path.rename(self._folder / f"{identity.sop_instance_uid}.dcm")
            self._kept.add(identity.sop_instance_uid)

    def finish(self) -> None:
        """Hand the whole study on."""
        fsync_folder(self._folder)
        self._hand_on(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OutOfResources as error:
            self.full = error
            raise
        except InstanceRefused as error:
            self.refused[str(error)] += 1
            raise


class FolderDownloadTarget:
    """See `ports.Shelf`: a folder that `triage index` takes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._working = root / WORKING

    def instances(self, study_uid: str) -> int:
        """Return how many instances of a whole study are there."""
        return sum(1 for _ in (self._root / study_uid).glob("*.dcm"))

    def open(self, study_uid: str, turn: Callable[[], None]) -> FolderDownload:
        """Begin a study anew."""
        return FolderDownload(study_uid, self._working, turn, self._place)

    def _place(self, folder: Path) -> None:
        """Give a whole study its name; one that has grown in the archive gets its further files."""
        final = self._root / folder.name
        if not final.exists():
            folder.rename(final)
        else:  # each file is whole; until the last has come the archive has more, and is asked
            for path in folder.iterdir():
                path.replace(final / path.name)
            fsync_folder(final)
        fsync_folder(self._root)


class IntakeDownloadTarget:
    """See `ports.Shelf`: whole studies go on to the intake, which keeps its own account of them.

    `check_room` raises BackpressureActive for a study that there is no room for now. It is asked before a
    study is begun and not again: half a study would be assessed as if it were whole.
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

    def instances(self, study_uid: str) -> int:
        """Return how many instances of a study the intake has."""
        return self._known(study_uid)

    def open(self, study_uid: str, turn: Callable[[], None]) -> FolderDownload:
        """Begin a study anew; raise BackpressureActive while there is no room for it."""
        self._check_room(study_uid)
        return FolderDownload(study_uid, self._working, turn, self._pass_on)

    def _pass_on(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            self._accept(path)


@contextmanager
def lock_download_folder(root: Path) -> Iterator[None]:
    """Hold a folder for one pull, and sweep what another left; raise ConfigurationError."""
    working = root / WORKING
    try:
        working.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        held = acquire_lock(working / LOCK)
    except OSError as error:
        raise ConfigurationError(f"{root} cannot be written to: {error.strerror}") from None
    if held is None:
        raise CommandFailed(f"another pull works on {root}: let it end, or choose another")
    try:
        _sweep(working)
        yield
    finally:
        os.close(held)


def _sweep(working: Path) -> None:
    for path in working.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
