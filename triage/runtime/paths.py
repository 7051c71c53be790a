"""The folders below the state folder."""

from pathlib import Path

from triage.config import Settings
from triage.domain.errors import ConfigurationError

CASES = "cases"  #: the folder of the state folder that holds the cases' vectors


CACHE = "cache"  #: the folder of the state folder that may be emptied at any time


PULLED = "pulled"  #: the folder of the state folder where studies are gathered for the intake


def state_folder(settings: Settings) -> Path:
    """Return the state folder, made for its owner alone if it is new."""
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"state_dir {settings.state_dir} cannot be made: {error.strerror}"
        ) from None
    return settings.state_dir


def pulled_folder(settings: Settings) -> Path:
    """Return where studies are gathered that go on to the intake."""
    return state_folder(settings) / PULLED
