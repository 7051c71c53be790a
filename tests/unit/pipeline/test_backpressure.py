"""When back-pressure begins and ends."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE, current, ready, received
from tests.fakes import FakeClock
from triage.domain.errors import BackpressureActive, LedgerUnavailable, SpoolUnavailable
from triage.domain.instance import ReceiptOutcome
from triage.domain.study import Event
from triage.pipeline.backpressure import (
    Backpressure,
    BackpressureLimits,
    DiscardedFile,
    MeasuredLoad,
    NoticeFile,
)
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

FLOOR = 5_000_000_000  #: bytes
SOME = FLOOR // 20


@dataclass
class Disk(FileSpool):
    """A spool with a given number of free bytes."""

    folder: Path
    free: int = 10 * FLOOR
    asked: int = 0

    def __post_init__(self) -> None:
        super().__init__(self.folder)

    def measure_free_bytes(self) -> int:
        self.asked += 1
        return self.free


@dataclass
class PressuredSite:
    """An intake with back-pressure, and its clock."""

    folder: Path
    ledger: SqlLedger
    limits: BackpressureLimits
    seconds: FakeClock = field(default_factory=FakeClock)
    said: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = Disk(self.folder)
        self.pressure = Backpressure(
            self.disk, self.ledger, self.limits, self.said.append, self.seconds.now
        )
        self.intake = Intake(self.disk, self.ledger, pressure=self.pressure)

    def has_free(self, free: int) -> MeasuredLoad:
        """Set the free space, and let a second pass."""
        self.disk.free = free
        return self.later()

    def later(self) -> MeasuredLoad:
        self.seconds.pass_s(1)
        return self.pressure.load()

    def takes(self, study: str = "study", number: int = 1, **header: object) -> bool:
        """Return whether an instance is accepted, as bytes and as a file."""
        content = part10(image(study, "series", number, **header))
        aside = self.intake.open_staging_file()
        aside.write(content)
        aside.close()
        ways = (
            lambda: self.intake.accept(content, SOURCE),
            lambda: self.intake.accept_file(aside, SOURCE),
        )
        (answer,) = {_succeeds(way) for way in ways}
        return answer


def _succeeds(way: Callable[[], object]) -> bool:
    try:
        way()
    except BackpressureActive:
        return False
    return True


@pytest.fixture
def floored(tmp_path: Path, ledger: SqlLedger) -> PressuredSite:
    return PressuredSite(tmp_path, ledger, BackpressureLimits(free_bytes=FLOOR))


def crowded(tmp_path: Path, ledger: SqlLedger, ceiling: int) -> PressuredSite:
    return PressuredSite(tmp_path, ledger, BackpressureLimits(waiting_studies=ceiling))


def test_below_the_floor_instances_are_refused_until_a_tenth_more_is_free(
    floored: PressuredSite,
) -> None:
    assert floored.takes()
    for free, is_taken in (
        (FLOOR, True),
        (FLOOR - 1, False),
        (FLOOR + SOME, False),  # no flapping
        (FLOOR * 11 // 10, True),
        (FLOOR + SOME, True),
    ):
        floored.has_free(free)
        assert floored.takes() is is_taken, free


def test_instances_are_refused_while_the_object_store_does_not_answer(
    floored: PressuredSite, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise SpoolUnavailable("the store does not answer")

    assert floored.takes()
    with monkeypatch.context() as patch:
        patch.setattr(floored.disk, "measure_free_bytes", away)
        assert floored.later().free_bytes == 10 * FLOOR  # what was known of the disk
        assert not floored.takes()
    floored.later()
    assert floored.takes()
    assert floored.said[-2:] == ["not receiving: the store does not answer", None]
    (incident,) = ledger.incidents()
    assert incident.detail == "out of resources: the store does not answer"


def test_a_refused_instance_leaves_no_file(floored: PressuredSite, tmp_path: Path) -> None:
    floored.has_free(0)
    assert not floored.takes()
    assert not [file for file in (tmp_path / "spool").rglob("*") if file.is_file()]
    assert isinstance(floored.intake.open_staging_file(), DiscardedFile)


def test_an_instance_whose_first_byte_was_accepted_is_stored(floored: PressuredSite) -> None:
    aside = floored.intake.open_staging_file()
    aside.write(part10(image()))
    aside.close()
    floored.has_free(0)
    assert floored.intake.accept_file(aside, SOURCE).outcome is ReceiptOutcome.NEW


def test_the_disk_is_measured_once_a_second_at_most(floored: PressuredSite) -> None:
    for number in range(50):
        assert floored.takes(number=number)
    assert floored.disk.asked == 1


def test_refusals_are_one_incident_with_a_count(floored: PressuredSite, ledger: SqlLedger) -> None:
    floored.has_free(FLOOR // 2)
    assert not floored.takes()
    floored.has_free(FLOOR // 3)
    assert not floored.takes()
    floored.intake.flush_incidents()
    (incident,) = ledger.incidents()
    assert (incident.kind, incident.times) == ("refused instance", 4)
    assert incident.detail == "out of resources: less than 5.0 GB free"


def test_a_study_that_has_begun_is_accepted_at_the_ceiling(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    site = crowded(tmp_path, ledger, ceiling=2)
    assert site.takes("a")
    assert site.takes("b")
    site.later()
    assert not site.takes("c")
    assert site.takes("a", number=2)
    assert site.takes("a", number=1)  # a duplicate
    studies = {study.study_uid: study.instances for study in ledger.list_studies()}
    assert studies == {uid("a"): 2, uid("b"): 1}


def test_an_assessed_study_makes_room_for_a_new_one(tmp_path: Path, ledger: SqlLedger) -> None:
    site = crowded(tmp_path, ledger, ceiling=2)
    for study in ("a", "b"):
        ready(ledger, study)
    site.later()
    assert not site.takes("c")
    assert ledger.claim(uid("a"), 1, "worker", 30) is not None
    site.later()
    assert site.takes("c")


def test_a_large_ceiling_ends_when_a_tenth_is_assessed(tmp_path: Path, ledger: SqlLedger) -> None:
    site = crowded(tmp_path, ledger, ceiling=20)
    for number in range(20):
        received(ledger, f"study {number}", count=1)
    for number in range(2):
        assert site.later().is_busy
        study = current(ledger, uid(f"study {number}"))
        assert ledger.move(study, Event.JUDGED_COMPLETE, "quiet")
        assert ledger.claim(study.study_uid, 1, "worker", 30) is not None
    assert site.later().is_busy
    ready(ledger, "study 2")
    assert ledger.claim(uid("study 2"), 1, "worker", 30) is not None
    assert not site.later().is_busy


def test_begin_and_end_of_back_pressure_are_logged(floored: PressuredSite) -> None:
    with structlog.testing.capture_logs() as logged:
        for free in (10 * FLOOR, 0, 0, 0, 10 * FLOOR, 10 * FLOOR):
            floored.has_free(free)
            floored.takes()
    events = [entry["event"] for entry in logged if entry["event"] != "refused instance"]
    assert events == ["not receiving: 0 MB free of a floor of 5.0 GB", "receiving again"]


def test_the_notice_exists_during_back_pressure(floored: PressuredSite) -> None:
    floored.has_free(10 * FLOOR)
    assert floored.said == [None]  # of a receiver that was killed, nothing may stay
    floored.has_free(FLOOR // 2)
    floored.has_free(FLOOR // 10)
    floored.has_free(10 * FLOOR)
    assert floored.said[1:] == [
        "not receiving: 2.5 GB free of a floor of 5.0 GB",
        "not receiving: 500 MB free of a floor of 5.0 GB",
        None,
    ]


def test_the_last_measurement_is_used_while_measuring_fails(
    floored: PressuredSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise LedgerUnavailable("busy")

    floored.has_free(0)
    monkeypatch.setattr(floored.ledger, "count_waiting_studies", away)
    assert floored.has_free(10 * FLOOR).is_full


def test_a_notice_is_read_by_another_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    notice = NoticeFile(tmp_path)
    assert notice.read() is None
    notice("not receiving")
    assert NoticeFile(tmp_path).read() == "not receiving"
    notice(None)
    notice(None)
    assert notice.read() is None
    notice("not receiving new studies")
    notice("not receiving")  # shorter, and over what was there
    assert notice.read() == "not receiving"
    NoticeFile(tmp_path / "away")("not receiving")  # no room for it, or no folder
