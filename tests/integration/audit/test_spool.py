import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock
from triage.audit.message import AuditAuthor
from triage.audit.spool import SpooledAuditTrail

AUTHOR = AuditAuthor("triage-1")


@pytest.fixture
def trail(tmp_path: Path, clock: FakeClock) -> SpooledAuditTrail:
    return SpooledAuditTrail(tmp_path / "audit", AUTHOR, clock, 10)


KILLED = """
import os, signal, sys
from pathlib import Path
from triage.audit.message import AuditAuthor
from triage.audit.spool import SpooledAuditTrail
from triage.runtime.clock import SystemClock
from triage.domain import audit
trail = SpooledAuditTrail(Path(sys.argv[1]), AuditAuthor("t"), SystemClock(), 1000)
for number in range(1000):
    trail.record(audit.build_login_event(f"user{number}", ""))
    print(number, flush=True)
"""


def test_recorded_messages_survive_kill_9(trail: SpooledAuditTrail) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(trail.folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ) as process:
        assert process.stdout is not None
        recorded = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        recorded += [int(number) for number in process.stdout.read().split()]
    content = b"".join(message for _, message in trail.oldest(2000))
    assert recorded
    assert all(f'"user{number}"'.encode() in content for number in recorded)
    assert content.count(b"</AuditMessage>") == trail.waiting()


def test_a_full_disk_raises_nothing(small_disk: Path, clock: FakeClock) -> None:
    trail = SpooledAuditTrail(small_disk / "audit", AUTHOR, clock, 1000)
    (small_disk / "big").write_bytes(bytes(200_000))
    with capture_logs() as logs:
        for _ in range(100):
            trail.record(EVENTS["sent"])
    assert 0 < trail.waiting() < 100
    assert {entry["event"] for entry in logs} == {"audit message not kept"}
    assert not list(trail.folder.glob("*.new"))
    (small_disk / "big").unlink()
    before = trail.waiting()
    trail.record(EVENTS["sent"])
    assert trail.waiting() == before + 1
