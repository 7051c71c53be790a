"""Reads the settings of a site, with those of every destination."""

from collections.abc import Mapping
from pathlib import Path

from triage import destinations
from triage.config import Settings, load


def load_settings(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the file at `path`; `environment` replaces that of the process.

    Raises ConfigurationError; see `triage.config.load`.
    """
    destinations.register()
    return load(path) if environment is None else load(path, environment)
