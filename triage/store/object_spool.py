"""The spool in an S3-compatible object store, for receivers and workers on several machines.

    PREFIX/spool/<Study UID>/<SOP Instance UID>.dcm            the first copy
    PREFIX/spool/<Study UID>/<SOP Instance UID>.<digest>.other  other bytes under the same UID
    PREFIX/quarantine/<digest>.bin                              refused bytes
    state folder: spool/incoming/                               being written, not yet promised

Rule: what arrives is written aside on the local disk as with files, and nobody is told that it is
kept before the object store has taken it whole, compared with its SHA-256, under a key that was
free. What lies aside after a crash was promised to nobody, so the local disk may be lost.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.fast_header import read_identity_of
from triage.domain.errors import ConfigurationError, OutOfResources, SpoolUnavailable
from triage.domain.instance import Identity, Receipt, ReceiptOutcome
from triage.domain.retention import StoredFile
from triage.ports.spool import StagedFile
from triage.store.spool import (
    ABANDONED_S,
    INSTANCE_SUFFIX,
    LocalStagedFile,
    StagingFolder,
    conflict_name,
    free_bytes_of,
    instance_name,
    same_data_set,
    translate_disk_full,
)

if TYPE_CHECKING:  # its client is not installed everywhere
    from triage.store.bucket import Bucket

log = structlog.get_logger(__name__)

ROOT = "spool/"
QUARANTINE = "quarantine/"


class ObjectSpool:
    """See `ports.Spool`."""

    def __init__(self, bucket: "Bucket", state_dir: Path) -> None:
        self._bucket = bucket
        self._incoming = StagingFolder(state_dir / "spool")
        self._trying = threading.Lock()
        self._is_tried = False

    def aside(self) -> LocalStagedFile:
        """Open a new file for what arrives."""
        return self._incoming.aside()

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably; the same bytes twice change nothing."""
        return self.keep_file(identity, self._incoming.written(part10))

    def keep_file(self, identity: Identity, aside: StagedFile) -> Receipt:
        """Keep the instance that was written aside durably; it is gone from there afterwards."""
        name, outcome = instance_name(identity), ReceiptOutcome.NEW
        with translate_disk_full(), aside:
            self._be_sure()
            mark_reached(CrashPoint.DURABLE)
            if not self._bucket.put(ROOT + name, aside.path, aside.digest):
                outcome = ReceiptOutcome.DUPLICATE
                if not self._holds(name, aside):
                    name, outcome = conflict_name(identity, aside.digest), ReceiptOutcome.CONFLICT
                    self._bucket.put(ROOT + name, aside.path, aside.digest)
            mark_reached(CrashPoint.NAMED)
        return Receipt(identity, name, aside.digest, outcome)

    def quarantine(self, part10: bytes) -> str:
        """Keep refused bytes apart; return their key, without the prefix."""
        return self.quarantine_file(self._incoming.written(part10))

    def quarantine_file(self, aside: StagedFile) -> str:
        """Keep refused bytes that were written aside apart; they are gone from there afterwards."""
        key = f"{QUARANTINE}{aside.digest}.bin"
        with translate_disk_full(), aside:
            self._be_sure()
            self._bucket.put(key, aside.path, aside.digest)
        return key

    def read(self, path: str) -> bytes:
        """Return the file at a receipt's path."""
        return self._bucket.content(ROOT + path)

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a file that lies in the spool; raise DamagedInstance.

        One under another name than its own is kept under that too. It may have a gigabyte.
        """
        with self._fetched(path) as aside:
            identity = read_identity_of(aside.path)
            if path != instance_name(identity):
                return self.keep_file(identity, aside)
            return Receipt(identity, path, aside.digest, ReceiptOutcome.DUPLICATE)

    def discard(self, path: str) -> None:
        """Remove a file that lies in the spool under a name that is not its own."""
        self._bucket.remove(ROOT + path)

    def paths(self) -> Iterator[str]:
        """Yield the path of every kept instance."""
        for key in self._bucket.keys(ROOT):
            if key.endswith(INSTANCE_SUFFIX):
                yield key.removeprefix(ROOT)

    def free_bytes(self) -> int:
        """Return how much the disk takes that instances are written to first; else SpoolUnavailable.

        An object store says nothing of its room. One that was away is asked whether it is back.
        """
        if self._bucket.is_away:
            self._bucket.ask()
        return free_bytes_of(self._incoming.folder)

    def free_where_kept(self) -> int | None:
        """Return None: an object store says nothing of its room."""
        return None

    def lying(self, study_uid: str) -> Sequence[StoredFile]:
        """Return all that is kept of a study, conflicting copies too."""
        found = self._bucket.objects(f"{ROOT}{study_uid}/")
        return [replace(each, path=each.path.removeprefix(ROOT)) for each in found]

    def remove(self, paths: Collection[str]) -> None:
        """Remove kept files; what is gone already is no error."""
        for path in paths:
            self._bucket.remove(ROOT + path)

    def quarantined(self) -> Sequence[StoredFile]:
        """Return all that was quarantined."""
        return list(self._bucket.objects(QUARANTINE))

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; what is gone already is no error."""
        for path in paths:
            self._bucket.remove(path)

    def sweep(self) -> None:
        """Remove what a crash left half written an hour ago or earlier, here and there."""
        self._incoming.sweep()
        try:
            self._bucket.abandon(ABANDONED_S)
        except (OutOfResources, OSError) as error:  # a rule of the bucket does so too
            log.warning("unfinished uploads not swept", why=str(error))

    def try_out(self) -> None:
        """Write, read and remove a probe; raise ConfigurationError or SpoolUnavailable."""
        self._bucket.try_out()

    def _be_sure(self) -> None:
        """Before the first instance is put there, see that the store does as the rule says."""
        with self._trying:
            if self._is_tried:
                return
            try:
                self._bucket.try_out()
            except ConfigurationError as error:  # the sender keeps its instances until it is mended
                raise SpoolUnavailable(str(error)) from error
            self._is_tried = True

    def _holds(self, name: str, aside: StagedFile) -> bool:
        """Tell whether the data set of what lies there is the same."""
        try:
            if self._bucket.digest(ROOT + name) == aside.digest:
                return True
            with self._fetched(name) as there:
                return same_data_set(there.path, aside.path)
        except FileNotFoundError:
            raise SpoolUnavailable(
                "the first copy was removed at this moment: send it again"
            ) from None

    @contextmanager
    def _fetched(self, path: str) -> Iterator[LocalStagedFile]:
        """Yield a copy of a file on the local disk."""
        with self.aside() as aside:
            self._bucket.read(ROOT + path, aside.write)
            aside.close()
            yield aside
