"""Read the settings from a file and from the environment, which overrides the file.

This module is the only reader of environment variables. Relative paths are resolved against the
folder of the settings file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from triage.config.destinations import DestinationSettings
from triage.config.site import Settings
from triage.domain.errors import ConfigurationError
from triage.yaml_models import Location, StrictModel, parse, read

ENVIRONMENT_PREFIX = "TRIAGE_"
#: Variables that the programs and tests read themselves; they set no field.
NOT_SETTINGS = {"TRIAGE_CONFIG", "TRIAGE_REAL_DATA", "TRIAGE_REQUIRE_PEERS"}
Part = TypeVar("Part", bound=StrictModel)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the file at `path`, overridden by the environment.

    Without a path, TRIAGE_CONFIG names the file; without that, the defaults apply.
    Raises ConfigurationError.
    """
    if path is None and environment.get("TRIAGE_CONFIG"):
        path = Path(environment["TRIAGE_CONFIG"])
    overlay = _read_overlay(environment)
    if path is None:
        return _resolve_paths(parse("{}", Settings, "the environment", overlay), Path.cwd())
    return _resolve_paths(read(path, Settings, overlay), path.resolve().parent)


def require_peers(settings: Settings) -> None:
    """Raise ConfigurationError unless some sender and some destination are configured."""
    receiver = settings.receiver
    if not receiver.calling_titles() and receiver.stow is None and receiver.folder is None:
        raise ConfigurationError(
            "receiver.calling is empty and so is receiver.peers: every sender would be rejected; "
            "list the AE titles that may send, e.g. calling: [PACS]"
        )
    if not settings.destinations:
        raise ConfigurationError(
            "destinations is empty, so no report could be sent: list at least one PACS"
        )
    for destination in settings.destinations:
        _require_commitment_peers(settings, destination)


def _require_commitment_peers(settings: Settings, destination: DestinationSettings) -> None:
    """Raise ConfigurationError if storage commitment reports to us would be rejected."""
    rejected = set(destination.commitment_reporters()) - set(settings.receiver.calling_titles())
    if rejected:
        raise ConfigurationError(
            f"destination {destination.name} is asked for storage commitment, and its reports "
            f"would be rejected: add {', '.join(sorted(rejected))} to receiver.calling or "
            "receiver.peers"
        )


def render_settings(settings: Settings) -> str:
    """Return the settings as JSON for display, without passwords in URLs and without hashes.

    A password may contain a slash, and a database URL may carry its password after the `?`.
    """
    without_users = re.sub(r'(://)[^"]*@', r"\1***@", settings.model_dump_json())
    without_passwords = re.sub(r'([?&]password=)[^&"]*', r"\1***", without_users)
    return re.sub(r'"(scrypt|sha256)\$[^"]*"', r'"\1$***"', without_passwords)


def notify_address(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the address at which systemd expects reports (sd_notify(3)); None without systemd."""
    return environment.get("NOTIFY_SOCKET") or None


def is_watchdog_for(pid: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether systemd expects reports of life from this process (sd_watchdog_enabled(3)).

    That is the main process of the unit alone: the supervisor reports for its processes.
    """
    return environment.get("WATCHDOG_PID", str(pid)) == str(pid)


def child_environment(config: Path | None, redis_url: str | None) -> dict[str, str]:
    """Return the environment for a child process of the worker."""
    environment = dict(os.environ)
    if config is not None:
        environment["TRIAGE_CONFIG"] = str(config.resolve())
    if redis_url is not None:
        environment["TRIAGE_REDIS_URL"] = redis_url
    return environment


def _read_overlay(environment: Mapping[str, str]) -> dict[Location, str]:
    return {
        tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
    }


def _resolve_paths(part: Part, base: Path) -> Part:
    """Return the settings with every path made absolute."""
    fields = type(part).model_fields
    return part.model_copy(update={name: _resolve(base, getattr(part, name)) for name in fields})


def _resolve(base: Path, value: Any) -> Any:
    if isinstance(value, Path):
        return (base / value.expanduser()).resolve()
    if isinstance(value, StrictModel):
        return _resolve_paths(value, base)
    if isinstance(value, tuple):
        return tuple(_resolve(base, item) for item in value)
    if isinstance(value, dict):
        return {key: _resolve(base, item) for key, item in value.items()}
    return value
