"""What people write when they search."""

import pytest

from triage.cases.search import CaseQuery, parse_query
from triage.domain.case import Filter
from triage.domain.errors import InvalidQuery


def test_every_field_is_read() -> None:
    said = {
        "words": " septal hypertrophy ",
        "like": "1.2.3",
        "since": "2024-01-31",
        "until": "20240201",
        "vendor": "siemens",
        "finding": "lge",
        "confirmed": "yes",
        "count": "25",
    }
    where = Filter("20240131", "20240201", "siemens", "lge", confirmed_only=True)
    assert parse_query(said) == CaseQuery("septal hypertrophy", "1.2.3", 25, where)


def test_blank_fields_ask_nothing_and_exclude_none() -> None:
    blank = {"words": "", "like": "", "since": "", "count": "", "confirmed": "no"}
    assert parse_query(blank) == parse_query({}) == CaseQuery(count=10)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"word": "lge"}, "word: no known field; there are words, like,"),
        ({"like": "Doe^John"}, "a Study UID has digits and points alone"),
        ({"like": "1" * 65}, "64 at most"),
        ({"since": "31.1.2024"}, "since: write a day as 2024-01-31"),
        ({"until": "20240231"}, "until: write a day"),
        ({"since": "20240202", "until": "20240201"}, "since is after until"),
        ({"finding": "Scar!"}, "finding: write its id"),
        ({"confirmed": "perhaps"}, "confirmed: write yes or no"),
        ({"count": "0"}, "count: write a number from 1 to 1000"),
        ({"count": "1001"}, "count: write a number"),
        ({"count": "-1"}, "count: write a number"),
        ({"count": "0000000011999"}, "count: write a number"),
        ({"count": "9" * 5000}, "count: write a number"),
        ({"count": "²"}, "count: write a number"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(fields: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidQuery) as error:
        parse_query(fields)
    assert said in str(error.value)
