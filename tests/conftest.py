"""Fixtures that many tests share: a clock that obeys, a real ledger, a broker in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import FakeClock, FakeQueue
from triage.store.ledger import SqlLedger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger.in_folder(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()
