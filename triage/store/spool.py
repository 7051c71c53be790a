"""The spool: every received instance as a Part 10 file, undecoded.

    spool/<Study UID>/<SOP Instance UID>.dcm            the first copy
    spool/<Study UID>/<SOP Instance UID>.<digest>.other  other bytes under the same UID
    spool/incoming/                                      staging files, not acknowledged
    quarantine/<digest>.bin                              refused bytes

A file with its final name is complete and durable. It is written to a staging file and fsynced,
gets its name by a hard link (which never overwrites), and the folder is fsynced before the instance
is acknowledged.
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
from triage.dicom.fast_header import read_file_identity
from triage.dicom.header import META_HEAD, data_set_start
from triage.domain.errors import ConfigurationError, SpoolFull, StudyBeingRemoved
from triage.domain.instance import Identity, Receipt, ReceiptOutcome
from triage.domain.retention import StoredFile
from triage.ports.spool import StagedFile

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OWNER_ONLY = 0o700
SPOOL = "spool"  #: folder of the stored instances
INCOMING = "incoming"
INSTANCE_SUFFIX = ".dcm"  #: of a first copy
CONFLICT_SUFFIX = ".other"  #: of other bytes under the same UID
PROBE = b"written by `triage check`, and removed again"
ABANDONED_S = 3600
#: Bytes per comparison.
COMPARED = 1 << 20


class FileSpool:
    """A spool on a local or shared file system that has hard links and fsync."""

    def __init__(self, folder: Path, beside: Path | None = None) -> None:
        """Open the spool in a folder; the free space of `beside` counts too."""
        self._root = folder / SPOOL
        self._quarantine = folder / "quarantine"
        self._disks = (self._root,) if beside is None else (self._root, beside)
        self._incoming = StagingFolder(self._root)
        self._quarantine.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        self._sync_folder = BatchedCall(_fsync_folders)

    def open_staging_file(self) -> "LocalStagedFile":
        """Open a new staging file."""
        return self._incoming.open_staging_file()

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Store an instance durably; storing the same bytes again changes nothing."""
        return self.keep_file(identity, self._incoming.stage(part10))

    def keep_file(self, identity: Identity, staged: StagedFile) -> Receipt:
        """Store a staging file's instance durably, and remove the staging file."""
        name, outcome = instance_name(identity), ReceiptOutcome.NEW
        folder = (self._root / name).parent
        with translate_disk_full(), _translate_missing_folder(), staged:
            if not folder.is_dir():
                folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
                fsync_folder(self._root)
            mark_reached(CrashPoint.DURABLE)
            if not _place(staged.path, self._root / name):
                outcome = ReceiptOutcome.DUPLICATE
                if not same_data_set(self._root / name, staged.path):
                    name, outcome = conflict_name(identity, staged.digest), ReceiptOutcome.CONFLICT
                    _place(staged.path, self._root / name)
            mark_reached(CrashPoint.NAMED)
            self._sync_folder(folder)
        return Receipt(identity, name, staged.digest, outcome)

    def quarantine(self, part10: bytes) -> str:
        """Quarantine refused bytes. Returns their path relative to the state folder."""
        return self.quarantine_file(self._incoming.stage(part10))

    def quarantine_file(self, staged: StagedFile) -> str:
        """Quarantine a staging file, and remove the staging file."""
        path = self._quarantine / f"{staged.digest}.bin"
        with translate_disk_full(), staged:
            _place(staged.path, path)
            self._sync_folder(path.parent)
        return str(path.relative_to(self._quarantine.parent))

    def read(self, path: str) -> bytes:
        """Return the Part 10 file at a receipt's path."""
        return (self._root / path).read_bytes()

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a stored file; raise DamagedInstance.

        A file under a wrong name is also stored under the right one. A file may have a gigabyte,
        so its digest is computed without reading it into memory.
        """
        identity = read_file_identity(self._root / path)
        if path != instance_name(identity):
            return self.keep(identity, self.read(path))
        with (self._root / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._sync_folder((self._root / path).parent)  # its writer may have been killed
        return Receipt(identity, path, digest, ReceiptOutcome.DUPLICATE)

    def discard(self, path: str) -> None:
        """Remove a file that is stored under a wrong name."""
        (self._root / path).unlink()

    def name_first_copy(self, path: str) -> str:
        """Return the path of the first copy of an instance, given the path of any copy."""
        return first_copy_name(path)

    def list_paths(self) -> Iterator[str]:
        """Yield the path of every stored instance, without conflicting copies."""
        for path in self._root.glob(f"*/*{INSTANCE_SUFFIX}"):
            yield str(path.relative_to(self._root))

    def measure_free_bytes(self) -> int:
        """Return the free bytes of the spool's file system."""
        return min(map(free_bytes_of, self._disks))

    def measure_free_bytes_where_kept(self) -> int | None:
        """Return the free bytes of the file system with the stored files."""
        return free_bytes_of(self._root)

    def list_files(self, study_uid: str) -> Sequence[StoredFile]:
        """Return every file of a study, conflicting copies included."""
        return _list_files(self._root / study_uid, self._root)

    def remove(self, paths: Collection[str]) -> None:
        """Remove stored files durably; missing ones are ignored."""
        _remove([self._root / path for path in paths])
        for folder in {(self._root / path).parent for path in paths}:
            with suppress(OSError):  # not empty, or removed already
                folder.rmdir()

    def list_quarantined(self) -> Sequence[StoredFile]:
        """Return every quarantined file."""
        return _list_files(self._quarantine, self._quarantine.parent)

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; missing ones are ignored."""
        _remove([self._quarantine.parent / path for path in paths])

    def sweep(self) -> None:
        """Remove staging files older than an hour, left by a crash and never acknowledged."""
        self._incoming.sweep()

    def probe(self) -> None:
        """Write, read and remove a probe file; raise SpoolFull or ConfigurationError.

        Some network file systems lack hard links that never overwrite.
        """
        again = self._incoming.folder / uuid4().hex
        try:
            with translate_disk_full(), self._incoming.stage(PROBE) as probe:
                is_new, is_new_again = _place(probe.path, again), _place(probe.path, again)
                content = again.read_bytes()
            fsync_folder(self._incoming.folder)
        except OSError as error:
            raise ConfigurationError(
                f"the spool in {self._root.parent} cannot be used: it needs a file system with "
                f"hard links, fsync and free space ({error.strerror})"
            ) from None
        finally:
            with suppress(OSError):
                again.unlink(missing_ok=True)
        if content != PROBE or not is_new or is_new_again:
            raise ConfigurationError(
                f"the file system of {self._root.parent} is not reliable: a hard link replaced an "
                "existing file, or a file was not read back as written. Use another file system"
            )


class StagingFolder:
    """The folder of a spool for staging files."""

    def __init__(self, root: Path) -> None:
        self.folder = root / INCOMING
        for folder in (root, self.folder):
            folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)

    def open_staging_file(self) -> "LocalStagedFile":
        """Open a new staging file."""
        with translate_disk_full():
            return LocalStagedFile(self.folder / uuid4().hex)

    def stage(self, content: bytes) -> "LocalStagedFile":
        """Write bytes to a new staging file. Returns it closed."""
        staged = self.open_staging_file()
        try:
            staged.write(content)
            staged.close()
        except BaseException:  # no staging file remains, whatever the error
            staged.discard()
            raise
        return staged

    def sweep(self) -> None:
        """Remove staging files older than an hour; another process may do so too."""
        for staged in self.folder.iterdir():
            with suppress(FileNotFoundError):
                if staged.stat().st_mtime < datetime.now(UTC).timestamp() - ABANDONED_S:
                    staged.unlink()


class LocalStagedFile:
    """A staging file on the local disk (`ports.StagedFile`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        self._is_discarded = False
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, part: bytes | memoryview) -> None:
        """Append some bytes."""
        self._digest.update(part)
        assert self._descriptor is not None  # noqa: S101 - a closed file is never written
        rest = memoryview(part)
        with translate_disk_full():
            while rest:  # os.write may write only a part
                rest = rest[os.write(self._descriptor, rest) :]

    def close(self) -> None:
        """Make the file's content durable."""
        assert self._descriptor is not None  # noqa: S101 - it is closed only once
        mark_reached(CrashPoint.WRITTEN)
        with translate_disk_full():
            os.fsync(self._descriptor)
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes written, in hexadecimal."""
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the file if it still exists."""
        if self._is_discarded:
            return
        with suppress(OSError):  # its content is not needed any more
            self._close_descriptor()
        self.path.unlink(missing_ok=True)
        self._is_discarded = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def instance_name(identity: Identity) -> str:
    """Return the path of an instance's first copy, relative to the spool's root."""
    return f"{identity.study_uid}/{identity.sop_instance_uid}{INSTANCE_SUFFIX}"


