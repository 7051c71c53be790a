"""Reading the settings: a file, and the environment over it.

Rule: the only reader of the environment. A relative path is seen from the file that names it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from triage.config.destinations import DicomDestination
from triage.config.site import Settings
from triage.domain.errors import ConfigurationError
from triage.yaml_models import Location, StrictModel, parse, read

ENVIRONMENT_PREFIX = "TRIAGE_"
#: Read by the programs themselves, not settings.
NOT_SETTINGS = {"TRIAGE_CONFIG", "TRIAGE_REAL_DATA", "TRIAGE_REQUIRE_PEERS"}
Part = TypeVar("Part", bound=StrictModel)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the file at `path`, overridden by the environment."""
    if path is None and environment.get("TRIAGE_CONFIG"):
        path = Path(environment["TRIAGE_CONFIG"])
    overlay = _read_overlay(environment)
    if path is None:
        return _resolve_paths(parse("{}", Settings, "the environment", overlay), Path.cwd())
    return _resolve_paths(read(path, Settings, overlay), path.resolve().parent)


def require_peers(settings: Settings) -> None:
    """Raise ConfigurationError unless there is somebody to receive from and to send to."""
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
    for each in settings.destinations:
        if isinstance(each, DicomDestination) and each.commitment:
            _require_reports(settings, each)
        if not set(each.takes) & set(settings.reports):
            raise ConfigurationError(
                f"destination {each.name} would get nothing: of {', '.join(each.takes)}, which it "
                "takes, reports has none; add one"
            )


def _require_reports(settings: Settings, pacs: DicomDestination) -> None:
    unheard = set(pacs.reporters()) - set(settings.receiver.calling_titles())
    if unheard:
        raise ConfigurationError(
            f"destination {pacs.name} is asked for storage commitment, and its reports would be "
            f"rejected: add {', '.join(sorted(unheard))} to receiver.calling or receiver.peers"
        )


def render_settings(settings: Settings) -> str:
    """Return the settings as JSON for people, without the passwords of its URLs or anybody's hash.

    A password may hold a slash, and that of a database may stand behind the URL's question mark.
    """
    named = re.sub(r'(://)[^"]*@', r"\1***@", settings.model_dump_json())
    without_urls = re.sub(r'([?&]password=)[^&"]*', r"\1***", named)
    return re.sub(r'"(scrypt|sha256)\$[^"]*"', r'"\1$***"', without_urls)


def child_environment(config: Path | None, redis_url: str | None) -> dict[str, str]:
    """Return the environment in which a part of the worker is started."""
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
    """Make every path of the settings absolute."""
    fields = type(part).model_fields
    return part.model_copy(update={name: _resolve(base, getattr(part, name)) for name in fields})


def _resolve(base: Path, value: Any) -> Any:
    if isinstance(value, Path):
        return (base / value.expanduser()).resolve()
    if isinstance(value, StrictModel):
        return _resolve_paths(value, base)
    if isinstance(value, tuple):
        return tuple(_resolve(base, each) for each in value)
    if isinstance(value, dict):
        return {key: _resolve(base, each) for key, each in value.items()}
    return value
