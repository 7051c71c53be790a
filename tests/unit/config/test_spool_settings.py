"""The spool that a site's settings open, and the errors of wrong settings."""

import errno
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from triage.__main__ import USAGE, main
from triage.config import Settings, SpoolSettings, load, render_settings
from triage.domain.errors import ConfigurationError
from triage.runtime.storage import open_spool, probe_spool
from triage.store.bucket import Bucket
from triage.store.object_spool import ObjectSpool
from triage.store.spool import FileSpool


def settings(tmp_path: Path, **spool: object) -> Settings:
    return Settings(state_dir=tmp_path / "state", spool=SpoolSettings.model_validate(spool))


def test_without_a_url_the_spool_is_in_the_state_folder(tmp_path: Path) -> None:
    spool = open_spool(settings(tmp_path))
    assert isinstance(spool, FileSpool)
    assert (tmp_path / "state" / "spool").is_dir()


def test_a_file_url_opens_an_existing_folder(tmp_path: Path) -> None:
    (tmp_path / "a share").mkdir()
    spool = open_spool(settings(tmp_path, url=f"file://{tmp_path}/a%20share"))
    assert isinstance(spool, FileSpool)
    path = spool.quarantine(b"damaged")
    assert (tmp_path / "a share" / path).read_bytes() == b"damaged"
    assert not (tmp_path / "state" / "spool").exists()


def test_an_unmounted_share_is_an_error_and_no_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="check that the share is mounted"):
        open_spool(settings(tmp_path, url=f"file://{tmp_path}/share/triage"))
    assert not (tmp_path / "share").exists()


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        open_spool(settings(tmp_path, url=f"file://{tmp_path}"))


def test_an_s3_url_names_bucket_and_prefix() -> None:
    chosen = SpoolSettings(url="s3://images.hospital/triage/one/")
    assert (chosen.bucket, chosen.prefix) == ("images.hospital", "triage/one/")
    assert (chosen.folder, SpoolSettings(url="s3://images").prefix) == (None, "")


def test_the_environment_sets_the_url_and_files_are_resolved(
    tmp_path: Path,
) -> None:
    (tmp_path / "triage.yaml").write_text("spool: {credentials: keys, ca: ca.pem}")
    chosen = load(tmp_path / "triage.yaml", {"TRIAGE_SPOOL__URL": "s3://images/triage"}).spool
    assert (chosen.credentials, chosen.ca) == (tmp_path / "keys", tmp_path / "ca.pem")
    assert chosen.bucket == "images"


@pytest.mark.parametrize(
    ("spool", "message"),
    [
        ({"url": "/mnt/spool"}, "write a spool as file:///path or s3://bucket/prefix"),
        ({"url": "file://host/spool"}, "write a spool as"),
        ({"url": "s3://key:hush@bucket"}, "write a spool as"),
        ({"url": "s3://Bucket"}, "write a spool as"),
        (
            {"url": "s3://bucket", "endpoint": "store:9000"},
            "write an object store as https://host:9000",
        ),
        ({"url": "s3://bucket", "endpoint": "https://key:hush@store"}, "must not contain keys"),
        ({"url": "s3://bucket", "endpoint": "http://store:9000"}, "images could be read"),
        ({"endpoint": "https://store:9000"}, "need an s3:// url"),
    ],
)
def test_an_error_shows_a_valid_value_and_repeats_no_key(
    tmp_path: Path, spool: dict[str, str], message: str
) -> None:
    lines = "".join(f"\n  {name}: {value!r}" for name, value in spool.items())
    (tmp_path / "triage.yaml").write_text(f"spool:{lines}\n")
    with pytest.raises(ConfigurationError, match="triage.yaml, line") as error:
        load(tmp_path / "triage.yaml", {})
    assert message in str(error.value)
    assert "hush" not in str(error.value)


def test_plain_http_needs_without_tls_or_loopback() -> None:
    assert SpoolSettings(url="s3://bucket", endpoint="http://store:9000", without_tls=True).bucket
    assert SpoolSettings(url="s3://bucket", endpoint="http://127.0.0.1:9000").bucket


def test_the_keys_of_an_object_store_are_not_shown(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = us\naws_secret_access_key = hush\n")
    chosen = settings(tmp_path, url="s3://bucket", endpoint="https://store", credentials=keys)
    spool = open_spool(chosen)
    assert isinstance(spool, ObjectSpool)
    bucket = Bucket(chosen.spool)
    assert "hush" not in render_settings(chosen) + repr(chosen) + str(bucket) + repr(spool)


@pytest.mark.parametrize("content", [None, "hush", "[default]\naws_secret_access_key = hush\n"])
def test_unreadable_credentials_are_an_error_without_their_content(
    tmp_path: Path, content: str | None
) -> None:
    keys = tmp_path / "keys"
    if content is not None:
        keys.write_text(content)
    chosen = settings(tmp_path, url="s3://bucket", endpoint="https://store", credentials=keys)
    with pytest.raises(ConfigurationError, match=r"spool.credentials .* cannot be read") as error:
        open_spool(chosen)
    assert "hush" not in str(error.value)


def test_a_missing_s3_client_is_an_error_that_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "triage.store.bucket", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'cmr-triage\[s3\]'"):
        open_spool(settings(tmp_path, url="s3://bucket", endpoint="https://store"))


def test_a_check_makes_no_spool_on_a_new_site(tmp_path: Path) -> None:
    assert probe_spool(settings(tmp_path)).startswith("none yet")
    assert not (tmp_path / "state").exists()
    open_spool(settings(tmp_path))
    assert probe_spool(settings(tmp_path)).endswith("writes, keeps and reads back")
    assert list((tmp_path / "state" / "spool" / "incoming").iterdir()) == []


def test_a_file_system_without_hard_links_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    (tmp_path / "share").mkdir()
    monkeypatch.setattr(os, "link", link)
    with pytest.raises(ConfigurationError, match="needs a file system with hard links"):
        probe_spool(settings(tmp_path, url=f"file://{tmp_path}/share"))
    assert list((tmp_path / "share" / "spool" / "incoming").iterdir()) == []


def test_a_hard_link_that_replaces_a_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(one: Path, other: Path) -> None:
        other.write_bytes(one.read_bytes())

    (tmp_path / "share").mkdir()
    monkeypatch.setattr(os, "link", copy)
    with pytest.raises(ConfigurationError, match="a hard link replaced an existing file"):
        probe_spool(settings(tmp_path, url=f"file://{tmp_path}/share"))
    assert list((tmp_path / "share" / "spool" / "incoming").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EROFS, errno.ENOSPC])
def test_serve_refuses_an_unusable_share_and_accepts_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A share without links or write access is refused; a full one may get space again."""

    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    def started(*_: object) -> None:
        raise SystemExit(0)

    (tmp_path / "share").mkdir()
    chosen = settings(tmp_path, url=f"file://{tmp_path}/share")
    monkeypatch.setattr("triage.cli.serve._start", lambda *_: chosen)
    monkeypatch.setattr("triage.cli.serve.open_model", started)
    monkeypatch.setattr(os, "link", link)
    ended = CliRunner().invoke(main, ["serve"])
    assert ended.exit_code == (0 if code == errno.ENOSPC else USAGE)
