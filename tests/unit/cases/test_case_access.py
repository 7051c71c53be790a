"""Every access to a past case is logged."""

import pytest

from tests.fakes import FakeEncoder, FakeLibrary
from triage.cases.case_access import CaseAccess
from triage.cases.keys import case_key
from triage.cases.past_cases import PastCases
from triage.cases.search import parse_query
from triage.domain.case import Case
from triage.domain.errors import CaseNotFound, InvalidQuery, LedgerUnavailable
from triage.store.ledger import SqlLedger

SECRET = b"s" * 32
KEY = case_key(SECRET, "9.9", "1.2")


@pytest.fixture
def access(ledger: SqlLedger) -> CaseAccess:
    library = FakeLibrary()
    library.add(Case("1.2", "p", vendor="siemens"), FakeEncoder().encode_text("a"))
    return CaseAccess(PastCases(library, SECRET), ledger)


def logged(ledger: SqlLedger) -> list[tuple[str, str, str]]:
    return [(item.kind, item.detail, item.address) for item in ledger.incidents()]


def test_a_key_resolves_in_lower_case_and_with_spaces(
    access: CaseAccess, ledger: SqlLedger
) -> None:
    assert access.resolve_key(f" {KEY.lower()} ", "9.9", "anna").study_uid == "1.2"
    assert logged(ledger) == [("case looked up", f"{KEY} of the report on 9.9", "user anna")]


def test_a_key_of_another_report_does_not_resolve_and_is_logged(
    access: CaseAccess, ledger: SqlLedger
) -> None:
    with pytest.raises(CaseNotFound, match="the report on 9.8 has no similar case"):
        access.resolve_key(KEY, "9.8", "anna")
    ((_, detail, _),) = logged(ledger)
    assert detail == f"nothing found: {KEY} of the report on 9.8"


@pytest.mark.parametrize(
    ("key", "report"), [("Doe^John", "9.9"), ("ÄÖÜß-7777", "9.9"), (KEY, ""), (KEY, "Doe^John")]
)
def test_a_malformed_key_or_study_is_neither_looked_up_nor_logged(
    access: CaseAccess, ledger: SqlLedger, key: str, report: str
) -> None:
    with pytest.raises(InvalidQuery):
        access.resolve_key(key, report, "anna")
    assert logged(ledger) == []


def test_a_study_is_returned_and_the_access_logged(access: CaseAccess, ledger: SqlLedger) -> None:
    assert access.find_case("1.2", "anna").vendor == "siemens"
    with pytest.raises(CaseNotFound):
        access.find_case("1.3", "anna")
    assert [detail for _, detail, _ in logged(ledger)] == ["nothing found: study 1.3", "study 1.2"]


def test_the_log_of_a_search_has_neither_query_text_nor_vendor(
    access: CaseAccess, ledger: SqlLedger
) -> None:
    fields = {"words": "John Doe", "vendor": "siem", "since": "", "like": "1.2"}
    access.search(FakeEncoder(), parse_query(fields), "anna")
    ((kind, detail, user),) = logged(ledger)
    assert (kind, user) == ("cases searched", "user anna")
    assert detail == "0 case(s) listed, by words, like 1.2, of a vendor"


def test_a_search_like_an_unknown_study_is_logged(access: CaseAccess, ledger: SqlLedger) -> None:
    with pytest.raises(CaseNotFound):
        access.search(FakeEncoder(), parse_query({"like": "9.9"}), "anna")
    ((_, detail, _),) = logged(ledger)
    assert detail == "nothing found, like 9.9"


def test_there_is_no_access_without_a_log_entry(
    access: CaseAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(SqlLedger, "report_incident", down)
    for call in (
        lambda: access.search(FakeEncoder(), parse_query({"words": "a"}), "anna"),
        lambda: access.find_case("1.2", "anna"),
        lambda: access.resolve_key(KEY, "9.9", "anna"),
    ):
        with pytest.raises(LedgerUnavailable):
            call()
