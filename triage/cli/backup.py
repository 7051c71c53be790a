"""`triage backup` and `triage restore`: save a site while it runs, and bring it back."""

from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings
from triage.pipeline.backup_manifest import BackupManifest
from triage.runtime.backup import MadeBackup, make_backup, measure_backup
from triage.runtime.restore import RestoredBackup, restore_backup
from triage.runtime.settings import load_settings

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command(short_help="Save the state of a site to a file, while it runs.")
@file_argument
@click.option("--all-images", is_flag=True, help="Also save the images of delivered studies.")
@click.pass_obj
def backup(config: Path | None, file: Path, *, all_images: bool) -> None:
    """Save the state of a site to FILE, one archive; the worker may run meanwhile.

    It contains the ledger with reports and deliveries, past cases with their secret, findings,
    waiting audit messages, and the images of every study that is not delivered. FILE is compressed
    if its name ends in .gz or .tgz. It contains patient data: keep it where only the administrator
    can read it.

    The command names everything that needs a backup of its own: PostgreSQL (first pg_dump, then
    this command), a spool outside the state folder, settings and bundle.

    \b
    Examples:
      triage --config triage.yaml backup /backup/triage-2026-05-01.tar
      triage --config triage.yaml backup /backup/triage.tgz --all-images
    """
    settings = load_settings(config)
    with terminal.byte_progress("saving", measure_backup(settings)) as advance:
        made = make_backup(settings, file, advance, all_images=all_images)
    _print_backup(settings, file, made)


@click.command(short_help="Bring back a backup into an empty state folder.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def restore(config: Path | None, file: Path) -> None:
    """Bring back the backup FILE into the state folder of the settings, which must be empty.

    Everything is verified by its digest before anything is put in place. The command names what it
    cannot bring back. Then run `triage check` and start the worker: it finishes every study that
    the backup has as unfinished, under the same UIDs as before.

    \b
    Example:
      triage --config triage.yaml restore /backup/triage-2026-05-01.tar
    """
    settings = load_settings(config)
    with terminal.byte_progress("restoring", file.stat().st_size) as advance:
        restored = restore_backup(settings, file, advance)
    _print_restored(settings, restored)


def _print_backup(settings: Settings, file: Path, made: MadeBackup) -> None:
    manifest = made.manifest
    terminal.write(f"{file}: {file.stat().st_size / 1e6:,.1f} MB, {_describe_content(manifest)}")
    for sentence in _list_left_out(settings, manifest):
        terminal.write(f"not in it: {sentence}")
    if made.absent:
        terminal.warn(
            f"{made.absent} images of studies that are not delivered are missing from the spool, "
            "and so from the backup"
        )


def _describe_content(manifest: BackupManifest) -> str:
    studies = ", ".join(f"{count} {state}" for state, count in sorted(manifest.studies.items()))
    return f"studies: {studies or 'none'}; {manifest.images} images; {manifest.cases} past cases"


def _list_left_out(settings: Settings, manifest: BackupManifest) -> list[str]:
    """Return what a backup leaves out, and what to do about it."""
    left_out = [f"the settings and the bundle {settings.model.bundle}: keep a copy of both"]
    if manifest.ledger_on == "postgresql":
        left_out.append(
            "the ledger, which is on PostgreSQL: dump it with pg_dump before the backup"
        )
    if manifest.has_case_library:
        left_out.append("the case library, which is on PostgreSQL: dump it with pg_dump")
    if manifest.spool_in == "spool.url":
        left_out.append(f"images: they are in {settings.spool.url}, which needs its own backup")
    if manifest.without_images:
        left_out.append(
            f"images of {manifest.without_images} delivered studies: --all-images adds them"
        )
    return [*left_out, "refused files in quarantine, and studies that `triage pull` is fetching"]


def _print_restored(settings: Settings, restored: RestoredBackup) -> None:
    manifest = restored.manifest
    at = terminal.format_time(manifest.made_at)
    terminal.write(f"restored as of {at}: {_describe_content(manifest)}")
    for sentence in _list_not_restored(manifest, at):
        terminal.write(f"not restored: {sentence}")
    for path in restored.put_aside:
        terminal.warn(f"{path} is the backup's; the settings name another one, or none")
    if restored.has_other_bundle:
        terminal.warn(f"model.bundle is not the one of the backup: {manifest.bundle}")
    if restored.differences:
        terminal.warn(f"settings differ from the backup's: {', '.join(restored.differences)}")
    if restored.changes_reports:
        terminal.warn("reports of unfinished studies will therefore get other UIDs than before")
    terminal.write(f"next: run `triage check`, and start the worker on {settings.state_dir}")


def _list_not_restored(manifest: BackupManifest, at: str) -> list[str]:
    """Return what the restore did not bring back, and what to do about it."""
    missing = [f"what was received after {at}: have the PACS send it again"]
    if manifest.without_images:
        missing.append(
            f"images of {manifest.without_images} delivered studies: until the PACS sends such a "
            "study again, storage commitment on it fails, and so does a revision with late images"
        )
    if manifest.ledger_on == "postgresql" or manifest.has_case_library:
        missing.append("what is on PostgreSQL: restore it with pg_restore before the worker starts")
    if manifest.spool_in == "spool.url":
        missing.append("images: they are expected at spool.url")
    return [
        *missing,
        f"the removal of patients by `triage forget` after {at}: run it for them again",
    ]
