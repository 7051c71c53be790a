import json
import os
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import structlog
from pydicom.uid import UID

from receivers.folder import scanner as watched
from receivers.folder.files import FileSnapshot
from receivers.folder.journal import STALE_KEYS_MAX, AcceptedFiles, compute_key
from receivers.folder.scanner import DAMAGED_SETTLE_FACTOR, FolderScanner
from tests.builders.images import image, part10, uid
from tests.waiting import wait_until
from triage.config import WatchedFolder
from triage.dimse.storage_classes import AcceptedClasses
from triage.domain.errors import LedgerUnavailable, SpoolFull
from triage.pipeline.backpressure import Backpressure, BackpressureLimits
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

SETTLE_S = 10.0
SECRET = "Marked^Identifier"


class FolderSite:
    """A watched folder with ledger, spool and a simulated clock."""

    def __init__(self, tmp_path: Path, ledger: SqlLedger, **settings: Any) -> None:
        self.root = tmp_path / "incoming"
        self.root.mkdir(exist_ok=True)
        self.state = tmp_path
        self.ledger = ledger
        self.intake = Intake(FileSpool(tmp_path), ledger)
        self.settings = WatchedFolder(path=self.root, settle_s=SETTLE_S, **settings)
        self.now = 0.0
        self.start()

    def start(self) -> None:
        taken = AcceptedFiles(self.state / "folder.taken")
        self.scanner = FolderScanner(self.intake, self.settings, 100_000, taken, AcceptedClasses())

    def drop(self, name: str, content: bytes | None = None, number: int = 1) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part10(image(number=number)) if content is None else content)
        return path

    def scan(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self.scanner.scan(self.now, Event())

    def settle(self) -> None:
        self.scan()
        self.scan(SETTLE_S)

    def refuse(self) -> None:
        """Scan until a damaged file is refused."""
        self.settle()
        self.scan(SETTLE_S * DAMAGED_SETTLE_FACTOR)

    def instances(self) -> int:
        return sum(study.instances for study in self.ledger.list_studies())

    def names(self) -> set[str]:
        return {str(p.relative_to(self.root)) for p in self.root.rglob("*") if not p.is_dir()}

    def incidents(self) -> list[str]:
        return [incident.detail for incident in self.ledger.incidents()]

    def bringing(self) -> int:
        return self.intake.associations.count_sending(uid("study"))


@pytest.fixture
def site(tmp_path: Path, ledger: SqlLedger) -> FolderSite:
    return FolderSite(tmp_path, ledger)


def test_a_settled_file_is_accepted_unchanged(site: FolderSite) -> None:
    path = site.drop("export/IM0001")
    site.scan()
    site.scan(SETTLE_S - 1)
    assert not site.instances()
    site.scan(1)
    (study,) = site.ledger.list_studies()
    assert site.ledger.list_sources(study.study_uid, 1) == {"FOLDER"}
    (kept,) = site.ledger.list_paths(study.study_uid, 1)
    assert (site.state / "spool" / kept).read_bytes() == path.read_bytes()
    assert not site.incidents()


def test_a_growing_file_waits_until_it_is_complete(site: FolderSite) -> None:
    content = part10(image())
    for size in range(200, len(content), 300):
        site.drop("growing.dcm", content[:size])
        site.scan(SETTLE_S - 1)
    assert not site.instances()
    site.drop("growing.dcm", content)
    site.settle()
    assert site.instances() == 1
    assert not site.incidents()


def test_a_copy_that_pauses_is_not_refused_as_damaged(site: FolderSite) -> None:
    content = part10(image())
    site.drop("pausing.dcm", content[:-100])
    site.settle()
    site.scan(SETTLE_S)
    site.drop("pausing.dcm", content)
    site.settle()
    assert site.instances() == 1
    assert not site.incidents()


def test_a_file_that_changes_while_it_is_read_waits(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.drop("a.dcm")
    read = os.read

    def changing(descriptor: int, size: int) -> bytes:
        os.utime(path)
        return read(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr("receivers.folder.scanner.os.read", changing)
        site.settle()
    assert not site.instances()
    site.settle()
    assert site.instances() == 1
    assert not list((site.state / "spool" / "incoming").iterdir())


@pytest.mark.parametrize(
    ("after", "left"), [("keep", {"a/1"}), ("move", {"taken/a/1"}), ("delete", set())]
)
def test_an_accepted_file_is_kept_moved_or_deleted_as_configured(
    tmp_path: Path, ledger: SqlLedger, after: str, left: set[str]
) -> None:
    site = FolderSite(tmp_path, ledger, after=after)
    site.drop("a/1")
    site.settle()
    assert site.names() == left
    site.refuse()
    assert site.instances() == 1


def test_after_a_restart_only_a_changed_file_is_accepted_again(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.drop("1")
    site.settle()
    accepted = []
    accept = site.intake.accept_file

    def counting(*arguments: Any) -> object:
        accepted.append(arguments)
        return accept(*arguments)

    monkeypatch.setattr(site.intake, "accept_file", counting)
    site.start()
    site.settle()
    assert not accepted
    site.drop("1", number=2)
    site.settle()
    assert len(accepted) == 1
    assert site.instances() == 2


def test_a_file_with_the_name_of_a_moved_file_is_moved_under_another_name(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    site = FolderSite(tmp_path, ledger, after="move")
    for number in range(3):
        site.drop("IM1", number=number)
        site.settle()
    assert site.names() == {"taken/IM1", "taken/IM1.2", "taken/IM1.3"}
    assert site.instances() == 3


DIRECTORY = image(SOPClassUID=UID("1.2.840.10008.1.3.10"), StudyInstanceUID=None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a text", "not a DICOM file"),
        (b"", "empty"),
        (part10(image())[:-100], "shorter than the header states"),
        (part10(DIRECTORY), "DICOMDIR"),
        (part10(image(SOPClassUID=UID("1.2.840.10008.1.1"))), "not an accepted storage SOP class"),
        (part10(image(PixelData=bytes(200_000))), "receiver.instance_bytes, 100000"),
    ],
)
def test_a_refused_file_is_moved_with_a_text_that_gives_the_reason(
    site: FolderSite, content: bytes, why: str
) -> None:
    site.drop("cd/IMAGE", content)
    site.refuse()
    assert site.names() == {"refused/cd/IMAGE", "refused/cd/IMAGE.why.txt"}
    assert (site.root / "refused/cd/IMAGE").read_bytes() == content
    assert why in (site.root / "refused/cd/IMAGE.why.txt").read_text()
    (incident,) = site.incidents()
    assert why in incident
    assert not list((site.state / "quarantine").iterdir())
    site.refuse()
    assert len(site.incidents()) == 1


def test_a_damaged_file_does_not_hold_up_others(site: FolderSite) -> None:
    site.drop("1", b"damaged")
    site.drop("2")
    site.settle()
    assert site.instances() == 1


def test_links_and_pipes_are_not_followed(site: FolderSite, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(part10(image()))
    (site.root / "link").symlink_to(outside / "secret")
    (site.root / "links").symlink_to(outside)
    os.mkfifo(site.root / "pipe")
    site.refuse()
    assert not site.instances()
    assert (outside / "secret").exists()
    assert not site.incidents()


def test_a_folder_that_becomes_a_link_is_not_followed(
    site: FolderSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.drop("a/1")
    site.scan()
    settled = site.scanner._list_settled

    def swapping(now: float) -> list[Any]:
        shutil.move(site.root / "a", tmp_path / "outside")
        (site.root / "a").symlink_to(tmp_path / "outside")
        return settled(now)

    monkeypatch.setattr(site.scanner, "_list_settled", swapping)
    site.scan(SETTLE_S)
    assert not site.instances()
    assert (tmp_path / "outside" / "1").exists()


def test_hidden_files_are_ignored(site: FolderSite) -> None:
    site.drop(".IM1.x7Gk2")
    site.drop(".snapshot/IM1")
    site.refuse()
    assert not site.instances()
    assert site.names() == {".IM1.x7Gk2", ".snapshot/IM1"}


def test_an_unavailable_folder_is_logged_once_and_when_it_is_back(site: FolderSite) -> None:
    site.drop("1")
    away = site.root.with_name("away")
    with structlog.testing.capture_logs() as lines:
        site.root.rename(away)
        for _ in range(3):
            site.scan(SETTLE_S)
        away.rename(site.root)
        site.settle()
    events = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert events == ["the watched folder is unavailable", "the watched folder is available again"]
    assert site.instances() == 1


def test_an_unreadable_file_waits_and_is_logged_once(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.drop("1")
    opened = os.open

    def forbidding(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "1":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **named)

    with structlog.testing.capture_logs() as lines:
        with monkeypatch.context() as patch:
            patch.setattr("receivers.folder.files.os.open", forbidding)
            for _ in range(3):
                site.settle()
        assert site.names() == {"1"}
        assert not site.bringing()
        site.settle()
    events = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert events == [
        "files of the watched folder cannot be read",
        "all files of the watched folder can be read",
    ]
    assert site.instances() == 1


def test_a_file_replaced_while_it_is_accepted_is_not_deleted_and_is_accepted_later(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = FolderSite(tmp_path, ledger, after="delete")
    site.drop("1")
    accept = site.intake.accept_file

    def replacing(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        receipt = accept(*arguments, **named)
        os.utime(site.drop("1", number=2), ns=(7, 7))
        return receipt

    monkeypatch.setattr(site.intake, "accept_file", replacing)
    site.settle()
    assert (site.names(), site.instances()) == ({"1"}, 1)
    site.settle()
    assert (site.names(), site.instances()) == (set(), 2)


def replace_with(path: Path, content: bytes) -> None:
    """Put another file in the place of one, as `mv` does, with the same time of change."""
    before = path.stat()
    other = path.with_name(".other")
    other.write_bytes(content)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    ("after", "left"), [("keep", {"1"}), ("move", {"taken/1"}), ("delete", set())]
)
def test_a_file_that_another_of_the_same_size_and_time_replaces_is_read_too(
    tmp_path: Path,
    ledger: SqlLedger,
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    left: set[str],
) -> None:
    site = FolderSite(tmp_path, ledger, after=after)
    path = site.drop("1")
    accept = site.intake.accept_file

    def replacing(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        receipt = accept(*arguments, **named)
        replace_with(path, part10(image(number=2)))
        return receipt

    monkeypatch.setattr(site.intake, "accept_file", replacing)
    site.settle()
    assert (site.names(), site.instances()) == ({"1"}, 1)
    site.settle()
    assert (site.names(), site.instances()) == (left, 2)


def test_a_file_that_replaces_a_refused_one_is_read(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = part10(image())
    path = site.drop("1", bytes(len(content)))
    report = site.intake.report_refused

    def replacing(*arguments: Any) -> None:
        monkeypatch.undo()
        report(*arguments)
        replace_with(path, content)

    monkeypatch.setattr(site.intake, "report_refused", replacing)
    site.refuse()
    assert site.names() == {"1"}
    site.settle()
    assert site.instances() == 1


def test_a_file_that_takes_the_place_of_another_in_the_moment_of_the_move_is_read(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = FolderSite(tmp_path, ledger, after="move")
    path = site.drop("1")
    rename = os.rename

    def replacing(*arguments: Any, **named: Any) -> None:
        monkeypatch.undo()
        replace_with(path, part10(image(number=2)))
        rename(*arguments, **named)

    monkeypatch.setattr("receivers.folder.files.os.rename", replacing)
    site.settle()
    assert (site.names(), site.instances()) == ({"1"}, 1)
    site.settle()
    assert (site.names(), site.instances()) == ({"taken/1"}, 2)


def test_the_text_of_a_refusal_overwrites_no_file(site: FolderSite) -> None:
    site.drop("1.why.txt", b"damaged")
    site.refuse()
    site.drop("1", b"damaged")
    site.refuse()
    assert (site.root / "refused" / "1.why.txt").read_bytes() == b"damaged"
    assert {"refused/1.2", "refused/1.2.why.txt"} <= site.names()


def test_a_refused_file_that_cannot_be_moved_stays_and_is_reported_once(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(site.scanner._files, "move", read_only)
    site.drop("1", b"damaged")
    for _ in range(3):
        site.refuse()
    assert site.names() == {"1"}
    assert len(site.incidents()) == 1


def test_files_wait_while_free_space_is_below_the_floor(tmp_path: Path, ledger: SqlLedger) -> None:
    site = FolderSite(tmp_path, ledger)
    seconds = iter(range(0, 1000, 2))
    spool, limits = FileSpool(tmp_path), BackpressureLimits(free_bytes=10)
    pressure = Backpressure(spool, ledger, limits, monotonic=lambda: next(seconds))
    site.intake = Intake(spool, ledger, pressure=pressure)
    site.start()
    spool.measure_free_bytes = lambda: 9  # type: ignore[method-assign]
    site.drop("one.dcm")
    site.refuse()
    site.scan(SETTLE_S * DAMAGED_SETTLE_FACTOR)
    assert site.names() == {"one.dcm"}
    spool.measure_free_bytes = lambda: 100  # type: ignore[method-assign]
    site.scan(SETTLE_S)
    assert site.instances() == 1


@pytest.mark.parametrize("error", [SpoolFull("no room"), LedgerUnavailable("busy")])
def test_files_wait_while_the_spool_is_full_or_the_ledger_is_busy(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    site = FolderSite(tmp_path, ledger, after="delete")
    site.drop("1")

    def full(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
        patch.setattr(site.intake, "accept_file", full)
        site.settle()
        site.settle()
    assert len([line for line in lines if "files wait" in line["event"]]) == 1
    assert site.names() == {"1"}
    site.scan()
    assert (site.instances(), site.names()) == (1, set())


def test_pending_files_count_as_an_open_association(site: FolderSite) -> None:
    site.drop("1", number=1)
    site.scan()
    site.scan(SETTLE_S - 1)
    site.drop("2", number=2)
    site.scan(1)
    assert site.instances() == 1
    assert site.bringing() == 1
    site.scan(SETTLE_S)
    assert site.instances() == 2
    assert site.bringing() == 0


def test_no_file_name_is_written_to_log_ledger_or_state_folder(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    site = FolderSite(tmp_path, ledger)
    with structlog.testing.capture_logs() as lines:
        site.drop(f"{SECRET}/{SECRET}.dcm")
        site.drop(f"{SECRET}/damaged_{SECRET}.dcm", b"damaged")
        site.refuse()
    assert lines
    assert SECRET not in json.dumps(lines)
    assert SECRET not in str(site.incidents())
    assert SECRET not in (tmp_path / "folder.taken").read_text()


def test_the_thread_scans_until_it_is_ended(tmp_path: Path, ledger: SqlLedger) -> None:
    root = tmp_path / "later"
    settings = WatchedFolder(path=root, settle_s=0.1, every_s=0.05, after="delete")
    watching = watched.start(
        Intake(FileSpool(tmp_path), ledger), settings, 100_000, tmp_path, AcceptedClasses()
    )
    root.mkdir()
    (root / "1").write_bytes(part10(image()))
    wait_until(ledger.list_studies, what="the study")
    watching.end()
    assert not watching._thread.is_alive()
    (root / "2").write_bytes(part10(image(number=2)))
    (study,) = ledger.list_studies()
    assert study.instances == 1


def test_a_defect_does_not_end_the_thread(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[float] = []

    def defective(_self: FolderScanner, now: float, _ending: Event) -> None:
        scans.append(now)
        raise ZeroDivisionError

    monkeypatch.setattr(FolderScanner, "scan", defective)
    settings = WatchedFolder(path=tmp_path, every_s=0.05)
    watching = watched.start(
        Intake(FileSpool(tmp_path), ledger), settings, 100_000, tmp_path, AcceptedClasses()
    )
    wait_until(lambda: len(scans) > 2, what="further scans")
    watching.end()


def test_accepted_files_are_known_after_a_restart_and_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    taken = AcceptedFiles(path)
    keys = [f"{number:032x}" for number in range(3 * STALE_KEYS_MAX)]
    for key in keys:
        taken.add(key)
    with path.open("a") as file:
        file.write("half a li")
    again = AcceptedFiles(path)
    assert all(key in again for key in keys)
    again.prune(keys[:10])
    assert keys[5] in AcceptedFiles(path)
    assert keys[500] not in AcceptedFiles(path)


def test_a_changed_file_has_another_key(tmp_path: Path) -> None:
    snapshot = FileSnapshot(100, 1)
    key = compute_key(tmp_path, snapshot)
    assert key != compute_key(tmp_path, FileSnapshot(101, 1))
    assert key != compute_key(tmp_path, FileSnapshot(100, 2))
    assert key != compute_key(tmp_path / "x", snapshot)
