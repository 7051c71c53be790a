"""The web application with a real library and a real ledger."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from httpx2 import Response
from pydicom import Dataset
from starlette.testclient import TestClient

from tests.fakes import FakeClock, FakeEncoder
from triage.cases.case_access import CaseAccess
from triage.cases.keys import case_key, patient_key
from triage.cases.past_cases import LEAST, PastCases
from triage.cases.similarity import FEWEST
from triage.config import Settings
from triage.domain.case import Case
from triage.domain.errors import LedgerUnavailable
from triage.domain.finding import Finding
from triage.findings.loader import load_findings
from triage.ports.encoder import Embedding
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.library import ExactLibrary
from triage.web.access import WebAccess
from triage.web.app import HEADERS, build
from triage.web.login_throttle import FREE
from triage.web.passwords import hash_password

SECRET = b"s" * 32
PASSWORDS = {"anna": "correct horse battery", "ben": "staple, incorrect"}
USERS = {name: hash_password(password) for name, password in PASSWORDS.items()}
FINDINGS: tuple[Finding, ...] = load_findings(Settings().findings).findings
CASES = (
    Case("1.2.1", "p1", "20230101", "siemens", ("cine_sa",), ("lge",), ("lge",)),
    Case("1.2.2", "p2", "20240101", "ge <b>&amp;", ("cine_sa", "lge_sa"), ("<script>",)),
    Case("1.2.3", "p3", "", "", impression="Narbe <i>"),
)
REPORT = "1.2.9"
KEY = case_key(SECRET, REPORT, "1.2.2")


@dataclass
class WebSite:
    """A library, a ledger and a client."""

    past: PastCases
    ledger: SqlLedger
    client: TestClient

    def get(self, path: str, user: str = "anna", password: str | None = None) -> Response:
        said = f"{user}:{PASSWORDS[user] if password is None else password}"
        coded = base64.b64encode(said.encode()).decode()
        return self.client.get(path, headers={"Authorization": f"Basic {coded}"})

    def logged(self) -> list[tuple[str, str]]:
        return [(incident.detail, incident.address) for incident in self.ledger.incidents()]


def near(cosine: float) -> Embedding:
    """Return a vector with this cosine to the fake encoder's embedding of one letter."""
    vector = np.zeros(FakeEncoder.size, np.float32)
    vector[[1, 2]] = cosine, np.sqrt(1 - cosine**2)
    return vector


