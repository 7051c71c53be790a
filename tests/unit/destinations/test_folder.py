import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from triage.config import FolderDestination
from triage.destinations.folder import FolderStore
from triage.domain.delivery import DICOM, HL7, JSON, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

PRODUCT = Product("structured_report", "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", b"some bytes")


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return opened(tmp_path)


def opened(path: Path) -> FolderStore:
    return FolderStore("CMRTRIAGE", FolderDestination(name="out", kind="folder", path=path))


def test_a_product_becomes_one_file_named_after_its_uid(
    folder: FolderStore, tmp_path: Path
) -> None:
    before = os.umask(0o077)  # as the command line sets it
    try:
        folder.deliver(PRODUCT)
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert (file.name, file.read_bytes()) == ("2.25.7.dcm", PRODUCT.content)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("media_type", "extension"), [(DICOM, ".dcm"), (HL7, ".hl7"), (JSON, ".json")]
)
def test_what_a_file_is_called_tells_what_it_holds(
    folder: FolderStore, tmp_path: Path, media_type: str, extension: str
) -> None:
    assert media_type in folder.media_types
    folder.deliver(replace(PRODUCT, media_type=media_type))
    assert [file.name for file in tmp_path.iterdir()] == [f"2.25.7{extension}"]


def test_it_has_its_name_only_when_it_is_durable_and_delivered_only_when_that_is(
    folder: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, (tmp_path / "2.25.7.dcm").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    folder.deliver(PRODUCT)
    assert seen == [("file", False), ("folder", True)]


def test_what_was_killed_half_way_is_written_whole_and_leaves_nothing(
    folder: FolderStore, tmp_path: Path
) -> None:
    (tmp_path / ".2.25.7.dcm.part").write_bytes(PRODUCT.content[:4])
    folder.deliver(PRODUCT)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [PRODUCT.content]


def test_what_was_killed_after_its_name_is_not_written_again(
    folder: FolderStore, tmp_path: Path
) -> None:
    folder.deliver(PRODUCT)
    before = (tmp_path / "2.25.7.dcm").stat()
    folder.deliver(PRODUCT)
    after = (tmp_path / "2.25.7.dcm").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_file_under_its_name_is_left_as_it_is(folder: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "2.25.7.dcm").write_bytes(b"of somebody else")
    with pytest.raises(DeliveryFailed, match="2.25.7.dcm holds something else") as error:
        folder.deliver(PRODUCT)
    assert not isinstance(error.value, DestinationUnreachable)  # the others may go on
    assert (tmp_path / "2.25.7.dcm").read_bytes() == b"of somebody else"


def test_a_folder_that_is_not_there_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(DestinationUnreachable, match="No such file"):
        opened(tmp_path / "share").deliver(PRODUCT)
    with pytest.raises(DestinationUnreachable, match="is its share mounted"):
        opened(tmp_path / "share").echo()
    assert not (tmp_path / "share").exists()


def test_a_full_disk_is_silence_and_leaves_no_file_with_a_final_name(
    folder: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DestinationUnreachable, match="No space left"):
        folder.deliver(PRODUCT)
    assert not (tmp_path / "2.25.7.dcm").exists()
    monkeypatch.undo()
    folder.deliver(PRODUCT)
    assert [file.name for file in tmp_path.iterdir()] == ["2.25.7.dcm"]


def test_an_echo_writes_nothing(folder: FolderStore, tmp_path: Path) -> None:
    folder.echo()
    assert not list(tmp_path.iterdir())
