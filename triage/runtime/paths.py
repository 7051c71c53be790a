"""Folders below the state folder."""

from pathlib import Path

from triage.config import Settings
from triage.domain.errors import ConfigurationError

CASES = "cases"  #: embeddings of past cases

CACHE = "cache"  #: may be emptied at any time

FORGETTING = "forgetting"  #: journal of removals by `triage forget` that are not complete
TAKEN = "folder.taken"  #: journal of the watched folder (receivers/folder)
CONFIG = "config"  #: in a backup, the files that the settings name
RESTORING = "restoring"  #: exists while `triage restore` works, and after it was interrupted
RESTORED = "restored"  #: files of a backup that differ from those of the settings
PULLED = "pulled"  #: studies that `triage pull --assess` collects for the intake


def state_folder(settings: Settings) -> Path:
    """Return the state folder, created with mode 0700 if it is missing."""
    refuse_interrupted_restore(settings)
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"state_dir {settings.state_dir} cannot be created: {error.strerror}"
        ) from None
    return settings.state_dir


def pulled_folder(settings: Settings) -> Path:
    """Return the folder in which fetched studies are collected for the intake."""
    return state_folder(settings) / PULLED


def refuse_interrupted_restore(settings: Settings) -> None:
    """Raise ConfigurationError while a restore works on the state folder or was interrupted."""
    if (settings.state_dir / RESTORING).is_dir():
        raise ConfigurationError(
            f"{settings.state_dir} is being restored, or `triage restore` was interrupted: if it "
            "does not run any more, empty the folder and restore again"
        )
