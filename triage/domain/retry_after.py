"""The pause that an HTTP response asks for (Retry-After, RFC 9110 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_retry_after(value: str, now: datetime) -> float:
    """Return the seconds to wait, from a number or an HTTP date; 0 if it is neither, or past."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    at = read_http_date(text)
    return 0.0 if at is None else max((at - now).total_seconds(), 0.0)


def read_http_date(value: str) -> datetime | None:
    """Return an HTTP date (RFC 9110 5.6.7); None if it is not one."""
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
