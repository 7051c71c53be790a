"""With trusted keys only a bundle that one of them has signed is opened."""

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from export.__main__ import cli
from triage.config import ModelSettings
from triage.domain.errors import ConfigurationError
from triage.model.bundle import MANIFEST, Manifest, open_bundle, write_manifest
from triage.model.signature import SIGNATURE

UNTRAINED = ModelSettings().bundle


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(UNTRAINED, tmp_path / "bundle"))


def make_key(path: Path) -> Path:
    private = Ed25519PrivateKey.generate()
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


def sign(bundle: Path, key: Path) -> str:
    """Sign with the command; return the public key that it prints."""
    done = CliRunner().invoke(cli, ["sign", str(bundle), "--key", str(key)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    settings = done.output.strip().removeprefix("model.trusted_keys: [").removesuffix("]")
    (public,) = ModelSettings(trusted_keys=(settings,)).trusted_keys
    return public


def test_a_signed_bundle_is_opened_with_each_trusted_key(copy: Path, tmp_path: Path) -> None:
    ours = sign(copy, make_key(tmp_path / "ours.key"))
    other = sign(Path(shutil.copytree(copy, tmp_path / "b")), make_key(tmp_path / "other.key"))
    assert open_bundle(copy, [ours]) == open_bundle(copy, [other, ours]) == open_bundle(copy)


def test_a_bundle_without_a_trusted_signature_is_refused(copy: Path, tmp_path: Path) -> None:
    ours = sign(copy, make_key(tmp_path / "ours.key"))
    signature = (copy / SIGNATURE).read_bytes()
    sign(copy, make_key(tmp_path / "other.key"))
    refused = "no signature of this manifest by a key of model.trusted_keys"
    with pytest.raises(ConfigurationError, match=refused):
        open_bundle(copy, [ours])
    for content in (b"", b"!", signature[:40], b"A" * 5000):
        (copy / SIGNATURE).write_bytes(content)
        with pytest.raises(ConfigurationError, match=refused):
            open_bundle(copy, [ours])
    (copy / SIGNATURE).unlink()
    with pytest.raises(ConfigurationError, match="is not signed"):
        open_bundle(copy, [ours])


def test_a_changed_manifest_is_refused(copy: Path, tmp_path: Path) -> None:
    ours = sign(copy, make_key(tmp_path / "ours.key"))
    manifest = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(manifest.replace('"trained": false', '"trained": true'))
    assert (copy / MANIFEST).read_text() != manifest
    with pytest.raises(ConfigurationError, match="no signature of this manifest"):
        open_bundle(copy, [ours])


def test_a_bundle_that_is_written_again_is_no_longer_signed(copy: Path, tmp_path: Path) -> None:
    ours = sign(copy, make_key(tmp_path / "ours.key"))
    write_manifest(copy, Manifest.model_validate_json((copy / MANIFEST).read_bytes()))
    with pytest.raises(ConfigurationError, match="is not signed"):
        open_bundle(copy, [ours])


def test_a_key_that_others_can_read_or_of_another_kind_signs_nothing(
    copy: Path, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "ours.key")
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="run chmod 600"):
        sign(copy, key)
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(ConfigurationError, match="no Ed25519 key"):
        sign(copy, key)
    assert not (copy / SIGNATURE).exists()


def test_without_the_package_the_error_names_it(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = sign(copy, make_key(tmp_path / "ours.key"))
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match="cmr-triage.signatures"):
        open_bundle(copy, [ours])


@pytest.mark.parametrize("key", ["", "abc", "A" * 44, "A" * 88])
def test_a_setting_that_is_no_public_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is no public key"):
        ModelSettings(trusted_keys=(key,))
