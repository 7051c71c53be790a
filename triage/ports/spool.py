"""The spool: durable storage of received instances."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from triage.domain.instance import Identity, Receipt
from triage.domain.retention import StoredFile


class StagedFile(Protocol):
    """A staging file: a Part 10 file that is being written and is not acknowledged yet."""

    @property
    def path(self) -> Path:
        """The path of the file on the local disk."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the written bytes, in hexadecimal."""

    def write(self, part: bytes | memoryview) -> None:
        """Append bytes. Raises: SpoolFull."""

    def close(self) -> None:
        """Sync the written bytes to disk. Raises: SpoolFull."""

    def discard(self) -> None:
        """Remove the file unless it was kept."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """Discard the file unless it was kept."""


class Spool(Protocol):
    """The truth about instances: a kept instance survives a power cut.

    Every call may raise SpoolUnavailable if the spool is not a local file system. A file that is
    missing or unreadable raises OSError.
    """

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably. Raises: SpoolFull."""

    def quarantine(self, part10: bytes) -> str:
        """Keep bytes that are not a usable instance in quarantine; return their path."""

    def open_staging_file(self) -> StagedFile:
        """Create a staging file for an arriving instance."""

    def keep_file(self, identity: Identity, staged: StagedFile) -> Receipt:
        """Keep a staging file as `keep` does, and remove the staging file."""

    def quarantine_file(self, staged: StagedFile) -> str:
        """Keep a staging file as `quarantine` does, and remove the staging file."""

    def read(self, path: str) -> bytes:
        """Return the Part 10 file at a receipt's path."""

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a file in the spool. Raises: DamagedInstance.

        A file under a wrong name is also kept under its right name.
        """

    def discard(self, path: str) -> None:
        """Remove a file in the spool that has a wrong name."""

    def name_first_copy(self, path: str) -> str:
        """Return the path of the first copy of an instance, given the path of any copy."""

    def list_paths(self) -> Iterator[str]:
        """Yield the path of every kept instance, without conflicting copies."""

    def measure_free_bytes(self) -> int:
        """Return the free bytes of the file system that staging files are written to.

        Raises: SpoolUnavailable while a remote spool does not answer.
        """

    def measure_free_bytes_where_kept(self) -> int | None:
        """Return the free bytes of the disk with the kept files; None if it is unknown.

        Removing kept files increases this value, but not always `measure_free_bytes`.
        """

    def sweep(self) -> None:
        """Remove staging files older than an hour: their senders got no Success."""

    def probe(self) -> None:
        """Write, read and remove a probe. Raises: ConfigurationError, OutOfResources."""

    def list_files(self, study_uid: str) -> Sequence[StoredFile]:
        """Return the kept files of a study, conflicting copies included."""

    def remove(self, paths: Collection[str]) -> None:
        """Remove kept files durably; a missing file is no error."""

    def list_quarantined(self) -> Sequence[StoredFile]:
        """Return the files in quarantine."""

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; a missing file is no error."""
