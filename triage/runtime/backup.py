"""Makes a backup of a site while it runs: `triage backup`.

In the backup are the ledger on SQLite, the secret and the vectors of past cases, audit messages
that wait, the findings, and the images of every study that is not delivered: what was acknowledged
before the backup can be answered for from it. The images of delivered studies can be left out; the
PACS has them. PostgreSQL, a spool outside the state folder, and the bundle are left to backups of
their own.

Order: first the ledger, then the images. So every image that the copied ledger needs is in the
backup, or was missing from the spool before.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from triage import __version__
from triage.audit import FOLDER as AUDIT
from triage.cases.keys import FILE as SECRET
from triage.cases.keys import FINGERPRINT
from triage.config import Settings
from triage.domain.errors import CommandFailed, ConfigurationError, NotFound
from triage.domain.study import State, StudyRevision
from triage.pipeline.backup_manifest import BackupManifest, choose_studies
from triage.runtime.backup_settings import (
    describe_bundle,
    digest_settings,
    list_named_files,
    name_ledger,
    name_spool,
)
from triage.runtime.clock import SystemClock
from triage.runtime.databases import open_existing_database
from triage.runtime.paths import CASES, CONFIG, FORGETTING, TAKEN, refuse_interrupted_restore
from triage.runtime.storage import open_existing_ledger
from triage.store.backup_archive import Advance, ArchiveWriter, write_archive
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.lost_vectors import count_all_cases
from triage.store.migrations import HEAD
from triage.store.snapshot import copy_ledger
from triage.store.spool import SPOOL

#: Files and folders of the state folder that are copied as they are.
COPIED = (SECRET, FINGERPRINT, AUDIT, FORGETTING)


@dataclass(frozen=True)
class LedgerView:
    """Studies and cases of the copied ledger."""

    studies: Sequence[StudyRevision]
    cases: int
    chosen: frozenset[str]  #: Study UIDs that have their images in the backup
    paths: frozenset[str]  #: names in the archive of the images that these studies have


@dataclass(frozen=True)
class MadeBackup:
    """A finished backup."""

    manifest: BackupManifest
    absent: int  #: images of chosen studies that the spool had lost before


def make_backup(
    settings: Settings, path: Path, advance: Advance, *, all_images: bool = False
) -> MadeBackup:
    """Write a backup to a new file, and return what it contains.

    Raises ConfigurationError, NotFound, LedgerUnavailable and CommandFailed; then no file is left.
    """
    _check_site(settings)
    _check_target(settings, path)
    prefix = f"{path.name}.part-"
    try:
        _remove_leftovers(path.parent, prefix)
        with TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
            return _write(settings, path, Path(folder), advance, all_images=all_images)
    except OSError as error:
        raise CommandFailed(
            f"no backup was made at {path}: {error.strerror or error}. Make it again"
        ) from None


def measure_backup(settings: Settings) -> int:
    """Return about how many bytes a backup handles, for a progress bar."""
    kept = {".sqlite", ".f16", ".dcm"}
    return sum(
        path.stat().st_size for _, path in list_below(settings.state_dir) if path.suffix in kept
    )


def list_below(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder with its name in the archive; nothing if it is missing."""
    if folder.is_file():
        yield prefix, folder
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            yield f"{prefix}/{name}" if prefix else name, path


def _check_site(settings: Settings) -> None:
    """Raise an error if there is no ledger that this release can copy."""
    refuse_interrupted_restore(settings)
    database = open_existing_database(settings)
    if database is None:
        raise NotFound(f"there is no ledger to back up; check --config ({settings.state_dir})")
    with closing(database):
        if (revision := database.revision()) != HEAD:
            raise ConfigurationError(
                f"the ledger has revision {revision or 'none'} and this release needs {HEAD}: back "
                "up with the release that wrote it, or start the worker of this release first"
            )


