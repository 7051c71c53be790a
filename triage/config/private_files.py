"""The access rights of the files with keys and passwords that the settings name.

A file of the service's own user that others can read or change is an error: `chmod` corrects it.
A file of another user, or on a read-only file system, is only a warning, because the service could
not correct it: containers mount their secrets so, with mode 0444 and root as owner, and there is no
other user in a container. Root's file with group access (0640, as Debian's group `ssl-cert` has
them) is neither. PostgreSQL judges its key in the same way.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triage.config.site import Settings
from triage.domain.errors import ConfigurationError
from triage.yaml_models import StrictModel

#: Names of the fields that hold such a file; all other paths of the settings are no secrets.
PRIVATE_FIELDS = frozenset({"key", "secret_file", "authorization_file", "credentials"})
GROUP, OTHERS = 0o070, 0o007


def check_private_files(settings: Settings) -> list[str]:
    """Return warnings about files that others can read and that we cannot correct.

    Raises:
        ConfigurationError: Other users can read or change a file of this user.
    """
    warnings = []
    for field, path in list_private_files(settings):
        try:
            found = path.stat()  # of what a link leads to: Kubernetes mounts secrets as links
        except OSError:  # reported with its setting when the file is opened
            continue
        mode = stat.S_IMODE(found.st_mode)
        is_ours = found.st_uid == os.geteuid() and not _is_read_only(path)
        if mode & OTHERS or (is_ours and mode & GROUP):
            problem = f"{field}: {path} has mode {mode:04o}, so that other users can use it"
            if is_ours:
                raise ConfigurationError(f"{problem}: run chmod 600 {path}")
            warnings.append(
                f"{problem}: let its owner take the rights of others away (chmod o-rwx)"
            )
    return warnings


def list_private_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the setting and the path of each file with a key or a password."""
    for field, name, path in list_paths(settings, ()):
        if name in PRIVATE_FIELDS:
            yield field, path


def list_paths(value: Any, location: tuple[str, ...]) -> Iterator[tuple[str, str, Path]]:
    """Yield location, name and path of each field with a path, of all parts of the settings."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, Path):
        yield ".".join(location), location[-1], value
    elif isinstance(value, StrictModel):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict):
        parts = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, tuple):
        parts = [(getattr(item, "name", str(at)), item) for at, item in enumerate(value)]
    for name, part in parts:
        yield from list_paths(part, (*location, name))


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
