"""Which files of a watched folder were dealt with, over restarts.

Rule: it may be lost. Then files are taken once more, and the spool finds that it has them. It holds
no names: those of files may be names of patients.
"""

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePath

from receivers.folder_files import FileSnapshot

KEY_DIGITS = 32  #: hexadecimal digits
STALE_KEYS_MAX = 1000  #: keys of files that are gone, before they are left out


def compute_key(path: PurePath, look: FileSnapshot) -> str:
    """Return what stands for a file as it is now."""
    said = os.fsencode(path) + f"\0{look.size}\0{look.modified_ns}".encode()
    return hashlib.sha256(said).hexdigest()[:KEY_DIGITS]


class AcceptedFiles:
    """Keys of files, a line each; what a crash left of a line is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: set[str] = set()
        with suppress(FileNotFoundError):
            lines = path.read_text("ascii", "replace").splitlines()
            self._keys = {line for line in lines if len(line) == KEY_DIGITS}

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Remember a file."""
        self._keys.add(key)
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{key}\n")

    def forget_but(self, keys: Collection[str]) -> None:
        """Leave out files that are gone, when they have become many."""
        there = self._keys & set(keys)
        if len(self._keys) <= 2 * len(there) + STALE_KEYS_MAX:
            return
        new = self._path.with_suffix(".new")
        new.write_text("".join(f"{key}\n" for key in sorted(there)), "ascii")
        new.replace(self._path)
        self._keys = there