def conflict_name(identity: Identity, digest: str) -> str:
    """Return the path of a conflicting copy: other bytes under the same UID."""
    return f"{identity.study_uid}/{identity.sop_instance_uid}.{digest[:16]}{CONFLICT_SUFFIX}"


def first_copy_name(path: str) -> str:
    """Return the path of the first copy of an instance, given the path of any copy."""
    if path.endswith(CONFLICT_SUFFIX):
        return path.removesuffix(CONFLICT_SUFFIX).rpartition(".")[0] + INSTANCE_SUFFIX
    return path


def free_bytes_of(folder: Path) -> int:
    """Return the bytes that this user can still write to a folder's file system."""
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize


def _place(staged: Path, path: Path) -> bool:
    """Link a durable staging file to its final path. Returns False if the path exists."""
    try:
        os.link(staged, path)
    except FileExistsError:  # sent before, or by another association at the same time
        return False
    return True


def same_data_set(one: Path, other: Path) -> bool:
    """Return whether two Part 10 files are equal apart from their file meta information."""
    with one.open("rb") as first, other.open("rb") as second:
        for file in (first, second):
            file.seek(data_set_start(file.read(META_HEAD)))
        while (part := first.read(COMPARED)) == second.read(COMPARED):
            if not part:
                return True
    return False


def _list_files(folder: Path, root: Path) -> list[StoredFile]:
    """Return the files directly in a folder, with paths relative to `root`.

    Files or the folder itself may be removed meanwhile: the folder exists only while it has files.
    """
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            status = path.stat()
            name = str(path.relative_to(root))
            found.append(StoredFile(name, status.st_size, status.st_mtime))
    return found


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    _fsync_folders([path.parent for path in paths])


def _fsync_folders(folders: Sequence[Path]) -> None:
    for folder in set(folders):
        with suppress(
            FileNotFoundError
        ):  # removed with its files: see `instances.find_latest_revision`
            fsync_folder(folder)


def fsync_folder(folder: Path) -> None:
    """Make the file names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translate_missing_folder() -> Iterator[None]:
    """Raise StudyBeingRemoved if the study's folder is removed during a write."""
    try:
        yield
    except FileNotFoundError:
        raise StudyBeingRemoved(
            "older images of this study are being removed: send the instance again"
        ) from None


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise SpoolFull for system errors that mean a full disk or an exceeded quota."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SpoolFull("no space left in the spool: free disk space") from error
        raise
