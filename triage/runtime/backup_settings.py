"""The settings of a site as a backup records them: digests, and the files that they name."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from triage.config import Settings, render_settings
from triage.domain.errors import ConfigurationError
from triage.runtime.model import open_site_bundle

#: Sections that differ between machines, or that are compared by the content of their file.
NOT_COMPARED = {"state_dir", "findings", "series_rules"}
#: Sections and files that the UIDs of reports depend on.
IN_REPORTS = {"model", "equipment", "reports", "similar_cases", "bundle", "findings.yaml"}
UNKNOWN_BUNDLE = "unknown"


def digest_settings(settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of each section of the settings, without passwords, and of named files."""
    sections = json.loads(render_settings(settings))
    sections["model"].pop("bundle")  # it is compared by its digest
    digests = {
        name: _digest(json.dumps(value, sort_keys=True).encode())
        for name, value in sections.items()
        if name not in NOT_COMPARED
    }
    return digests | {
        name: _digest(path.read_bytes()) for name, path in list_named_files(settings).items()
    }


def find_differences(recorded: dict[str, str], settings: Settings) -> list[str]:
    """Return the sections and files of the settings that differ from those of a backup, sorted."""
    now = digest_settings(settings)
    return sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name))


def list_named_files(settings: Settings) -> dict[str, Path]:
    """Return the existing files that the settings name and a backup contains."""
    named = {"findings.yaml": settings.findings, "series_rules.yaml": settings.series_rules}
    return {name: path for name, path in named.items() if path is not None and path.is_file()}


def describe_bundle(settings: Settings) -> str:
    """Return name, version and digest of the bundle; "unknown" if it cannot be opened."""
    try:
        bundle = open_site_bundle(settings)
    except ConfigurationError:  # a backup is most needed when something is broken
        return UNKNOWN_BUNDLE
    return f"{bundle.manifest.name} {bundle.manifest.version} {bundle.digest}"


def name_ledger(settings: Settings) -> Literal["sqlite", "postgresql"]:
    """Return which database the ledger is on."""
    return "sqlite" if settings.ledger is None else "postgresql"


def name_spool(settings: Settings) -> Literal["state_dir", "spool.url"]:
    """Return where the images are."""
    return "state_dir" if settings.spool.url is None else "spool.url"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
