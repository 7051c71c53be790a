"""The ledger on every kind of database."""

from collections.abc import Iterator

import pytest

from tests.fakes import FakeClock
from triage.store.database import Database
from triage.store.ledger import SqlLedger


@pytest.fixture
def ledger(database_url: str, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger(Database(database_url), clock)
    yield opened
    opened.close()
