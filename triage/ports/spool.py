"""Where instances are kept."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from triage.domain.instance import Identity, Receipt
from triage.domain.retention import StoredFile


class StagedFile(Protocol):
    """A Part 10 file that is being written on a disk beside the spool, and not promised yet."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal."""

    def write(self, part: bytes | memoryview) -> None:
        """Append some bytes; raise SpoolFull where there is no room."""

    def close(self) -> None:
        """Make what was written durable; raise SpoolFull where there is no room."""

    def discard(self) -> None:
        """Remove it, if it was not kept."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """Discard it."""


class Spool(Protocol):
    """The truth about instances: what it has kept survives a power cut.

    Every call may raise SpoolUnavailable where the spool is no file system. A file that is not there, or
    cannot be read, is an OSError.
    """

    def keep(self, identity: Identity, part10: bytes) -> Receipt:
        """Keep an instance durably; raise SpoolFull where there is no room."""

    def quarantine(self, part10: bytes) -> str:
        """Keep bytes that are no usable instance, apart; return their path."""

    def open_staging_file(self) -> StagedFile:
        """Open a new place for what arrives."""

    def keep_file(self, identity: Identity, aside: StagedFile) -> Receipt:
        """Keep what was written aside as `keep` does; it is gone from there afterwards."""

    def quarantine_file(self, aside: StagedFile) -> str:
        """Keep what was written aside as `quarantine` does."""

    def read(self, path: str) -> bytes:
        """Return the Part 10 file at a receipt's path."""

    def examine(self, path: str) -> Receipt:
        """Return the receipt of a file that lies in the spool; raise DamagedInstance.

        One under another name than its own is kept under that too.
        """

    def discard(self, path: str) -> None:
        """Remove a file that lies in the spool under a name that is not its own."""

    def list_paths(self) -> Iterator[str]:
        """Yield the path of every kept instance; conflicting copies are left out."""

    def measure_free_bytes(self) -> int:
        """Return how many more bytes its file system takes from us.

        Of a spool elsewhere, that where things are written first; raise SpoolUnavailable while it is away.
        """

    def measure_free_bytes_where_kept(self) -> int | None:
        """Return how many more bytes the disk takes that kept files lie on; None: it does not say.

        Removing kept files makes this more, and `measure_free_bytes` not always.
        """

    def sweep(self) -> None:
        """Remove what a crash left half written an hour ago or earlier: nobody was promised it."""

    def probe(self) -> None:
        """Write, read and remove a probe; raise ConfigurationError or OutOfResources with what fails."""

    def list_files(self, study_uid: str) -> Sequence[StoredFile]:
        """Return all that is kept of a study, conflicting copies too."""

    def remove(self, paths: Collection[str]) -> None:
        """Remove kept files durably; what is gone already is no error."""

    def list_quarantined(self) -> Sequence[StoredFile]:
        """Return all that was quarantined."""

    def remove_quarantined(self, paths: Collection[str]) -> None:
        """Remove quarantined files; what is gone already is no error."""