def open_client(past: PastCases, ledger: SqlLedger, *, trained: bool = True) -> TestClient:
    app = build(
        CaseAccess(past, ledger),
        FakeEncoder(),
        FINDINGS,
        WebAccess(USERS, FakeClock()),
        trained=trained,
    )
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def site(tmp_path: Path, ledger: SqlLedger) -> Iterator[WebSite]:
    database = Database(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    past = PastCases(ExactLibrary(database, tmp_path / "cases", "b" * 64, FakeEncoder.size), SECRET)
    yield WebSite(past, ledger, open_client(past, ledger))
    database.close()


@pytest.fixture
def filled(site: WebSite) -> WebSite:
    for case, cosine in zip(CASES, (0.9, 0.8, 0.5), strict=True):
        site.past.library.add(case, near(cosine))
    return site


def uids(answer: Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [match["study_uid"] for match in answer.json()]


def problem(answer: Response) -> Any:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["title"]
    return told["detail"]


# -- the interface


def test_a_search_returns_the_nearest_cases_first(filled: WebSite) -> None:
    assert uids(filled.get("/api/cases?words=a")) == ["1.2.1", "1.2.2", "1.2.3"]
    assert uids(filled.get("/api/cases?like=1.2.2&count=1")) == ["1.2.1"]  # never itself
    (first,) = filled.get("/api/cases?words=a&count=1").json()
    assert first["similarity"] == pytest.approx(0.9, abs=2e-3)
    assert first["likeness"] is None
    assert first["vendor"] == "siemens"
    assert first["flagged"] == ["lge"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("since=2024-01-01", ["1.2.2"]),
        ("until=20231231", ["1.2.1"]),
        ("vendor=SIEMENS", ["1.2.1"]),
        ("finding=lge", ["1.2.1"]),
        ("confirmed=yes", ["1.2.1"]),
        ("confirmed=no&count=2", ["1.2.1", "1.2.2"]),
        ("since=2030-01-01", []),
    ],
)
def test_filters_are_applied(filled: WebSite, filters: str, expected: list[str]) -> None:
    assert uids(filled.get(f"/api/cases?words=a&{filters}")) == expected


def test_a_search_by_study_includes_the_share_of_less_similar_pairs(site: WebSite) -> None:
    vectors = np.random.default_rng(0).standard_normal((FEWEST, FakeEncoder.size))
    for number, vector in enumerate(vectors.astype(np.float32)):
        site.past.library.add(Case(f"1.{number}", f"p{number}"), vector / np.linalg.norm(vector))
    near, _ = site.get("/api/cases?like=1.5&count=2").json()
    assert 0.5 < near["likeness"] < 1
    page = site.get("/?like=1.5&count=2").text
    assert f"{near['likeness']:.1%}" in page
    assert ("No similar case" in page) == (near["likeness"] < LEAST)


def test_other_studies_of_the_same_patient_are_listed_separately(filled: WebSite) -> None:
    one = filled.past.library.get_case("1.2.1")
    assert one is not None
    filled.past.library.add(
        replace(one, study_uid="1.2.9"), np.eye(FakeEncoder.size, dtype=np.float32)[3]
    )
    told = filled.get("/api/cases?like=1.2.1&count=1").json()
    assert [(match["study_uid"], match["own"]) for match in told] == [
        ("1.2.9", True),
        ("1.2.2", False),
    ]
    assert (
        "1 nearest case, and 1 other study of the same patient"
        in filled.get("/?like=1.2.1&count=1").text
    )
    told = filled.get("/api/cases?like=1.2.1&same_patient=yes").json()
    assert not any(match["own"] for match in told)
    assert {"1.2.2", "1.2.3", "1.2.9"} == {match["study_uid"] for match in told}


def test_a_case_is_returned_by_its_study_uid(filled: WebSite) -> None:
    assert filled.get("/api/cases/1.2.3").json()["impression"] == "Narbe <i>"
    missing = filled.get("/api/cases/9.9")
    assert missing.status_code == 404
    assert problem(missing) == "this bundle has no case of study 9.9"


def test_a_key_is_valid_only_with_its_report(filled: WebSite) -> None:
    assert filled.get(f"/api/case-keys/{KEY}?report={REPORT}").json()["study_uid"] == "1.2.2"
    other = filled.get(f"/api/case-keys/{KEY}?report=1.2.8")
    assert other.status_code == 404
    assert "has no similar case" in problem(other)
    assert filled.get(f"/api/case-keys/{KEY}").status_code == 400


def test_the_key_of_a_forgotten_patient_is_not_found(filled: WebSite) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", "1.2.2"
    filled.past.library.add(replace(CASES[1], patient=patient_key(SECRET, header)), near(0.8))
    assert filled.get(f"/api/case-keys/{KEY}?report={REPORT}").status_code == 200
    assert filled.past.library.forget_patient(filled.past.patient_key("4711", "")) == 1
    assert filled.get(f"/api/case-keys/{KEY}?report={REPORT}").status_code == 404
    assert filled.get("/api/cases/1.2.2").status_code == 404
    assert uids(filled.get("/api/cases?words=a")) == ["1.2.1", "1.2.3"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/cases", 400, "enter what to search for"),
        ("/api/cases?words=a&since=yesterday", 400, "since: enter a date as"),
        ("/api/cases?words=a&vendr=ge", 400, "vendr: unknown field"),
        ("/api/cases?words=a&words=b", 400, "is given twice"),
        ("/api/cases?like=9.9", 404, "no case of study 9.9"),
        ("/api/cases/Doe%5EJohn", 400, "a Study Instance UID has only digits"),
        (f"/api/case-keys/{quote('ÄÖÜ')}?report=1", 400, "enter it as printed in the report"),
        ("/api/nothing", 404, "the API at /api/cases"),
    ],
)
def test_an_invalid_request_is_explained(
    filled: WebSite, path: str, status: int, said: str
) -> None:
    answer = filled.get(path)
    assert answer.status_code == status
    assert said in problem(answer)
    assert "Doe" not in answer.text


def test_an_empty_library_is_reported(site: WebSite) -> None:
    answer = site.get("/api/cases?words=a")
    assert (answer.status_code, "there are no cases yet" in problem(answer)) == (404, True)


def test_only_get_is_allowed(filled: WebSite) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = filled.client.request(method, "/api/cases", auth=("anna", PASSWORDS["anna"]))
        assert answer.status_code == 405
        assert problem(answer) == "past cases are read-only: use GET"


