import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock
from triage.audit.message import AuditAuthor
from triage.audit.spool import SpooledAuditTrail
from triage.domain import audit

AUTHOR = AuditAuthor("triage-1")


@pytest.fixture
def trail(tmp_path: Path, clock: FakeClock) -> SpooledAuditTrail:
    return SpooledAuditTrail(tmp_path / "audit", AUTHOR, clock, 10)


def test_messages_wait_in_the_order_of_their_time(
    trail: SpooledAuditTrail, clock: FakeClock
) -> None:
    for user in "abc":
        trail.record(audit.build_login_event(user, ""))
        clock.pass_s(1)
    messages = [message for _, message in trail.oldest(10)]
    for user, message in zip("abc", messages, strict=True):
        assert f'UserID="{user}"'.encode() in message
    assert trail.waiting() == 3
    trail.remove([name for name, _ in trail.oldest(2)])
    assert trail.waiting() == 1


def test_only_the_owner_can_read_messages(trail: SpooledAuditTrail) -> None:
    trail.record(EVENTS["sent"])
    (path,) = trail.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert trail.folder.stat().st_mode & 0o777 == 0o700
    assert "4711" not in path.name


def test_threads_do_not_overwrite_each_other(tmp_path: Path) -> None:
    trail = SpooledAuditTrail(tmp_path / "audit", AUTHOR, FakeClock(), 1000)

    def record() -> None:
        for _ in range(20):
            trail.record(EVENTS["sent"])

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trail.waiting() == 80


def test_a_full_spool_keeps_its_messages_warns_and_reports_the_loss(
    trail: SpooledAuditTrail,
) -> None:
    with capture_logs() as logs:
        for user in range(13):
            trail.record(audit.build_login_event(f"user{user}", ""))
    assert trail.waiting() == 10
    assert trail.missed() == 3
    assert [entry["log_level"] for entry in logs] == ["warning"]
    trail.remove([name for name, _ in trail.oldest(10)])
    trail._counted_at = float("-inf")
    trail.record_gap()
    ((_, message),) = trail.oldest(10)
    assert b"3 event(s) were not recorded" in message
    assert trail.missed() == 0


def test_a_gap_is_not_recorded_while_the_spool_is_full(trail: SpooledAuditTrail) -> None:
    for _ in range(11):
        trail.record(EVENTS["sent"])
    trail.record_gap()
    assert (trail.waiting(), trail.missed()) == (10, 1)


def test_a_crash_while_a_gap_is_recorded_records_it_again(trail: SpooledAuditTrail) -> None:
    (trail.folder / "missed.told").write_bytes(b"..")
    assert trail.missed() == 2
    trail.record_gap()
    assert (trail.waiting(), trail.missed()) == (1, 0)


def test_an_incomplete_message_is_removed_and_never_sent(
    trail: SpooledAuditTrail, clock: FakeClock
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


def test_a_message_completed_during_the_sweep_stays(
    trail: SpooledAuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = trail.folder / "1-1-1.new"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([new]))  # listed, and renamed since
    trail.sweep()