def _check_target(settings: Settings, path: Path) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} exists: choose another name, or remove it first")
    if not path.resolve().parent.is_dir():
        raise ConfigurationError(f"{path.parent} is no folder: create it first")
    if path.resolve().is_relative_to(settings.state_dir.resolve()):
        raise ConfigurationError(
            f"{path} is in the state folder and would be lost with it: choose another disk"
        )


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove what an earlier backup of this name left when it was killed."""
    for path in folder.iterdir():
        if path.name.startswith(prefix):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write(
    settings: Settings, path: Path, staging: Path, advance: Advance, *, all_images: bool
) -> MadeBackup:
    made_at = SystemClock().now()
    # Before the ledger: a file that is accepted from now on is accepted again after a restore.
    if (settings.state_dir / TAKEN).is_file():
        shutil.copyfile(settings.state_dir / TAKEN, staging / TAKEN)
    if SqlLedger.path_in(settings.state_dir).is_file():
        copy_ledger(
            SqlLedger.path_in(settings.state_dir), settings.state_dir / CASES, staging, advance
        )
    view = _read_ledger(settings, staging, all_images=all_images)
    with write_archive(path, advance) as writer:
        for name, file in list_below(staging):
            writer.add(name, file)
        _add_state(writer, settings)
        for study_uid in sorted(view.chosen):
            _add_images(writer, settings.state_dir / SPOOL / study_uid, f"{SPOOL}/{study_uid}")
        manifest = _describe(settings, view, writer, made_at)
        writer.add_manifest(manifest, staging)
    return MadeBackup(manifest, len(view.paths - {*writer.files}))


def _read_ledger(settings: Settings, staging: Path, *, all_images: bool) -> LedgerView:
    copied = SqlLedger.path_in(staging)
    database = Database(f"sqlite:///{copied}", ledger=False) if copied.is_file() else None
    cases = 0 if database is None else count_all_cases(database)
    # A ledger on PostgreSQL is dumped at another time, when other studies wait: all images count.
    every = all_images or settings.ledger is not None
    if settings.ledger is not None or database is None:
        ledger = open_existing_ledger(settings)
    else:
        ledger = SqlLedger(database, SystemClock())
    with closing(ledger):
        studies = ledger.list_studies()
        chosen = choose_studies(studies, every=every) if settings.spool.url is None else {}
        paths = {path for uid, last in chosen.items() for path in ledger.list_paths(uid, last)}
    if database is not None:
        database.close()  # no log stays beside the copy
    return LedgerView(
        studies, cases, frozenset(chosen), frozenset(f"{SPOOL}/{path}" for path in paths)
    )


def _add_state(writer: ArchiveWriter, settings: Settings) -> None:
    """Add the small files of the state folder and those that the settings name."""
    for name in COPIED:
        for entry, path in list_below(settings.state_dir / name, name):
            _add_if_there(writer, entry, path)
    for name, path in list_named_files(settings).items():
        writer.add(f"{CONFIG}/{name}", path)


def _add_if_there(writer: ArchiveWriter, name: str, path: Path) -> None:
    """Add a file; an audit message may be sent, and removed, at any moment."""
    try:
        writer.add(name, path)
    except FileNotFoundError:
        return


def _add_images(writer: ArchiveWriter, folder: Path, prefix: str) -> None:
    """Add the files of a study; files that are newer than the copied ledger do no harm.

    Raises CommandFailed if retention removes the images at this moment, because the copied ledger
    has the study as not delivered.
    """
    for name, path in list_below(folder, prefix):
        try:
            writer.add(name, path)
        except FileNotFoundError:
            raise CommandFailed(
                f"images of study {folder.name} were removed while the backup was made: make it "
                "again"
            ) from None


def _describe(
    settings: Settings, view: LedgerView, writer: ArchiveWriter, made_at: float
) -> BackupManifest:
    here = {study.study_uid for study in view.studies if not study.pruned_at}
    return BackupManifest(
        made_at=made_at,
        program=__version__,
        ledger_on=name_ledger(settings),
        spool_in=name_spool(settings),
        has_case_library=settings.case_library is not None,
        settings=digest_settings(settings),
        bundle=describe_bundle(settings),
        studies={str(state): count for state, count in _count_states(view.studies).items()},
        images=sum(name.startswith(f"{SPOOL}/") for name in writer.files),
        cases=view.cases,
        without_images=len(here - view.chosen) if settings.spool.url is None else 0,
        files=writer.files,
    )


def _count_states(studies: Sequence[StudyRevision]) -> Counter[State]:
    return Counter(study.state for study in studies)
