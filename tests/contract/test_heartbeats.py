"""Heartbeats in the ledger, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from triage.domain.health import FORGOTTEN_S, Heartbeat, Role
from triage.store.database import Database
from triage.store.heartbeats import SqlHeartbeats

FIRST = Heartbeat("host", 1, Role.RECEIVE, 100.0, 100.0, 100.0)


@pytest.fixture
def beats(database_url: str) -> Iterator[SqlHeartbeats]:
    database = Database(database_url)
    yield SqlHeartbeats(database)
    database.close()


def test_the_last_heartbeat_of_each_process_is_kept(beats: SqlHeartbeats) -> None:
    other = replace(FIRST, machine="another", role=Role.BOTH)
    for beat in (FIRST, other, replace(FIRST, beat_at=105.0)):
        beats.beat(beat)
    assert beats.list_beats() == [other, replace(FIRST, beat_at=105.0)]
    beats.remove("another", 1)
    beats.remove("another", 1)
    assert beats.list_beats() == [replace(FIRST, beat_at=105.0)]


def test_a_process_that_starts_removes_records_of_yesterday(beats: SqlHeartbeats) -> None:
    beats.beat(FIRST)
    later = replace(FIRST, pid=2, beat_at=FIRST.beat_at + FORGOTTEN_S + 1)
    beats.beat(later)
    assert beats.list_beats() == [later]
