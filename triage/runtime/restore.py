"""Restores a backup into an empty state folder: `triage restore`.

The archive is extracted into a subfolder of the state folder and verified there. Only then its
parts are moved to their places, the ledger last. While that subfolder exists, no command works on
the state folder (`paths.refuse_interrupted_restore`), so a restore that was cut short cannot look
whole.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.pipeline.backup_manifest import BackupManifest
from triage.runtime.backup_settings import (
    IN_REPORTS,
    UNKNOWN_BUNDLE,
    describe_bundle,
    find_differences,
    list_named_files,
    name_ledger,
    name_spool,
)
from triage.runtime.paths import CONFIG, RESTORED, RESTORING
from triage.store.backup_archive import MANIFEST, Advance, extract_archive
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.spool import fsync_folder

LOST_AND_FOUND = "lost+found"  #: folder at the root of a file system


@dataclass(frozen=True)
class RestoredBackup:
    """The content of a restored backup, and how this site differs from the one it shows."""

    manifest: BackupManifest
    differences: list[str]  #: sections and files of the settings that differ from the backup's
    put_aside: list[Path]  #: files of the backup that differ from those that the settings name
    has_other_bundle: bool  #: whether the settings name another model than the backup's

    @property
    def changes_reports(self) -> bool:
        """Whether reports that are made again may get other UIDs than before."""
        return self.has_other_bundle or bool(IN_REPORTS & {*self.differences})


def restore_backup(settings: Settings, path: Path, advance: Advance) -> RestoredBackup:
    """Restore a backup into the empty state folder of these settings.

    Raises ConfigurationError and CommandFailed; then the state folder is empty again.
    """
    with _staging_folder(settings.state_dir) as staging:
        manifest = extract_archive(path, staging, advance)
        _check_places(settings, manifest)
        _migrate(SqlLedger.path_in(staging))
        put_aside = _put_config_aside(settings, staging)
        os.sync()  # everything is durable before the first part gets its place
        _move(staging, settings.state_dir)
    bundle = describe_bundle(settings)
    has_other_bundle = manifest.bundle not in {bundle, UNKNOWN_BUNDLE}
    differences = find_differences(manifest.settings, settings)
    return RestoredBackup(manifest, differences, put_aside, has_other_bundle)


@contextmanager
def _staging_folder(state_dir: Path) -> Iterator[Path]:
    """Yield a new folder in the state folder; remove it at the end, also after an error."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = {path.name for path in state_dir.iterdir()} - {LOST_AND_FOUND}
        if others:
            raise ConfigurationError(
                f"state_dir {state_dir} is not empty ({', '.join(sorted(others)[:3])} ...): stop "
                "the worker and move its content away, or set another state_dir"
            )
        (state_dir / RESTORING).mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"state_dir {state_dir}: {error.strerror}") from None
    try:
        yield state_dir / RESTORING
    finally:
        shutil.rmtree(state_dir / RESTORING)
        fsync_folder(state_dir)


def _check_places(settings: Settings, manifest: BackupManifest) -> None:
    """Raise ConfigurationError if ledger or spool of the backup were elsewhere."""
    for what, before, now in (
        ("ledger", manifest.ledger_on, name_ledger(settings)),
        ("spool", manifest.spool_in, name_spool(settings)),
    ):
        if before != now:
            raise ConfigurationError(
                f"the backup was made with the {what} on {before}, and the settings have it on "
                f"{now}: restore with the settings of the site that was backed up"
            )


def _migrate(ledger: Path) -> None:
    """Bring the restored ledger to this release; raise ConfigurationError if it is newer."""
    if ledger.is_file():
        Database(f"sqlite:///{ledger}").close()


def _put_config_aside(settings: Settings, staging: Path) -> list[Path]:
    """Keep those files of the settings that differ from the present ones; return their places."""
    named, kept = list_named_files(settings), []
    for path in sorted((staging / CONFIG).glob("*")):
        present = named.get(path.name)
        if present is None or _digest(present) != _digest(path):
            (staging / RESTORED).mkdir(mode=0o700, exist_ok=True)
            path.rename(staging / RESTORED / path.name)
            kept.append(settings.state_dir / RESTORED / path.name)
    shutil.rmtree(staging / CONFIG, ignore_errors=True)
    (staging / MANIFEST).unlink()
    return kept


def _move(staging: Path, state_dir: Path) -> None:
    """Move every part to its place, the ledger last."""
    ledger = SqlLedger.path_in(staging).name
    for path in sorted(staging.iterdir(), key=lambda part: (part.name == ledger, part.name)):
        path.rename(state_dir / path.name)
    fsync_folder(state_dir)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
