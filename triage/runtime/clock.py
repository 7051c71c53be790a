"""The system clock, and the time zone of this machine."""

import time
from datetime import UTC, datetime, timedelta, tzinfo


class SystemClock:
    """The time of day of this machine."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()


class LocalZone(tzinfo):
    """The time zone of this machine with its summer time: TZ, else /etc/localtime."""

    def fromutc(self, dt: datetime) -> datetime:
        """Return the local time of a time in UTC."""
        exact = dt.replace(tzinfo=UTC).astimezone()
        local = exact.replace(tzinfo=self)
        # The second of two equal local times, when summer time ends (PEP 495).
        return local if local.utcoffset() == exact.utcoffset() else local.replace(fold=1)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Return the offset from UTC of a local time."""
        return None if dt is None else _as_local(dt).utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:  # noqa: ARG002
        """Return None: the part of the offset that is summer time is not known."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        """Return the abbreviation of the zone."""
        return None if dt is None else _as_local(dt).tzname()


def _as_local(dt: datetime) -> datetime:
    return dt.replace(tzinfo=None).astimezone()
