from datetime import UTC, datetime

import pytest

from triage.domain.retry_after import read_http_date, read_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, float("inf")),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30),  # RFC 850
        ("Sun Mar  1 12:00:30 2026", 30),  # asctime
        ("Sun, 01 Mar 2026 14:00:30 +0200", 30),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0),
        ("soon", 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("²", 0),
        ("Sun, 99 Mar 2026 12:00:30 GMT", 0),
        ("Sun, 01 Mar 99999 12:00:30 GMT", 0),
    ],
)
def test_a_pause_is_read_from_seconds_or_a_date(value: str, expected: float) -> None:
    assert read_retry_after(value, NOW) == expected


def test_a_date_is_never_without_a_zone() -> None:
    found = read_http_date("Sun, 01 Mar 2026 12:00:00 -0000")
    assert found == NOW
