import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from triage.destinations.folder import FolderDestination, FolderDestinationSettings
from triage.domain.delivery import DICOM, HL7, JSON, TEXT, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

PRODUCT = Product("structured_report", "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", b"some bytes")


@pytest.fixture
def folder(tmp_path: Path) -> FolderDestination:
    return open_folder(tmp_path)


def open_folder(path: Path) -> FolderDestination:
    return FolderDestination(
        "CMRTRIAGE", FolderDestinationSettings(name="out", kind="folder", path=path)
    )


def test_a_product_becomes_one_file_named_after_its_uid(
    folder: FolderDestination, tmp_path: Path
) -> None:
    before = os.umask(0o077)  # the umask that the command line sets
    try:
        folder.deliver(PRODUCT)
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert (file.name, file.read_bytes()) == ("2.25.7.dcm", PRODUCT.content)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("media_type", "extension"), [(DICOM, ".dcm"), (HL7, ".hl7"), (JSON, ".json"), (TEXT, ".txt")]
)
def test_the_extension_shows_the_media_type(
    folder: FolderDestination, tmp_path: Path, media_type: str, extension: str
) -> None:
    assert media_type in folder.media_types
    folder.deliver(replace(PRODUCT, media_type=media_type))
    assert [file.name for file in tmp_path.iterdir()] == [f"2.25.7{extension}"]


def test_the_file_is_durable_before_its_rename_and_the_folder_before_delivery(
    folder: FolderDestination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    fsync = os.fsync

    def record_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, (tmp_path / "2.25.7.dcm").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record_fsync)
    folder.deliver(PRODUCT)
    assert seen == [("file", False), ("folder", True)]


def test_a_partial_file_after_a_kill_is_completed(
    folder: FolderDestination, tmp_path: Path
) -> None:
    (tmp_path / ".2.25.7.dcm.part").write_bytes(PRODUCT.content[:4])
    folder.deliver(PRODUCT)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [PRODUCT.content]


def test_a_complete_file_is_not_written_again(folder: FolderDestination, tmp_path: Path) -> None:
    folder.deliver(PRODUCT)
    before = (tmp_path / "2.25.7.dcm").stat()
    folder.deliver(PRODUCT)
    after = (tmp_path / "2.25.7.dcm").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_with_other_content_is_not_overwritten(
    folder: FolderDestination, tmp_path: Path
) -> None:
    (tmp_path / "2.25.7.dcm").write_bytes(b"other content")
    with pytest.raises(DeliveryFailed, match="2.25.7.dcm exists with other content") as error:
        folder.deliver(PRODUCT)
    assert not isinstance(
        error.value, DestinationUnreachable
    )  # deliveries of other products continue
    assert (tmp_path / "2.25.7.dcm").read_bytes() == b"other content"


def test_a_missing_folder_is_never_created(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnreachable, match="No such file"):
        open_folder(tmp_path / "share").deliver(PRODUCT)
    with pytest.raises(DestinationUnreachable, match="is its share mounted"):
        open_folder(tmp_path / "share").echo()
    assert not (tmp_path / "share").exists()


def test_a_full_disk_is_unreachable_and_leaves_no_complete_file(
    folder: FolderDestination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_disk_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", raise_disk_full)
    with pytest.raises(DestinationUnreachable, match="No space left"):
        folder.deliver(PRODUCT)
    assert not (tmp_path / "2.25.7.dcm").exists()
    monkeypatch.undo()
    folder.deliver(PRODUCT)
    assert [file.name for file in tmp_path.iterdir()] == ["2.25.7.dcm"]


def test_an_echo_writes_nothing(folder: FolderDestination, tmp_path: Path) -> None:
    folder.echo()
    assert not list(tmp_path.iterdir())
