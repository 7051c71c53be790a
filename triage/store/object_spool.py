"""The spool in an S3-compatible object store, for hosts without a shared file system.

    PREFIX/spool/<Study UID>/<SOP Instance UID>.dcm            the first copy
    PREFIX/spool/<Study UID>/<SOP Instance UID>.<digest>.other  other bytes under the same UID
    PREFIX/quarantine/<digest>.bin                              refused bytes
    state folder: spool/incoming/                               staging files, not acknowledged

An instance is first written to a staging file on the local disk, as in `spool`. It is acknowledged
only after the object store has accepted it whole, compared it with its SHA-256, and stored it under
a new key. Staging files left by a crash were never acknowledged, so the local disk may be lost.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.fast_header import read_file_identity
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
    first_copy_name,
    free_bytes_of,
    instance_name,
    same_data_set,
    translate_disk_full,
)

if TYPE_CHECKING:  # the S3 client is an optional dependency
    from triage.store.bucket import Bucket

log = structlog.get_logger(__name__)

ROOT = "spool/"
QUARANTINE = "quarantine/"


class ObjectSpool:
    """A spool in a bucket, with staging files on the local disk (`ports.Spool`)."""

    def __init__(self, bucket: "Bucket", state_dir: Path) -> None:
        self._bucket = bucket
        self._incoming = StagingFolder(state_dir / "spool")
        self._probing = threading.Lock()
        self._is_probed = False

    def open_staging_file(self) -> LocalStagedFile:
        """Open a new staging file."""
        return self._incoming.open_staging_file()

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Store an instance durably; storing the same bytes again changes nothing."""
        return self.keep_file(identity, self._incoming.stage(part10))

    def keep_file(self, identity: Identity, staged: StagedFile) -> Receipt:
        """Store a staging file's instance durably, and remove the staging file."""
        name, outcome = instance_name(identity), ReceiptOutcome.NEW
        with translate_disk_full(), staged:
            self._probe_once()
            mark_reached(CrashPoint.DURABLE)
            if not self._bucket.put(ROOT + name, staged.path, staged.digest):
                outcome = ReceiptOutcome.DUPLICATE
                if not self._holds(name, staged):
                    name, outcome = conflict_name(identity, staged.digest), ReceiptOutcome.CONFLICT
                    self._bucket.put(ROOT + name, staged.path, staged.digest)
            mark_reached(CrashPoint.NAMED)
        return Receipt(identity, name, staged.digest, outcome)

    def quarantine(self, part10: bytes) -> str:
        """Quarantine refused bytes. Returns their key, without the prefix."""
        return self.quarantine_file(self._incoming.stage(part10))

    def quarantine_file(self, staged: StagedFile) -> str:
        """Quarantine a staging file, and remove the staging file."""
        key = f"{QUARANTINE}{staged.digest}.bin"
        with translate_disk_full(), staged:
            self._probe_once()
            self._bucket.put(key, staged.path, staged.digest)
        return key

    def read(self, path: str) -> bytes:
        """Return the Part 10 file at a receipt's path."""
        return self._bucket.read_bytes(ROOT + path)

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a stored file; raise DamagedInstance.

        A file under a wrong name is also stored under the right one. A file may have a gigabyte,
        so it is copied to the local disk instead of into memory.
        """
        with self._download(path) as staged:
            identity = read_file_identity(staged.path)
            if path != instance_name(identity):
                return self.keep_file(identity, staged)
            return Receipt(identity, path, staged.digest, ReceiptOutcome.DUPLICATE)

    def discard(self, path: str) -> None:
        """Remove a file that is stored under a wrong name."""
        self._bucket.remove(ROOT + path)

    def name_first_copy(self, path: str) -> str:
        """Return the path of the first copy of an instance, given the path of any copy."""
        return first_copy_name(path)

    def list_paths(self) -> Iterator[str]:
        """Yield the path of every stored instance, without conflicting copies."""
        for key in self._bucket.list_keys(ROOT):
            if key.endswith(INSTANCE_SUFFIX):
                yield key.removeprefix(ROOT)

    def measure_free_bytes(self) -> int:
        """Return the free bytes of the staging disk; raise SpoolUnavailable.

        An object store does not report its free space. If its last request had no response, a
        request is sent to find out whether it is back.
        """
        if self._bucket.is_away:
            self._bucket.check_reachable()
        return free_bytes_of(self._incoming.folder)

    def measure_free_bytes_where_kept(self) -> int | None:
        """Return None: an object store does not report its free space."""
        return None

    def list_files(self, study_uid: str) -> Sequence[StoredFile]:
        """Return every file of a study, conflicting copies included."""
        found = self._bucket.list_objects(f"{ROOT}{study_uid}/")
        return [replace(stored, path=stored.path.removeprefix(ROOT)) for stored in found]

    def remove(self, paths: Collection[str]) -> None:
        """Remove stored files; missing ones are ignored."""
        for path in paths:
            self._bucket.remove(ROOT + path)

    def list_quarantined(self) -> Sequence[StoredFile]:
        """Return every quarantined file."""
        return list(self._bucket.list_objects(QUARANTINE))

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; missing ones are ignored."""
        for path in paths:
            self._bucket.remove(path)

    def sweep(self) -> None:
        """Remove staging files and unfinished uploads older than an hour."""
        self._incoming.sweep()
        try:
            self._bucket.abort_uploads(ABANDONED_S)
        except (OutOfResources, OSError) as error:  # a lifecycle rule of the bucket can do the same
            log.warning("unfinished uploads could not be aborted", why=str(error))

    def probe(self) -> None:
        """Write, read and remove a probe object; raise ConfigurationError or SpoolUnavailable."""
        self._bucket.probe()

    def _probe_once(self) -> None:
        """Probe the object store before the first write."""
        with self._probing:
            if self._is_probed:
                return
            try:
                self._bucket.probe()
            except ConfigurationError as error:  # senders keep their instances
                raise SpoolUnavailable(str(error)) from error
            self._is_probed = True

    def _holds(self, name: str, staged: StagedFile) -> bool:
        """Return whether the stored object has the same data set as a staging file."""
        try:
            if self._bucket.read_digest(ROOT + name) == staged.digest:
                return True
            with self._download(name) as stored:
                return same_data_set(stored.path, staged.path)
        except FileNotFoundError:
            raise SpoolUnavailable(
                "the first copy was removed at the same time: send the instance again"
            ) from None

    @contextmanager
    def _download(self, path: str) -> Iterator[LocalStagedFile]:
        """Yield a copy of a stored file on the local disk, removed afterwards."""
        with self.open_staging_file() as staged:
            self._bucket.read(ROOT + path, staged.write)
            staged.close()
            yield staged
