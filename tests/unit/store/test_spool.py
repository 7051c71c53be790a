import errno
import os
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders.images import image, part10
from triage.dicom.header import read_identity
from triage.domain.errors import SpoolFull
from triage.domain.instance import ReceiptOutcome
from triage.store.spool import FileSpool

CONTENT = part10(image())
OTHER = part10(image(SeriesDescription="changed"))
IDENTITY = read_identity(CONTENT)


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


def test_a_stored_instance_can_be_read(spool: FileSpool) -> None:
    receipt = spool.keep(IDENTITY, CONTENT)
    assert receipt.outcome is ReceiptOutcome.NEW
    assert spool.read(receipt.path) == CONTENT
    assert list(spool.list_paths()) == [receipt.path]


def test_storing_the_same_bytes_again_changes_nothing(spool: FileSpool) -> None:
    first = spool.keep(IDENTITY, CONTENT)
    again = spool.keep(IDENTITY, CONTENT)
    assert (again.outcome, again.path) == (ReceiptOutcome.DUPLICATE, first.path)
    assert len(list(spool.list_paths())) == 1


def test_other_bytes_under_the_same_uid_are_stored_as_a_conflict(spool: FileSpool) -> None:
    first = spool.keep(IDENTITY, CONTENT)
    other = spool.keep(IDENTITY, OTHER)
    assert other.outcome is ReceiptOutcome.CONFLICT
    assert spool.read(first.path) == CONTENT
    assert spool.read(other.path) == OTHER
    assert list(spool.list_paths()) == [first.path]


def test_concurrent_stores_leave_one_complete_file(spool: FileSpool) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: spool.keep(IDENTITY, CONTENT), range(32)))
    assert [r.outcome for r in receipts].count(ReceiptOutcome.NEW) == 1
    assert spool.read(receipts[0].path) == CONTENT


def test_no_staging_file_remains(spool: FileSpool, tmp_path: Path) -> None:
    spool.keep(IDENTITY, CONTENT)
    spool.keep(IDENTITY, CONTENT)
    assert not list((tmp_path / "spool" / "incoming").iterdir())


def test_sweep_removes_old_staging_files_only(spool: FileSpool, tmp_path: Path) -> None:
    incoming = tmp_path / "spool" / "incoming"
    (incoming / "half").write_bytes(CONTENT[:100])
    os.utime(incoming / "half", (0, 0))
    (incoming / "fresh").write_bytes(CONTENT[:100])  # another receiver may be writing it
    spool.sweep()
    assert [path.name for path in incoming.iterdir()] == ["fresh"]
    assert not list(spool.list_paths())


def test_listing_a_study_that_is_being_removed_returns_nothing(
    spool: FileSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.keep(IDENTITY, CONTENT)
    listed = Path.iterdir

    def gone(self: Path) -> Iterator[Path]:
        shutil.rmtree(self)
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", gone)
    assert list(spool.list_files(IDENTITY.study_uid)) == []


def test_sweep_ignores_files_that_another_process_removed(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "spool" / "incoming" / "of another receiver"
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([gone]))
    spool.sweep()


def test_free_space_is_the_minimum_of_both_disks_and_stored_files_count_separately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, ours = tmp_path / "share", tmp_path / "ours"
    free = {share / "spool": 200, ours: 100}
    monkeypatch.setattr("triage.store.spool.free_bytes_of", free.__getitem__)
    share.mkdir()
    spool = FileSpool(share, beside=ours)
    assert (spool.measure_free_bytes(), spool.measure_free_bytes_where_kept()) == (100, 200)


def test_file_and_folder_are_synced_before_the_receipt(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr("triage.store.spool.os.fsync", fsync)
    spool.keep(IDENTITY, CONTENT)
    root = tmp_path / "spool"
    assert synced[0].parent == root / "incoming"
    assert synced[1] == root  # the study's folder is new
    assert synced[2] == root / IDENTITY.study_uid


def test_only_the_owner_can_read(spool: FileSpool, tmp_path: Path) -> None:
    path = tmp_path / "spool" / spool.keep(IDENTITY, CONTENT).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_quarantined_bytes_are_stored_under_their_digest(spool: FileSpool, tmp_path: Path) -> None:
    path = spool.quarantine(b"damaged")
    assert (tmp_path / path).read_bytes() == b"damaged"
    assert spool.quarantine(b"damaged") == path


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_raises_spool_full_and_leaves_nothing(
    spool: FileSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(SpoolFull, match="free disk space"):
        patch.setattr("triage.store.spool.os.fsync", full)
        spool.keep(IDENTITY, CONTENT)
    assert not list((tmp_path / "spool" / "incoming").iterdir())
    assert spool.keep(IDENTITY, CONTENT).outcome is ReceiptOutcome.NEW


def test_other_disk_errors_pass_through(spool: FileSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr("triage.store.spool.os.fsync", broken)
    with pytest.raises(OSError, match="I/O error"):
        spool.keep(IDENTITY, CONTENT)
