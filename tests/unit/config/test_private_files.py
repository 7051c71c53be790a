"""The access rights of the files with keys and passwords that the settings name."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from triage.config import DESTINATION_MODELS, Settings, check_private_files, private_files
from triage.config.private_files import PRIVATE_FIELDS
from triage.domain.errors import ConfigurationError

PUBLIC_FIELDS = {
    "bundle",
    "ca",
    "certificate",
    "clients",
    "file",
    "findings",
    "path",
    "series_rules",
    "state_dir",
    "trusted",
}


def settings_with(key: Path) -> dict[str, Settings]:
    """Return settings with a private file in each place that may have one."""
    pair: dict[str, Any] = {"certificate": key.with_name("cert.pem"), "key": key}
    hook = {"name": "hook", "kind": "webhook", "url": "https://h.example", "secret_file": key}
    stow: dict[str, Any] = {"senders": {"MR": {"token": "sha256$" + "0" * 64}}, **pair}
    web = {"kind": "dicomweb", "url": "https://a.example", "authorization_file": key}
    parts: dict[str, dict[str, Any]] = {
        "receiver.tls.key": {"receiver": {"tls": {"port": 2762, **pair}}},
        "receiver.stow.key": {"receiver": {"stow": stow}},
        "web.key": {"web": pair},
        "audit.syslog.key": {"audit": {"syslog": {"host": "a.example", **pair}}},
        "destinations.hook.secret_file": {"destinations": [hook]},
        "archives.pacs.authorization_file": {"archives": {"pacs": web}},
        "spool.credentials": {"spool": {"url": "s3://bucket", "credentials": key}},
    }
    return {place: Settings.model_validate(part) for place, part in parts.items()}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "the.key"
    path.write_text("key")
    path.chmod(0o600)
    return path


def test_a_file_of_ours_that_others_can_use_is_an_error_in_every_place(key: Path) -> None:
    for place, settings in settings_with(key).items():
        for mode in (0o640, 0o604, 0o620, 0o444):
            key.chmod(mode)
            with pytest.raises(ConfigurationError, match=f"{place}: .*run chmod 600"):
                check_private_files(settings)
        for mode in (0o600, 0o400):
            key.chmod(mode)
            assert check_private_files(settings) == []


def test_a_file_of_another_user_is_a_warning(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + 1)
    settings = settings_with(key)["web.key"]
    key.chmod(0o444)  # as Docker mounts a secret
    assert [warning.partition(":")[0] for warning in check_private_files(settings)] == ["web.key"]
    key.chmod(0o640)  # as Debian's group ssl-cert has it
    assert check_private_files(settings) == []


def test_a_file_on_a_read_only_file_system_is_a_warning(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_files, "_is_read_only", lambda _path: True)
    key.chmod(0o444)
    assert len(check_private_files(settings_with(key)["web.key"])) == 1


def test_a_missing_file_is_left_to_whoever_opens_it(key: Path) -> None:
    key.unlink()
    assert check_private_files(settings_with(key)["web.key"]) == []


def path_fields(model: type[BaseModel], seen: set[type]) -> Iterator[str]:
    """Yield the names of the fields with paths of a model and of the models in it."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        for part in parts_of(field.annotation):
            if part is Path:
                yield name
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from path_fields(part, seen)


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from parts_of(part)


def test_every_path_of_the_settings_is_known_to_be_private_or_public() -> None:
    seen: set[type] = set()
    found = set(path_fields(Settings, seen))
    for model in DESTINATION_MODELS.values():
        found |= set(path_fields(model, seen))
    assert found == PRIVATE_FIELDS | PUBLIC_FIELDS
