import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock
from tests.waiting import wait_until
from triage.audit.file import FileTransport
from triage.audit.message import AuditAuthor
from triage.audit.sender import BATCH, LOCK, UNCONFIRMED_MOST, AuditSender
from triage.audit.spool import SpooledAuditTrail
from triage.audit.syslog import AuditUnconfirmed
from triage.concurrency.file_lock import acquire_lock
from triage.domain import audit
from triage.domain.errors import AuditUnavailable


class FakeRepository:
    """An audit repository that takes messages, or raises the error in `fails`."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.taken: list[bytes] = []
        self.asked = 0

    def send(self, messages: Sequence[bytes]) -> None:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        self.taken += messages

    def check(self) -> str:
        return "there"


@pytest.fixture
def trail(tmp_path: Path, clock: FakeClock) -> SpooledAuditTrail:
    return SpooledAuditTrail(tmp_path / "audit", AuditAuthor("triage-1"), clock, 10_000)


def record(trail: SpooledAuditTrail, clock: FakeClock, count: int) -> None:
    for number in range(count):
        trail.record(audit.build_login_event(f"user{number:04d}", ""))
        clock.pass_s(0.001)


def test_messages_are_sent_in_order_and_then_removed(
    trail: SpooledAuditTrail, clock: FakeClock
) -> None:
    repository = FakeRepository()
    record(trail, clock, BATCH + 5)
    assert AuditSender(trail, repository).send_waiting() == BATCH + 5
    assert [taken.partition(b'UserID="user')[2][:4] for taken in repository.taken] == [
        b"%04d" % number for number in range(BATCH + 5)
    ]
    assert trail.waiting() == 0
    assert repository.asked == 2


def test_messages_wait_while_the_repository_is_down(
    trail: SpooledAuditTrail, clock: FakeClock
) -> None:
    repository = FakeRepository()
    sender = AuditSender(trail, repository)
    record(trail, clock, 3)
    repository.fails = AuditUnavailable("down")
    with pytest.raises(AuditUnavailable):
        sender.send_waiting()
    assert trail.waiting() == 3
    repository.fails = None
    assert sender.send_waiting() == 3


def test_messages_to_a_repository_that_never_confirms_count_as_sent_at_last(
    trail: SpooledAuditTrail, clock: FakeClock
) -> None:
    repository = FakeRepository()
    sender = AuditSender(trail, repository)
    repository.fails = AuditUnconfirmed("no confirmation")
    record(trail, clock, 1)
    for _ in range(UNCONFIRMED_MOST - 1):
        with pytest.raises(AuditUnconfirmed):
            sender.send_waiting()
    assert sender.send_waiting() == 1


def test_the_pauses_grow_to_a_minute(trail: SpooledAuditTrail) -> None:
    sender = AuditSender(trail, FakeRepository())
    pauses = []
    for failures in range(10):
        sender._failures = failures
        pauses.append(sender._pause_s())
    assert pauses[:4] == [1, 1, 2, 4]
    assert pauses[-1] == 60


def test_only_one_of_two_processes_sends(trail: SpooledAuditTrail, clock: FakeClock) -> None:
    first, second = FakeRepository(), FakeRepository()
    one, other = AuditSender(trail, first), AuditSender(trail, second)
    one.start()
    wait_until(lambda: try_lock(trail) is None, what="the lock")
    other.start()
    record(trail, clock, 5)
    wait_until(lambda: len(first.taken) == 5, what="sending")
    assert second.taken == []
    one.end(10)
    record(trail, clock, 2)
    wait_until(lambda: len(second.taken) == 2, what="the other sender to take over")
    other.end(10)


def try_lock(trail: SpooledAuditTrail) -> int | None:
    """Return None if the lock is held; else a descriptor that is already closed."""
    descriptor = acquire_lock(trail.folder / LOCK)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor


def test_the_end_sends_messages_recorded_just_before(trail: SpooledAuditTrail) -> None:
    repository = FakeRepository()
    sender = AuditSender(trail, repository)
    sender.start()
    trail.record(EVENTS["stop"])
    sender.end(20)
    assert len(repository.taken) == 1


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_sending_continues_after_a_failed_sweep(
    trail: SpooledAuditTrail, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(trail, "sweep", fails)
    repository = FakeRepository()
    sender = AuditSender(trail, repository)
    sender.start()
    trail.record(EVENTS["start"])
    wait_until(lambda: len(repository.taken) == 1, what="sending")
    sender.end(20)


def test_a_hanging_repository_does_not_delay_the_end_of_a_process(trail: SpooledAuditTrail) -> None:
    asked, answers = threading.Event(), threading.Event()

    class Hanging(FakeRepository):
        def send(self, messages: Sequence[bytes]) -> None:
            asked.set()
            answers.wait(60)
            self.taken += messages

    sender = AuditSender(trail, Hanging())
    sender.start()
    trail.record(EVENTS["start"])
    assert asked.wait(60)
    before = time.monotonic()
    sender.end(0.1)
    assert time.monotonic() - before < 5
    assert sender._thread.daemon  # the interpreter does not wait for it either
    answers.set()


def test_messages_are_appended_to_a_file(
    tmp_path: Path, trail: SpooledAuditTrail, clock: FakeClock
) -> None:
    path = tmp_path / "audit.log"
    sender = AuditSender(trail, FileTransport(path))
    for _ in range(2):
        record(trail, clock, 3)
        sender.send_waiting()
    assert path.stat().st_mode & 0o777 == 0o600
    lines = path.read_bytes().splitlines()
    assert len(lines) == 6
    assert all(line.startswith(b"<85>1 ") and line.endswith(b"</AuditMessage>") for line in lines)


@pytest.mark.parametrize("torn", [b"<85>1 2023", b"<8", b"<"])
def test_an_incomplete_line_after_a_crash_is_removed(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"<85>1 whole\n" + torn)
    FileTransport(path).send([b"<85>1 next"])
    assert path.read_bytes() == b"<85>1 whole\n<85>1 next\n"


def test_lines_of_other_programs_are_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"first\nmy notes")
    FileTransport(path).send([b"<85>1 next"])
    assert path.read_bytes() == b"first\nmy notes\n<85>1 next\n"


def test_messages_wait_while_the_file_cannot_be_written(
    tmp_path: Path, trail: SpooledAuditTrail
) -> None:
    trail.record(EVENTS["sent"])
    sender = AuditSender(trail, FileTransport(tmp_path / "nowhere" / "audit.log"))
    with pytest.raises(AuditUnavailable, match="No such file"):
        sender.send_waiting()
    assert trail.waiting() == 1
