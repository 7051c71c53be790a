"""List, open, move and delete files of a folder that other programs write to.

No symbolic link is followed, neither to a file nor on the path to it. Otherwise a user with write
access to the folder could make this process read, move or delete files elsewhere. Every access is
therefore relative to a directory descriptor, from the folder downwards.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path, PurePath
from typing import Self

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK, because a pipe in place of a file must not block the scan.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
REASON_SUFFIX = ".why.txt"  #: of the text that gives the reason for a refused file
HIDDEN_PREFIX = "."  #: of the names that copying programs give to partial files


class FileReplaced(Exception):
    """Another file has taken the place of a file."""


@dataclass(frozen=True)
class FileSnapshot:
    """The attributes that show whether a file has changed.

    Two snapshots are equal if size and time are: some network shares give a file a new inode number
    between two scans. `is_same_file` also compares device and inode, shortly after the file was
    read.
    """

    size: int
    modified_ns: int
    #: device and inode of a file that was open; None if its content was not read
    inode: tuple[int, int] | None = field(default=None, compare=False)

    def is_same_file(self, other: Self) -> bool:
        """Return whether the other snapshot is of the same file, unchanged."""
        return self == other and (None in {self.inode, other.inode} or self.inode == other.inode)


class FolderFiles:
    """A folder. Files in its subfolders `excluded` are not listed."""

    def __init__(self, root: Path, excluded: Sequence[str]) -> None:
        self._root = root
        self._excluded = set(excluded)

    def list_files(self) -> tuple[dict[PurePath, FileSnapshot], int]:
        """Return every file below the folder, and how many subfolders could not be read.

        Raises:
            OSError: the folder itself could not be read.
        """
        found: dict[PurePath, FileSnapshot] = {}
        unread = 0
        subfolders = [PurePath()]
        while subfolders:
            folder = subfolders.pop()
            try:
                subfolders += self._list_folder(folder, found)
            except OSError:
                if folder == PurePath():
                    raise
                unread += 1
        return found, unread

    def _list_folder(self, folder: PurePath, found: dict[PurePath, FileSnapshot]) -> list[PurePath]:
        """Add the files of a folder to `found`; return its subfolders."""
        subfolders = []
        with self._open_folder(folder.parts) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith(HIDDEN_PREFIX):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if path.parts[0] not in self._excluded:
                        subfolders.append(path)
                elif entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # it was removed meanwhile
                        state = entry.stat(follow_symlinks=False)
                        found[path] = FileSnapshot(state.st_size, state.st_mtime_ns)
        return subfolders

    @contextmanager
    def open_file(self, path: PurePath) -> Iterator[int]:
        """Yield the descriptor of a file, for reading."""
        with self._open_folder(path.parent.parts) as folder:
            descriptor = os.open(path.name, FILE_FLAGS, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("no longer a regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def require_same(self, path: PurePath, snapshot: FileSnapshot) -> None:
        """Raise FileReplaced if a file is not the one of the snapshot any more."""
        with self._open_folder(path.parent.parts) as folder:
            _require_same(path.name, folder, snapshot)

    def delete(self, path: PurePath, snapshot: FileSnapshot) -> None:
        """Delete a file that has not changed; raise FileReplaced if it has."""
        with self._open_folder(path.parent.parts) as folder:
            _require_same(path.name, folder, snapshot)
            os.unlink(path.name, dir_fd=folder)

    def move(self, path: PurePath, snapshot: FileSnapshot, subfolder: str, why: str = "") -> None:
        """Move a file with its relative path into a subfolder; write `why` beside it, if given.

        Raises FileReplaced if the file has changed. Another file that takes its place in the
        moment of the move is moved back, under a free name.
        """
        parents = path.parent.parts
        with (
            self._open_folder(parents) as source,
            self._open_folder((subfolder, *parents), make=True) as target,
        ):
            name = _find_free_name(path.name, target, REASON_SUFFIX if why else "")
            _require_same(path.name, source, snapshot)
            os.rename(path.name, name, src_dir_fd=source, dst_dir_fd=target)
            try:
                _require_same(name, target, snapshot)
            except FileReplaced:
                back = _find_free_name(path.name, source, "")
                os.rename(name, back, src_dir_fd=target, dst_dir_fd=source)
                raise
            if why:
                self._write_text(name + REASON_SUFFIX, why, target)

    def _write_text(self, name: str, text: str, folder: int) -> None:
        """Write a text file with the read permissions of the watched folder."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            with suppress(OSError):  # some shares do not support modes
                os.fchmod(file.fileno(), self._root.stat().st_mode & 0o666)

    @contextmanager
    def _open_folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Yield the descriptor of a subfolder; with `make`, create it if it is missing."""
        descriptor = os.open(self._root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        try:
            mode = os.fstat(descriptor).st_mode & 0o777
            for part in parts:
                is_new = make and _make_folder(part, descriptor)
                below = os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
                if is_new:
                    with suppress(OSError):
                        os.fchmod(descriptor, mode)
            yield descriptor
        finally:
            os.close(descriptor)


def take_snapshot(descriptor: int) -> FileSnapshot:
    """Return the snapshot of an open file, with its device and inode."""
    return _identify(os.fstat(descriptor))


def _identify(found: os.stat_result) -> FileSnapshot:
    return FileSnapshot(found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))


def _require_same(name: str, folder: int, snapshot: FileSnapshot) -> None:
    """Raise FileReplaced if a file is not the one of the snapshot any more."""
    if not _identify(os.stat(name, dir_fd=folder, follow_symlinks=False)).is_same_file(snapshot):
        raise FileReplaced


def _make_folder(name: str, folder: int) -> bool:
    """Create a subfolder; return False if it exists."""
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _find_free_name(name: str, folder: int, suffix: str) -> str:
    """Return this name or one with a number, so that neither it nor it + `suffix` exists."""
    names = chain([name], (f"{name}.{number}" for number in count(2)))
    return next(
        free for free in names if not _exists(free, folder) and not _exists(free + suffix, folder)
    )


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
