import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock
from triage.audit.message import Author
from triage.audit.spool import FileTrail
from triage.domain import audit

AUTHOR = Author("triage-1")


@pytest.fixture
def trail(tmp_path: Path, clock: FakeClock) -> FileTrail:
    return FileTrail(tmp_path / "audit", AUTHOR, clock, 10)


def test_messages_wait_in_the_order_of_their_time(trail: FileTrail, clock: FakeClock) -> None:
    for user in "abc":
        trail.record(audit.logged_in(user, ""))
        clock.pass_s(1)
    said = [message for _, message in trail.oldest(10)]
    assert [
        f'UserID="{user}"'.encode() in each for user, each in zip("abc", said, strict=True)
    ] == ([True] * 3)
    assert trail.waiting() == 3
    trail.sent([name for name, _ in trail.oldest(2)])
    assert trail.waiting() == 1


def test_they_are_for_their_owner_alone(trail: FileTrail) -> None:
    trail.record(EVENTS["sent"])
    (path,) = trail.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert trail.folder.stat().st_mode & 0o777 == 0o700
    assert "4711" not in path.name


def test_threads_do_not_overwrite_each_other(tmp_path: Path) -> None:
    trail = FileTrail(tmp_path / "audit", AUTHOR, FakeClock(), 1000)

    def record() -> None:
        for _ in range(20):
            trail.record(EVENTS["sent"])

    threads = [threading.Thread(target=record) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert trail.waiting() == 80


KILLED = """
import os, signal, sys
from pathlib import Path
from triage.audit.message import Author
from triage.audit.spool import FileTrail
from triage.runtime.clock import SystemClock
from triage.domain import audit
trail = FileTrail(Path(sys.argv[1]), Author("t"), SystemClock(), 1000)
for number in range(1000):
    trail.record(audit.logged_in(f"user{number}", ""))
    print(number, flush=True)
"""


def test_what_was_recorded_outlives_kill_9(trail: FileTrail) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(trail.folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ) as process:
        assert process.stdout is not None
        recorded = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        recorded += [int(each) for each in process.stdout.read().split()]
    said = b"".join(message for _, message in trail.oldest(2000))
    assert recorded
    assert all(f'"user{number}"'.encode() in said for number in recorded)
    assert said.count(b"</AuditMessage>") == trail.waiting()


def test_a_full_spool_keeps_what_it_has_warns_and_says_how_much_it_missed(
    trail: FileTrail,
) -> None:
    with capture_logs() as logs:
        for user in range(13):
            trail.record(audit.logged_in(f"user{user}", ""))
    assert trail.waiting() == 10
    assert trail.missed() == 3
    assert [each["log_level"] for each in logs] == ["warning"]
    trail.sent([name for name, _ in trail.oldest(10)])
    trail._counted_at = float("-inf")
    trail.tell_of_gap()
    ((_, told),) = trail.oldest(10)
    assert b"3 event(s) were not recorded" in told
    assert trail.missed() == 0


def test_of_a_gap_nothing_is_told_while_there_is_no_room(trail: FileTrail) -> None:
    for _ in range(11):
        trail.record(EVENTS["sent"])
    trail.tell_of_gap()
    assert (trail.waiting(), trail.missed()) == (10, 1)


def test_a_crash_between_telling_of_a_gap_and_forgetting_it_tells_again(trail: FileTrail) -> None:
    (trail.folder / "missed.told").write_bytes(b"..")
    assert trail.missed() == 2
    trail.tell_of_gap()
    assert (trail.waiting(), trail.missed()) == (1, 0)


def test_a_disk_without_room_raises_nothing(small_disk: Path, clock: FakeClock) -> None:
    trail = FileTrail(small_disk / "audit", AUTHOR, clock, 1000)
    (small_disk / "big").write_bytes(bytes(200_000))
    with capture_logs() as logs:
        for _ in range(100):
            trail.record(EVENTS["sent"])
    assert 0 < trail.waiting() < 100
    assert {each["event"] for each in logs} == {"audit message not kept"}
    assert not list(trail.folder.glob("*.new"))
    (small_disk / "big").unlink()
    before = trail.waiting()
    trail.record(EVENTS["sent"])
    assert trail.waiting() == before + 1


def test_what_a_crash_left_half_written_is_swept_and_never_sent(
    trail: FileTrail, clock: FakeClock
) -> None:
    half = trail.folder / "1-1-1.new"
    half.write_bytes(b"<85>1 ")
    assert trail.oldest(10) == []
    clock.at = half.stat().st_mtime + 10
    trail.sweep()
    assert half.exists()
    clock.pass_s(3600)
    trail.sweep()
    assert not half.exists()


def test_a_message_that_is_whole_before_it_is_swept_stays(
    trail: FileTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = trail.folder / "1-1-1.new"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([new]))  # seen, and renamed since
    trail.sweep()
