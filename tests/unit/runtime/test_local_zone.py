"""The time zone of the machine, with its summer time."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from triage.runtime.clock import LocalZone

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def test_every_hour_of_a_year_is_that_of_the_zone(zone: str) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    for hour in range(366 * 24):
        at = first + hour * 3600
        ours = datetime.fromtimestamp(at, LocalZone())
        theirs = datetime.fromtimestamp(at, ZoneInfo(zone))
        assert f"{ours:%Y-%m-%d %H:%M:%S %z %Z}" == f"{theirs:%Y-%m-%d %H:%M:%S %z %Z}"
        assert ours.timestamp() == at


@pytest.mark.usefixtures("zone")
def test_the_hour_that_comes_twice_is_two_times() -> None:
    end = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    moments = [datetime.fromtimestamp(end + step * 3600, LocalZone()) for step in range(4)]
    stamps = [f"{moment:%Y%m%d%H%M%S%z}" for moment in moments]
    assert len(set(stamps)) == len(stamps)
    assert all(
        after.timestamp() - before.timestamp() == 3600 for before, after in pairwise(moments)
    )
