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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from triage.domain.errors import SpoolFull
from triage.domain.instance import Identity, Outcome, Receipt
from triage.imaging.header import data_set_of

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OWNER_ONLY = 0o700
INCOMING = "incoming"
ABANDONED_S = 3600


class FileSpool:
    """A spool on a local or shared file system that has hard links and fsync."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "spool"
        self._quarantine = state_dir / "quarantine"
        self._incoming = self._root / INCOMING
        for folder in (self._root, self._incoming, self._quarantine):
            folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably; the same bytes twice change nothing."""
        digest = hashlib.sha256(part10).hexdigest()
        folder = self._root / identity.study_uid
        name = identity.sop_instance_uid
        with _room():
            if not folder.is_dir():
                folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
                _fsync_folder(self._root)
            path, outcome = folder / f"{name}.dcm", Outcome.NEW
            if not self._place(part10, path):
                outcome = Outcome.DUPLICATE
                if data_set_of(path.read_bytes()) != data_set_of(part10):
                    path, outcome = folder / f"{name}.{digest[:16]}.other", Outcome.CONFLICT
                    self._place(part10, path)
            _fsync_folder(folder)
        return Receipt(identity, str(path.relative_to(self._root)), digest, outcome)

    def quarantine(self, part10: bytes) -> str:
        """Keep refused bytes apart; return their path relative to the state folder."""
        path = self._quarantine / f"{hashlib.sha256(part10).hexdigest()}.bin"
        with _room():
            self._place(part10, path)
            _fsync_folder(path.parent)
        return str(path.relative_to(self._quarantine.parent))

    def read(self, path: str) -> bytes:
        """Return the file at a receipt's path."""
        return (self._root / path).read_bytes()

    def discard(self, path: str) -> None:
        """Remove a file that lies in the spool under a name that is not its own."""
        (self._root / path).unlink()

    def paths(self) -> Iterator[str]:
        """Yield the path of every kept instance."""
        for path in self._root.glob("*/*.dcm"):
            yield str(path.relative_to(self._root))

    def sweep(self) -> None:
        """Remove what a crash left half written an hour ago or earlier: nobody was promised it."""
        for aside in self._incoming.iterdir():
            if aside.stat().st_mtime < datetime.now(UTC).timestamp() - ABANDONED_S:
                aside.unlink(missing_ok=True)

    def _place(self, content: bytes, path: Path) -> bool:
        """Write `content` durably as `path`; return False if that name is taken."""
        if path.exists():
            return False
        aside = self._incoming / uuid4().hex
        try:
            _write_durably(content, aside)
            os.link(aside, path)
        except FileExistsError:  # another association was faster
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True


def _write_durably(content: bytes, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SpoolFull("no room left in the spool: free disk space") from error
        raise
