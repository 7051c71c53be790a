"""A backup as one tar archive: its files, and last a manifest with the digest of each of them.

An archive gets its name when it is whole and durable. One that was cut short has no manifest, so it
is refused, and so is one with a file that differs from its digest. The digests detect damage, not
forgery: keep backups where only the administrator can write.
"""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from uuid import uuid4

from pydantic import ValidationError

from triage.domain.errors import CommandFailed
from triage.pipeline.backup_manifest import ArchivedFile, BackupManifest
from triage.store.spool import fsync_folder

MANIFEST = "manifest.json"
COMPRESSED = (".gz", ".tgz")  #: endings of the names of compressed archives
FAST = 1  #: gzip level; images and vectors hardly get smaller with a higher one
CHUNK_BYTES = 1 << 20
OWNER_ONLY_FOLDER, OWNER_ONLY_FILE = 0o700, 0o600

#: Called with a number of bytes that are done.
Advance = Callable[[int], None]


class ArchiveWriter:
    """Adds files to an archive and records their digests."""

    def __init__(self, archive: tarfile.TarFile, advance: Advance) -> None:
        self._archive = archive
        self._advance = advance
        self.files: dict[str, ArchivedFile] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file as it is now; raise FileNotFoundError."""
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = status.st_size, status.st_mtime, 0o600
            reader = _DigestingReader(file, self._advance)
            self._archive.addfile(member, reader)
        self.files[name] = ArchivedFile(size=member.size, sha256=reader.digest.hexdigest())

    def add_manifest(self, manifest: BackupManifest, staging: Path) -> None:
        """Add the manifest; nothing may follow."""
        path = staging / MANIFEST
        path.write_text(manifest.model_dump_json(), encoding="utf-8")
        self.add(MANIFEST, path)


class _DigestingReader:
    """A file that computes its digest while it is read."""

    def __init__(self, file: IO[bytes], advance: Advance) -> None:
        self._file = file
        self._advance = advance
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        part = self._file.read(size)
        self.digest.update(part)
        self._advance(len(part))
        return part


@contextmanager
def write_archive(path: Path, advance: Advance) -> Iterator[ArchiveWriter]:
    """Yield the writer of a new archive; it gets its name at the end of a block without error."""
    partial = path.with_name(f"{path.name}.part-{uuid4().hex}")
    mode: Literal["w:gz", "w:"] = "w:gz" if path.suffix in COMPRESSED else "w:"
    options = {"compresslevel": FAST} if path.suffix in COMPRESSED else {}
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode=mode, **options) as archive:  # type: ignore[call-overload]
                yield ArchiveWriter(archive, advance)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        fsync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def extract_archive(path: Path, into: Path, advance: Advance) -> BackupManifest:
    """Write the files of an archive below a folder, and return its manifest.

    Raises CommandFailed if the archive is not whole; then the folder has some of the files.
    """
    try:
        found = _extract(path, into, advance)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise CommandFailed(f"{path} cannot be read as a backup ({why}): use another one") from None
    if MANIFEST not in found:
        raise CommandFailed(f"{path} is not whole, its manifest is missing: use another backup")
    manifest = _read_manifest(path, into / MANIFEST)
    del found[MANIFEST]
    damaged = {name for name in {*found, *manifest.files} if _differs(name, found, manifest)}
    if damaged:
        raise CommandFailed(
            f"{path} is damaged: {len(damaged)} of {len(manifest.files)} files differ from their "
            "digests or are missing. Use another backup"
        )
    return manifest


def _differs(name: str, found: dict[str, ArchivedFile], manifest: BackupManifest) -> bool:
    return found.get(name) != manifest.files.get(name)


def _read_manifest(archive: Path, path: Path) -> BackupManifest:
    try:
        return BackupManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CommandFailed(
            f"{archive} has a manifest that this release does not know "
            f"({error.error_count()} differences): restore it with the release that made it"
        ) from None


def _extract(path: Path, into: Path, advance: Advance) -> dict[str, ArchivedFile]:
    found: dict[str, ArchivedFile] = {}
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None or not is_safe_name(member.name) or member.name in found:
                raise CommandFailed(f"{path} has the entry {member.name!r}, which no backup has")
            found[member.name] = _copy(file, into / member.name, advance)
    return found


def is_safe_name(name: str) -> bool:
    """Return whether a name leads below the folder of the restore and nowhere else."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def _copy(source: IO[bytes], path: Path, advance: Advance) -> ArchivedFile:
    """Write a file for its owner alone; return its size and digest."""
    path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, OWNER_ONLY_FILE), "wb") as file:
        while part := source.read(CHUNK_BYTES):
            digest.update(part)
            size += file.write(part)
            advance(len(part))
    return ArchivedFile(size=size, sha256=digest.hexdigest())
