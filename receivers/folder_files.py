"""The files of a folder that others write to, perhaps over a network.

Rule: no link is followed, neither to a file nor on the way to one: who may write to the folder must
not have us read, move or delete what lies elsewhere. So every step goes by descriptors, from the
folder down.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: A pipe that was put in a file's place must not hold us up.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
REASON_SUFFIX = (
    ".why.txt"  #: behind the name of a file, that of the text which says why it was refused
)
HIDDEN_PREFIX = "."  #: what names begin with that copying programs give to what is not whole


class FileReplaced(Exception):
    """Where a file was is another one now."""


@dataclass(frozen=True)
class FileSnapshot:
    """What tells whether a file has changed."""

    size: int
    modified_ns: int


class FolderFiles:
    """A folder; `apart` are those of its subfolders that are ours."""

    def __init__(self, root: Path, apart: Sequence[str]) -> None:
        self._root = root
        self._apart = set(apart)

    def files(self) -> tuple[dict[PurePath, FileSnapshot], int]:
        """Return every file below the folder, and how many subfolders could not be read.

        Raises OSError where the folder itself cannot.
        """
        found: dict[PurePath, FileSnapshot] = {}
        unread = 0
        inner = [PurePath()]
        while inner:
            folder = inner.pop()
            try:
                inner += self._entries(folder, found)
            except OSError:
                if folder == PurePath():
                    raise
                unread += 1
        return found, unread

    def _entries(self, folder: PurePath, found: dict[PurePath, FileSnapshot]) -> list[PurePath]:
        """Add a folder's files to those that were found; return its subfolders."""
        inner = []
        with self._opened(folder.parts) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                path = folder / entry.name
                if entry.name.startswith(HIDDEN_PREFIX):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if path.parts[0] not in self._apart:
                        inner.append(path)
                elif entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # somebody was faster
                        found[path] = _snapshot_from_stat(entry.stat(follow_symlinks=False))
        return inner

    @contextmanager
    def opened(self, path: PurePath) -> Iterator[int]:
        """Yield the descriptor of a file, for reading."""
        with self._opened(path.parent.parts) as folder:
            descriptor = os.open(path.name, FILE_FLAGS, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("not a file any more")
            yield descriptor
        finally:
            os.close(descriptor)

    def delete(self, path: PurePath, look: FileSnapshot) -> None:
        """Remove a file that is still as it was; raise Replaced where it is another one."""
        with self._opened(path.parent.parts) as folder:
            if (
                _snapshot_from_stat(os.stat(path.name, dir_fd=folder, follow_symlinks=False))
                != look
            ):
                raise FileReplaced
            os.unlink(path.name, dir_fd=folder)

    def move(self, path: PurePath, apart: str, why: str = "") -> None:
        """Move a file, with its path, to one of our subfolders; with `why` beside it, if given."""
        parents = path.parent.parts
        with (
            self._opened(parents) as source,
            self._opened((apart, *parents), make=True) as target,
        ):
            name = _find_free_name(path.name, target, REASON_SUFFIX if why else "")
            os.rename(path.name, name, src_dir_fd=source, dst_dir_fd=target)
            if why:
                self._write(name + REASON_SUFFIX, why, target)

    def _write(self, name: str, text: str, folder: int) -> None:
        """Write a text that whoever reads the folder can read."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            with suppress(OSError):  # some shares know no modes
                os.fchmod(file.fileno(), self._root.stat().st_mode & 0o666)

    @contextmanager
    def _opened(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Yield the descriptor of a subfolder; `make` it where there is none."""
        descriptor = os.open(self._root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        try:
            mode = os.fstat(descriptor).st_mode & 0o777
            for part in parts:
                made = make and _make_folder(part, descriptor)
                below = os.open(part, FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
                if made:
                    with suppress(OSError):
                        os.fchmod(descriptor, mode)
            yield descriptor
        finally:
            os.close(descriptor)


def take_snapshot(descriptor: int) -> FileSnapshot:
    """Return what tells whether an open file has changed."""
    return _snapshot_from_stat(os.fstat(descriptor))


def _snapshot_from_stat(found: os.stat_result) -> FileSnapshot:
    return FileSnapshot(found.st_size, found.st_mtime_ns)


def _make_folder(name: str, folder: int) -> bool:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _find_free_name(name: str, folder: int, beside: str) -> str:
    """Return a name that nothing has, nor with `beside` behind: this one, or with a number."""
    names = chain([name], (f"{name}.{number}" for number in count(2)))
    return next(
        each for each in names if not _exists(each, folder) and not _exists(each + beside, folder)
    )


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
