"""The archive of a backup: whole and equal to its digests, or refused."""

import io
import tarfile
from pathlib import Path

import pytest

from triage.domain.errors import CommandFailed
from triage.pipeline.backup_manifest import BackupManifest
from triage.store.backup_archive import MANIFEST, extract_archive, is_safe_name, write_archive

CONTENT = {"secret": b"s" * 32, "spool/1.2/1.2.3.dcm": b"image" * 9000, "empty": b""}


def written(folder: Path, name: str) -> Path:
    """Return an archive of CONTENT."""
    (folder / "source").mkdir()
    with write_archive(folder / name, lambda _: None) as writer:
        for entry, content in CONTENT.items():
            path = folder / "source" / entry.replace("/", "_")
            path.write_bytes(content)
            writer.add(entry, path)
        manifest = BackupManifest(
            made_at=1.0,
            program="1",
            ledger_on="sqlite",
            spool_in="state_dir",
            has_case_library=False,
            settings={},
            bundle="unknown",
            studies={},
            images=1,
            cases=0,
            without_images=0,
            files=writer.files,
        )
        writer.add_manifest(manifest, folder / "source")
    return folder / name


@pytest.mark.parametrize("name", ["backup.tar", "backup.tar.gz", "backup.tgz"])
def test_an_archive_gives_back_what_was_added_for_its_owner_alone(
    tmp_path: Path, name: str
) -> None:
    archive = written(tmp_path, name)
    assert archive.stat().st_mode & 0o077 == 0
    assert {path.name for path in tmp_path.iterdir()} == {"source", name}
    manifest = extract_archive(archive, tmp_path / "into", lambda _: None)
    assert {entry: (tmp_path / "into" / entry).read_bytes() for entry in CONTENT} == CONTENT
    assert {*manifest.files} == {*CONTENT}
    assert not (tmp_path / "into" / "secret").stat().st_mode & 0o077


@pytest.mark.parametrize("name", ["backup.tar", "backup.tgz"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path, name: str, part: float) -> None:
    archive = written(tmp_path, name)
    whole = archive.read_bytes()
    end = whole.rstrip(b"\0") if name.endswith(".tar") else whole  # a tar ends with NUL blocks
    archive.write_bytes(whole[: int(part * len(end))])
    with pytest.raises(CommandFailed, match="use another"):
        extract_archive(archive, tmp_path / "into", lambda _: None)


def test_a_changed_byte_in_any_file_is_found(tmp_path: Path) -> None:
    archive = written(tmp_path, "backup.tar")
    whole = archive.read_bytes()
    at = whole.index(b"imageimage") + 100
    archive.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    with pytest.raises(CommandFailed, match="is damaged: 1 of 3 files"):
        extract_archive(archive, tmp_path / "into", lambda _: None)


def rewritten(archive: Path, entries: dict[str, bytes]) -> Path:
    """Replace an archive by one with these entries."""
    with tarfile.open(archive, "w") as tar:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


def test_a_missing_file_an_unknown_manifest_and_another_tar_are_refused(tmp_path: Path) -> None:
    archive = written(tmp_path, "backup.tar")
    with tarfile.open(archive) as tar:
        file = tar.extractfile(MANIFEST)
        assert file is not None
        manifest = file.read()
    cases = {
        "2 of 3 files": {"secret": CONTENT["secret"], MANIFEST: manifest},
        "does not know": {**CONTENT, MANIFEST: manifest.replace(b'"format":1', b'"format":2')},
        "manifest is missing": CONTENT,
        "which no backup has": {"../outside": b"", MANIFEST: manifest},
    }
    for number, (why, entries) in enumerate(cases.items()):
        with pytest.raises(CommandFailed, match=why):
            extract_archive(rewritten(archive, entries), tmp_path / str(number), lambda _: None)
    assert not (tmp_path / "outside").exists()
    archive.write_bytes(b"no archive at all")
    with pytest.raises(CommandFailed, match="cannot be read as a backup"):
        extract_archive(archive, tmp_path / "no", lambda _: None)


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        write_archive(tmp_path / "backup.tar", lambda _: None) as writer,
    ):
        writer.add("gone", tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "."])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert not is_safe_name(name)
