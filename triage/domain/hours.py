"""Hours of the local day, in which something may be begun."""

import re
from datetime import datetime

DAY_MIN = 24 * 60
HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


def seconds_until_open(hours: str | None, now: float) -> float:
    """Return the seconds until the hours "22:00-06:00" of the local day begin; 0 within them."""
    span = None if hours is None else HOURS.fullmatch(hours)
    if span is None:
        return 0.0
    hour, minute, to_hour, to_minute = map(int, span.groups())
    first, last = hour * 60 + minute, to_hour * 60 + to_minute
    at = datetime.fromtimestamp(now).astimezone()
    past = (at.hour * 60 + at.minute - first) % DAY_MIN
    if past < (last - first) % DAY_MIN or first == last:
        return 0.0
    return float((DAY_MIN - past) * 60 - at.second)