def test_no_case_is_shown_while_the_ledger_does_not_answer(
    filled: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise LedgerUnavailable("OperationalError")

    monkeypatch.setattr(SqlLedger, "report_incident", down)
    for path in ("/api/cases?words=a", "/api/cases/1.2.1"):
        answer = filled.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "try again" in problem(answer)
    page = filled.get("/?words=a")
    assert page.status_code == 503
    assert "1.2.1" not in page.text


def test_a_defect_is_reported_without_its_message(
    filled: WebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("Doe^John")

    monkeypatch.setattr(CaseAccess, "find_case", broken)
    answer = filled.get("/api/cases/1.2.1")
    assert answer.status_code == 500
    assert "defect" in problem(answer)
    assert "Doe" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


# -- authentication


@pytest.mark.parametrize("path", ["/", "/case", "/style.css", "/api/cases?words=a", "/nothing"])
def test_nothing_is_shown_without_name_and_password(filled: WebSite, path: str) -> None:
    answer = filled.client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Basic realm="')
    assert "1.2.1" not in answer.text
    assert filled.get(path, "anna", "wrong").status_code == 401
    assert filled.logged() == []


def test_access_of_each_user_is_logged(filled: WebSite) -> None:
    filled.get("/api/cases?words=John+Doe&vendor=sie", "anna")
    filled.get(f"/case?key={KEY}&report={REPORT}", "ben")
    filled.get("/?like=1.2.1", "ben")
    filled.get("/", "ben")
    assert filled.logged() == [
        ("2 case(s) listed, like 1.2.1", "user ben"),
        (f"{KEY} of the report on {REPORT}", "user ben"),
        ("1 case(s) listed, by words, of a vendor", "user anna"),
    ]


def test_guessing_is_throttled_and_the_right_password_waits_too(filled: WebSite) -> None:
    for number in range(FREE + 1):
        assert filled.get("/api/cases?words=a", password=f"{number}").status_code == 401
    answer = filled.get("/api/cases?words=a")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "try again in 1 s" in problem(answer)
    assert filled.get("/api/cases?words=a", "ben").status_code == 200


@pytest.mark.parametrize("path", ["/", "/style.css", "/nothing", "/api/cases?words=a", "/api/x"])
def test_every_response_forbids_caching_and_external_content(filled: WebSite, path: str) -> None:
    for answer in (filled.get(path), filled.client.get(path)):
        assert answer.headers.items() >= {k.lower(): v for k, v in HEADERS.items()}.items()
        assert answer.headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize(
    ("origin", "kind", "status"),
    [
        ("cross-site", "image", 403),
        ("same-site", "empty", 403),
        ("cross-site", "iframe", 403),
        ("cross-site", "document", 200),
        ("same-origin", "style", 200),
        ("none", "document", 200),
    ],
)
def test_requests_from_another_site_are_refused_and_not_logged(
    filled: WebSite, origin: str, kind: str, status: int
) -> None:
    said = {"Sec-Fetch-Site": origin, "Sec-Fetch-Dest": kind}
    answer = filled.client.get("/?words=a", auth=("anna", PASSWORDS["anna"]), headers=said)
    assert answer.status_code == status
    assert len(filled.logged()) == (status == 200)


# -- the page


def test_the_page_shows_the_cases_found(filled: WebSite) -> None:
    page = filled.get("/?words=a").text
    assert "3 nearest cases" in page
    for said in ("1.2.1", "2023-01-01", "siemens", "cine short axis", "0.900", "lge"):
        assert said in page
    assert "It is not a probability" in page
    assert "Research use only" in page
    assert '<html lang="en">' in page
    assert 'href="/?like=1.2.1#found"' in page


def test_a_link_to_similar_cases_keeps_the_filters(filled: WebSite) -> None:
    page = filled.get("/?words=a&since=2023-01-01&confirmed=yes&count=5").text
    assert 'href="/?like=1.2.1&amp;since=2023-01-01&amp;confirmed=yes&amp;count=5#found"' in page
    assert 'value="yes" checked' in page


def test_values_of_cases_and_queries_are_escaped(filled: WebSite) -> None:
    injected = quote('"><script>alert(1)</script>')
    for path in (
        "/?words=a",
        f"/?words={injected}",
        f"/?words=a&vendor={injected}",
        f"/?words=a&finding={injected}",
        f"/?like={injected}&since={injected}&count={injected}",
        f"/case?key={injected}&report={injected}",
        f"/case?key={KEY}&report={REPORT}",
        f"/{injected}",
    ):
        page = filled.get(path).text
        assert "<script" not in page
        assert "<b>" not in page
    assert "ge &lt;b&gt;&amp;amp;" in filled.get("/?words=a").text


def test_the_page_looks_up_a_case_key(filled: WebSite) -> None:
    page = filled.get(f"/case?key={KEY.lower()}&report={REPORT}")
    assert page.status_code == 200
    assert f"Case {KEY}" in page.text
    assert '<dd class="uid">1.2.2</dd>' in page.text
    missing = filled.get(f"/case?key={KEY}&report=1.2.8")
    assert missing.status_code == 404
    assert "has no similar case" in missing.text
    assert filled.get("/case?key=&report=").status_code == 400


def test_an_invalid_query_keeps_the_form_filled(filled: WebSite) -> None:
    answer = filled.get("/?words=large+heart&count=0")
    assert answer.status_code == 400
    assert 'role="alert">count: enter a number from 1 to 1000' in answer.text
    assert 'value="large heart"' in answer.text


def test_no_match_and_an_empty_library_have_different_notes(
    filled: WebSite, ledger: SqlLedger
) -> None:
    assert "No case matches these filters. The library has 3 cases" in (
        filled.get("/?words=a&since=2030-01-01").text
    )
    for uid in [*filled.past.library.list_study_uids()]:
        case = filled.past.library.get_case(uid)
        assert case is not None
        filled.past.library.forget_patient(case.patient)
    page = filled.get("/").text
    assert "There are no past cases yet" in page
    assert "untrained" not in page
    untrained = replace(filled, client=open_client(filled.past, ledger, trained=False))
    assert "is untrained, so no cases are stored" in untrained.get("/").text


def test_every_field_of_the_page_has_a_label(filled: WebSite) -> None:
    page = filled.get("/").text
    for field in ("words", "like", "since", "until", "vendor", "finding", "confirmed", "count"):
        assert f'<label for="{field}">' in page
        assert f'id="{field}" name="{field}"' in page
