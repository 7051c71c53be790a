"""The spool: every received instance as a Part 10 file, undecoded.

    spool/<Study UID>/<SOP Instance UID>.dcm            the first copy
    spool/<Study UID>/<SOP Instance UID>.<digest>.other  other bytes under the same UID
    spool/incoming/                                      being written, not yet promised
    quarantine/<digest>.bin                              refused bytes

Rule: a file that has its final name is whole and durable. It is written aside and fsynced, gets
its name by a link (which never overwrites), and the folder is fsynced before anybody is told.
"""

import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

from triage.concurrency.batching import BatchedCall
from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.fast_header import read_identity_of
from triage.dicom.header import META_HEAD, data_set_start
from triage.domain.errors import ConfigurationError, SpoolFull, StudyBeingRemoved
from triage.domain.instance import Identity, Receipt, ReceiptOutcome
from triage.domain.retention import StoredFile
from triage.ports.spool import StagedFile

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OWNER_ONLY = 0o700
INCOMING = "incoming"
INSTANCE_SUFFIX = ".dcm"  #: how the name of a first copy ends
PROBE = b"written by `triage check`, and removed again"
ABANDONED_S = 3600
#: Bytes that are compared at a time.
COMPARED = 1 << 20


class FileSpool:
    """A spool on a local or shared file system that has hard links and fsync."""

    def __init__(self, folder: Path, beside: Path | None = None) -> None:
        """Open the spool in a folder; `beside` is another one that needs free space too."""
        self._root = folder / "spool"
        self._quarantine = folder / "quarantine"
        self._disks = (self._root,) if beside is None else (self._root, beside)
        self._incoming = StagingFolder(self._root)
        self._quarantine.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        self._sync_folder = BatchedCall(_fsync_folders)

    def aside(self) -> "LocalStagedFile":
        """Open a new file for what arrives."""
        return self._incoming.aside()

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably; the same bytes twice change nothing."""
        return self.keep_file(identity, self._incoming.written(part10))

    def keep_file(self, identity: Identity, aside: StagedFile) -> Receipt:
        """Keep the instance that was written aside durably; it is gone from there afterwards."""
        name, outcome = instance_name(identity), ReceiptOutcome.NEW
        folder = (self._root / name).parent
        with translate_disk_full(), _not_removed_meanwhile(), aside:
            if not folder.is_dir():
                folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
                fsync_folder(self._root)
            mark_reached(CrashPoint.DURABLE)
            if not _place(aside.path, self._root / name):
                outcome = ReceiptOutcome.DUPLICATE
                if not same_data_set(self._root / name, aside.path):
                    name, outcome = conflict_name(identity, aside.digest), ReceiptOutcome.CONFLICT
                    _place(aside.path, self._root / name)
            mark_reached(CrashPoint.NAMED)
            self._sync_folder(folder)
        return Receipt(identity, name, aside.digest, outcome)

    def quarantine(self, part10: bytes) -> str:
        """Keep refused bytes apart; return their path relative to the state folder."""
        return self.quarantine_file(self._incoming.written(part10))

    def quarantine_file(self, aside: StagedFile) -> str:
        """Keep refused bytes that were written aside apart; they are gone from there afterwards."""
        path = self._quarantine / f"{aside.digest}.bin"
        with translate_disk_full(), aside:
            _place(aside.path, path)
            self._sync_folder(path.parent)
        return str(path.relative_to(self._quarantine.parent))

    def read(self, path: str) -> bytes:
        """Return the file at a receipt's path."""
        return (self._root / path).read_bytes()

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a file that lies in the spool; raise DamagedInstance.

        One under another name than its own is kept under that too. It may have a gigabyte.
        """
        identity = read_identity_of(self._root / path)
        if path != instance_name(identity):
            return self.keep(identity, self.read(path))
        with (self._root / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._sync_folder((self._root / path).parent)  # who gave it its name may have been killed
        return Receipt(identity, path, digest, ReceiptOutcome.DUPLICATE)

    def discard(self, path: str) -> None:
        """Remove a file that lies in the spool under a name that is not its own."""
        (self._root / path).unlink()

    def paths(self) -> Iterator[str]:
        """Yield the path of every kept instance."""
        for path in self._root.glob(f"*/*{INSTANCE_SUFFIX}"):
            yield str(path.relative_to(self._root))

    def free_bytes(self) -> int:
        """Return how many more bytes its file system takes from us."""
        return min(map(free_bytes_of, self._disks))

    def free_where_kept(self) -> int | None:
        """Return how many more bytes the file system takes that kept files lie on."""
        return free_bytes_of(self._root)

    def lying(self, study_uid: str) -> Sequence[StoredFile]:
        """Return all that is kept of a study, conflicting copies too."""
        return _lying(self._root / study_uid, self._root)

    def remove(self, paths: Collection[str]) -> None:
        """Remove kept files durably; what is gone already is no error."""
        _remove([self._root / path for path in paths])
        for folder in {(self._root / path).parent for path in paths}:
            with suppress(OSError):  # something else lies there, or it is gone
                folder.rmdir()

    def quarantined(self) -> Sequence[StoredFile]:
        """Return all that was quarantined."""
        return _lying(self._quarantine, self._quarantine.parent)

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; what is gone already is no error."""
        _remove([self._quarantine.parent / path for path in paths])

    def sweep(self) -> None:
        """Remove what a crash left half written an hour ago or earlier: nobody was promised it."""
        self._incoming.sweep()

    def try_out(self) -> None:
        """Write, read and remove a probe; raise SpoolFull, or ConfigurationError with what fails.

        What some network file systems lack is a link that never overwrites.
        """
        again = self._incoming.folder / uuid4().hex
        try:
            with translate_disk_full(), self._incoming.written(PROBE) as probe:
                is_new, is_new_again = _place(probe.path, again), _place(probe.path, again)
                said = again.read_bytes()
            fsync_folder(self._incoming.folder)
        except OSError as error:
            raise ConfigurationError(
                f"the spool in {self._root.parent} cannot be used: it needs a file system with "
                f"hard links and fsync, and room ({error.strerror})"
            ) from None
        finally:
            with suppress(OSError):
                again.unlink(missing_ok=True)
        if said != PROBE or not is_new or is_new_again:
            raise ConfigurationError(
                f"the file system of {self._root.parent} does not do as it says: a hard link "
                "replaced a file, or what was written was not read again"
            )


