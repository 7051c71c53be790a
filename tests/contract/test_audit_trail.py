"""Contract of the audit trail: the spooled one, the one that keeps nothing, and the fake."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders.audit_events import EVENTS
from tests.fakes import FakeClock, FakeTrail
from triage.audit.message import AuditAuthor
from triage.audit.spool import SpooledAuditTrail
from triage.domain.audit import NoAuditTrail
from triage.ports.audit import AuditTrail

MOST = 1000


@dataclass(frozen=True)
class OpenTrail:
    """A trail, how many events it has, and how to break its storage."""

    trail: AuditTrail
    count: Callable[[], int] | None = None  #: None: it keeps no events
    break_storage: Callable[[], None] = lambda: None


@pytest.fixture(params=["spooled", "none", "fake"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> OpenTrail:
    if request.param == "none":
        return OpenTrail(NoAuditTrail())
    if request.param == "fake":
        fake = FakeTrail()
        return OpenTrail(fake, lambda: len(fake.events))
    folder = tmp_path / "audit"
    spooled = SpooledAuditTrail(folder, AuditAuthor("triage-1"), clock, MOST)
    return OpenTrail(spooled, spooled.waiting, lambda: shutil.rmtree(folder))


def test_every_kind_of_event_is_recorded(opened: OpenTrail) -> None:
    for event in EVENTS.values():
        opened.trail.record(event)
    if opened.count is not None:
        assert opened.count() == len(EVENTS)


def test_threads_record_without_losses(opened: OpenTrail) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(opened.trail.record, [EVENTS["sent"]] * 40))
    if opened.count is not None:
        assert opened.count() == 40


def test_a_failing_storage_raises_nothing(opened: OpenTrail) -> None:
    opened.break_storage()
    opened.trail.record(EVENTS["sent"])
