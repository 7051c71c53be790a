import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock
from tests.integration.servers import wait_until
from triage.audit.file import LineFile
from triage.audit.message import Author
from triage.audit.sender import BATCH, LOCK, UNCONFIRMED_MOST, Sender
from triage.audit.spool import FileTrail
from triage.audit.syslog import Unconfirmed
from triage.concurrency.file_lock import acquire_lock
from triage.domain import audit
from triage.domain.errors import AuditUnavailable


class FakeRepository:
    """One that takes messages, or fails as it is told to."""

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
def trail(tmp_path: Path, clock: FakeClock) -> FileTrail:
    return FileTrail(tmp_path / "audit", Author("triage-1"), clock, 10_000)


def record(trail: FileTrail, clock: FakeClock, count: int) -> None:
    for number in range(count):
        trail.record(audit.logged_in(f"user{number:04d}", ""))
        clock.pass_s(0.001)


def test_everything_is_sent_in_order_and_then_forgotten(trail: FileTrail, clock: FakeClock) -> None:
    repository = FakeRepository()
    record(trail, clock, BATCH + 5)
    assert Sender(trail, repository).send_waiting() == BATCH + 5
    assert [each.partition(b'UserID="user')[2][:4] for each in repository.taken] == [
        b"%04d" % number for number in range(BATCH + 5)
    ]
    assert trail.waiting() == 0
    assert repository.asked == 2


def test_what_was_not_taken_waits(trail: FileTrail, clock: FakeClock) -> None:
    repository = FakeRepository()
    sender = Sender(trail, repository)
    record(trail, clock, 3)
    repository.fails = AuditUnavailable("away")
    with pytest.raises(AuditUnavailable):
        sender.send_waiting()
    assert trail.waiting() == 3
    repository.fails = None
    assert sender.send_waiting() == 3


def test_one_that_never_confirms_is_believed_at_last(trail: FileTrail, clock: FakeClock) -> None:
    repository = FakeRepository()
    sender = Sender(trail, repository)
    repository.fails = Unconfirmed("did not say so")
    record(trail, clock, 1)
    for _ in range(UNCONFIRMED_MOST - 1):
        with pytest.raises(Unconfirmed):
            sender.send_waiting()
    assert sender.send_waiting() == 1


def test_the_pauses_grow_to_a_minute(trail: FileTrail) -> None:
    sender = Sender(trail, FakeRepository())
    pauses = []
    for failures in range(10):
        sender._failures = failures
        pauses.append(sender._pause_s())
    assert pauses[:4] == [1, 1, 2, 4]
    assert pauses[-1] == 60


def test_of_two_processes_one_sends(trail: FileTrail, clock: FakeClock) -> None:
    first, second = FakeRepository(), FakeRepository()
    one, other = Sender(trail, first), Sender(trail, second)
    one.start()
    wait_until(lambda: take_over(trail) is None, 10, "the lock")
    other.start()
    record(trail, clock, 5)
    wait_until(lambda: len(first.taken) == 5, 20, "sending")
    assert second.taken == []
    one.end(10)
    record(trail, clock, 2)
    wait_until(lambda: len(second.taken) == 2, 20, "the other one, which takes over")
    other.end(10)


def take_over(trail: FileTrail) -> int | None:
    """Return a descriptor where nobody held the lock; it is given back at once."""
    held = acquire_lock(trail.folder / LOCK)
    if held is not None:
        os.close(held)
    return held


def test_the_end_sends_what_has_just_been_said(trail: FileTrail) -> None:
    repository = FakeRepository()
    sender = Sender(trail, repository)
    sender.start()
    trail.record(EVENTS["stop"])
    sender.end(20)
    assert len(repository.taken) == 1


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_sweep_that_fails_ends_no_sending(
    trail: FileTrail, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(trail, "sweep", fails)
    repository = FakeRepository()
    sender = Sender(trail, repository)
    sender.start()
    trail.record(EVENTS["start"])
    wait_until(lambda: len(repository.taken) == 1, 20, "sending")
    sender.end(20)


def test_a_repository_that_hangs_holds_no_process_up_that_ends(trail: FileTrail) -> None:
    asked, answers = threading.Event(), threading.Event()

    class Hanging(FakeRepository):
        def send(self, messages: Sequence[bytes]) -> None:
            asked.set()
            answers.wait(30)
            self.taken += messages

    sender = Sender(trail, Hanging())
    sender.start()
    trail.record(EVENTS["start"])
    assert asked.wait(20)
    before = time.monotonic()
    sender.end(0.1)
    assert time.monotonic() - before < 5
    assert sender._thread.daemon  # nor is it waited for at the very end
    answers.set()


def test_lines_in_a_file(tmp_path: Path, trail: FileTrail, clock: FakeClock) -> None:
    path = tmp_path / "audit.log"
    sender = Sender(trail, LineFile(path))
    for _ in range(2):
        record(trail, clock, 3)
        sender.send_waiting()
    assert path.stat().st_mode & 0o777 == 0o600
    lines = path.read_bytes().splitlines()
    assert len(lines) == 6
    assert all(each.startswith(b"<85>1 ") and each.endswith(b"</AuditMessage>") for each in lines)


@pytest.mark.parametrize("torn", [b"<85>1 2023", b"<8", b"<"])
def test_a_line_that_a_crash_cut_off_is_taken_away(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"<85>1 whole\n" + torn)
    LineFile(path).send([b"<85>1 next"])
    assert path.read_bytes() == b"<85>1 whole\n<85>1 next\n"


def test_what_others_wrote_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"first\nmy notes")
    LineFile(path).send([b"<85>1 next"])
    assert path.read_bytes() == b"first\nmy notes\n<85>1 next\n"


def test_a_file_that_cannot_be_written_keeps_messages_waiting(
    tmp_path: Path, trail: FileTrail
) -> None:
    trail.record(EVENTS["sent"])
    sender = Sender(trail, LineFile(tmp_path / "nowhere" / "audit.log"))
    with pytest.raises(AuditUnavailable, match="No such file"):
        sender.send_waiting()
    assert trail.waiting() == 1
