"""Nobody sees a past case without the ledger knowing."""

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
def looks(ledger: SqlLedger) -> CaseAccess:
    library = FakeLibrary()
    library.add(Case("1.2", "p", vendor="siemens"), FakeEncoder().encode_text("a"))
    return CaseAccess(PastCases(library, SECRET), ledger)


def kept(ledger: SqlLedger) -> list[tuple[str, str, str]]:
    return [(each.kind, each.detail, each.address) for each in ledger.incidents()]


def test_a_key_leads_to_its_case_however_it_is_typed(looks: CaseAccess, ledger: SqlLedger) -> None:
    assert looks.resolve_key(f" {KEY.lower()} ", "9.9", "anna").study_uid == "1.2"
    assert kept(ledger) == [("case looked up", f"{KEY} of the report on 9.9", "user anna")]


def test_a_key_of_another_report_leads_nowhere_and_asking_is_kept(
    looks: CaseAccess, ledger: SqlLedger
) -> None:
    with pytest.raises(CaseNotFound, match="the report on 9.8 has no similar case"):
        looks.resolve_key(KEY, "9.8", "anna")
    ((_, detail, _),) = kept(ledger)
    assert detail == f"nothing found: {KEY} of the report on 9.8"


@pytest.mark.parametrize(
    ("key", "report"), [("Doe^John", "9.9"), ("ÄÖÜß-7777", "9.9"), (KEY, ""), (KEY, "Doe^John")]
)
def test_what_can_be_no_key_and_no_study_is_neither_sought_nor_kept(
    looks: CaseAccess, ledger: SqlLedger, key: str, report: str
) -> None:
    with pytest.raises(InvalidQuery):
        looks.resolve_key(key, report, "anna")
    assert kept(ledger) == []


def test_a_study_is_shown_and_the_look_kept(looks: CaseAccess, ledger: SqlLedger) -> None:
    assert looks.find_case("1.2", "anna").vendor == "siemens"
    with pytest.raises(CaseNotFound):
        looks.find_case("1.3", "anna")
    assert [detail for _, detail, _ in kept(ledger)] == ["nothing found: study 1.3", "study 1.2"]


def test_of_a_search_neither_words_nor_vendor_are_kept(
    looks: CaseAccess, ledger: SqlLedger
) -> None:
    fields = {"words": "John Doe", "vendor": "siem", "since": "", "like": "1.2"}
    looks.search(FakeEncoder(), parse_query(fields), "anna")
    ((kind, detail, who),) = kept(ledger)
    assert (kind, who) == ("cases searched", "user anna")
    assert detail == "0 case(s) told, by words, like 1.2, of a vendor"


def test_a_study_that_is_no_case_was_looked_for_too(looks: CaseAccess, ledger: SqlLedger) -> None:
    with pytest.raises(CaseNotFound):
        looks.search(FakeEncoder(), parse_query({"like": "9.9"}), "anna")
    ((_, detail, _),) = kept(ledger)
    assert detail == "nothing found, like 9.9"


def test_what_cannot_be_kept_is_not_told(
    looks: CaseAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise LedgerUnavailable("busy")

    monkeypatch.setattr(SqlLedger, "report_incident", down)
    for ask in (
        lambda: looks.search(FakeEncoder(), parse_query({"words": "a"}), "anna"),
        lambda: looks.find_case("1.2", "anna"),
        lambda: looks.resolve_key(KEY, "9.9", "anna"),
    ):
        with pytest.raises(LedgerUnavailable):
            ask()
