"""The files of a watched folder that were processed and kept there, over restarts.

If the journal is lost, the files are accepted again, and the spool detects that it has them. The
journal contains hashes and no file names, because those may be names of patients.
"""

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePath

from receivers.folder.files import FileSnapshot

KEY_DIGITS = 32  #: hexadecimal digits of a key
STALE_KEYS_MAX = 1000  #: keys of removed files before the journal is rewritten


def compute_key(path: PurePath, snapshot: FileSnapshot) -> str:
    """Return the key of a file in its present state."""
    state = os.fsencode(path) + f"\0{snapshot.size}\0{snapshot.modified_ns}".encode()
    return hashlib.sha256(state).hexdigest()[:KEY_DIGITS]


class AcceptedFiles:
    """Keys of files, one in a line; a line that a crash cut off is ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: set[str] = set()
        with suppress(FileNotFoundError):
            lines = path.read_text("ascii", "replace").splitlines()
            self._keys = {line for line in lines if len(line) == KEY_DIGITS}

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Record a file."""
        self._keys.add(key)
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{key}\n")

    def prune(self, present: Collection[str]) -> None:
        """Remove the keys of files that are not `present`, if there are many."""
        kept = self._keys & set(present)
        if len(self._keys) <= 2 * len(kept) + STALE_KEYS_MAX:
            return
        new = self._path.with_suffix(".new")
        new.write_text("".join(f"{key}\n" for key in sorted(kept)), "ascii")
        new.replace(self._path)
        self._keys = kept