class StagingFolder:
    """The folder of a spool where files are written that nobody was promised yet."""

    def __init__(self, root: Path) -> None:
        self.folder = root / INCOMING
        for folder in (root, self.folder):
            folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)

    def aside(self) -> "LocalStagedFile":
        """Open a new file."""
        with translate_disk_full():
            return LocalStagedFile(self.folder / uuid4().hex)

    def written(self, content: bytes) -> "LocalStagedFile":
        """Return a new file with some content, closed."""
        aside = self.aside()
        try:
            aside.write(content)
            aside.close()
        except BaseException:
            aside.discard()
            raise
        return aside

    def sweep(self) -> None:
        """Remove what a crash left an hour ago or earlier; others may be faster."""
        for aside in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if aside.stat().st_mtime < datetime.now(UTC).timestamp() - ABANDONED_S:
                    aside.unlink()


class LocalStagedFile:
    """See `ports.StagedFile`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        self._gone = False
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, part: bytes | memoryview) -> None:
        """Append some bytes."""
        self._digest.update(part)
        assert self._descriptor is not None  # noqa: S101 - nobody writes to what is closed
        rest = memoryview(part)
        with translate_disk_full():
            while rest:  # a write may be a short one
                rest = rest[os.write(self._descriptor, rest) :]

    def close(self) -> None:
        """Make what was written durable."""
        assert self._descriptor is not None  # noqa: S101 - it is closed once
        mark_reached(CrashPoint.WRITTEN)
        with translate_disk_full():
            os.fsync(self._descriptor)
        self._shut()

    def _shut(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the file, if it is still there."""
        if self._gone:
            return
        with suppress(OSError):  # what could not be written is not wanted any more
            self._shut()
        self.path.unlink(missing_ok=True)
        self._gone = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def instance_name(identity: Identity) -> str:
    """Return where the first copy of an instance lies, seen from the spool's root."""
    return f"{identity.study_uid}/{identity.sop_instance_uid}{INSTANCE_SUFFIX}"


def conflict_name(identity: Identity, digest: str) -> str:
    """Return where other bytes under the same UID lie."""
    return f"{identity.study_uid}/{identity.sop_instance_uid}.{digest[:16]}.other"


def free_bytes_of(folder: Path) -> int:
    """Return how many more bytes the file system of a folder takes from us."""
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize


def _place(aside: Path, path: Path) -> bool:
    """Give what lies durably at `aside` its name; return False if that is taken."""
    try:
        os.link(aside, path)
    except FileExistsError:  # sent before, or another association was faster
        return False
    return True


def same_data_set(one: Path, other: Path) -> bool:
    """Tell whether two Part 10 files differ in their file meta information at most."""
    with one.open("rb") as first, other.open("rb") as second:
        for file in (first, second):
            file.seek(data_set_start(file.read(META_HEAD)))
        while (part := first.read(COMPARED)) == second.read(COMPARED):
            if not part:
                return True
    return False


def _lying(folder: Path, root: Path) -> list[StoredFile]:
    """Return the files right in a folder, by their paths below `root`.

    One may go meanwhile, or the whole folder: it is made for the first file and goes with the last.
    """
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            known = path.stat()
            found.append(StoredFile(str(path.relative_to(root)), known.st_size, known.st_mtime))
    return found


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    _fsync_folders([path.parent for path in paths])


def _fsync_folders(folders: Sequence[Path]) -> None:
    for folder in set(folders):
        with suppress(FileNotFoundError):  # removed with all that was in it: see `ledger.record`
            fsync_folder(folder)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _not_removed_meanwhile() -> Iterator[None]:
    """Turn what the system says when a folder goes under our hands into StudyBeingRemoved."""
    try:
        yield
    except FileNotFoundError:
        raise StudyBeingRemoved(
            "older images of its study are being removed: send it again"
        ) from None


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Turn the system's errors that mean a full disk into SpoolFull."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SpoolFull("no room left in the spool: free disk space") from error
        raise
