"""Searches for past cases: valid fields, and what an error message states."""

import pytest

from triage.cases.search import CaseQuery, parse_query
from triage.domain.case import Filter
from triage.domain.errors import InvalidQuery


def test_every_field_is_parsed() -> None:
    fields = {
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
    assert parse_query(fields) == CaseQuery("septal hypertrophy", "1.2.3", 25, where)


def test_blank_fields_mean_no_query_and_no_filter() -> None:
    blank = {"words": "", "like": "", "since": "", "count": "", "confirmed": "no"}
    assert parse_query(blank) == parse_query({}) == CaseQuery(count=10)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"word": "lge"}, "word: unknown field; valid fields are words, like,"),
        ({"like": "Doe^John"}, "a Study Instance UID has only digits and dots"),
        ({"like": "1" * 65}, "at most 64"),
        ({"since": "31.1.2024"}, "since: enter a date as 2024-01-31"),
        ({"until": "20240231"}, "until: enter a date"),
        ({"since": "20240202", "until": "20240201"}, "since is later than until"),
        ({"finding": "Scar!"}, "finding: enter its id"),
        ({"confirmed": "perhaps"}, "confirmed: enter yes or no"),
        ({"count": "0"}, "count: enter a number from 1 to 1000"),
        ({"count": "1001"}, "count: enter a number"),
        ({"count": "-1"}, "count: enter a number"),
        ({"count": "0000000011999"}, "count: enter a number"),
        ({"count": "9" * 5000}, "count: enter a number"),
        ({"count": "²"}, "count: enter a number"),
    ],
)
def test_an_error_message_states_the_valid_syntax(fields: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidQuery) as error:
        parse_query(fields)
    assert message in str(error.value)
