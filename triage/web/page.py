"""The page for people: search past cases, and look up a case key from a report.

The page has no scripts, no external content and no state. The address contains the whole query, so
it can be sent to another user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from triage.cases.case_access import CaseAccess
from triage.cases.past_cases import why_none_similar
from triage.cases.search import FIELDS, CaseMatch, parse_query
from triage.domain.errors import CaseNotFound, InvalidQuery, TriageError
from triage.domain.finding import Finding
from triage.ports.encoder import Encoder
from triage.web.api import query_fields
from triage.web.templates import render

STYLE = Path(__file__).parent / "style.css"
EMPTY: dict[str, object] = {"error": None, "case": None, "key_error": None}
FILTERS = ("since", "until", "vendor", "finding", "confirmed", "count")  #: kept by "similar"


@dataclass(frozen=True)
class Page:
    """The pages; each request runs in its own thread."""

    access: CaseAccess
    encoder: Encoder
    findings: Sequence[Finding]
    trained: bool

    def routes(self) -> list[Route]:
        """Return the pages by path."""
        return [
            Route("/", self.search),
            Route("/case", self.case),
            Route("/style.css", serve_style),
        ]

    def search(self, request: Request) -> Response:
        """Show the form and, if anything was entered, the nearest cases."""
        found: Sequence[CaseMatch] | None = None
        status, error = HTTPStatus.OK, ""
        try:
            query = query_fields(request)
            if query:
                found = self.access.search(self.encoder, parse_query(query), request.user)
        except (InvalidQuery, CaseNotFound) as wrong:
            status, error = _status(wrong), str(wrong)
        return self._render(request, status, found=found, error=error)

    def case(self, request: Request) -> Response:
        """Show the case of a key from a report."""
        query = request.query_params
        key, report = query.get("key", ""), query.get("report", "")
        try:
            case = self.access.resolve_key(key, report, request.user)
        except (InvalidQuery, CaseNotFound) as wrong:
            return self._render(request, _status(wrong), key_error=str(wrong))
        return self._render(request, HTTPStatus.OK, case=case)

    def _render(
        self,
        request: Request,
        status: int,
        found: Sequence[CaseMatch] | None = None,
        **shown: object,
    ) -> Response:
        query = {name: request.query_params.get(name, "") for name in (*FIELDS, "key", "report")}
        page = render(
            "page.html",
            **EMPTY | shown,
            found=found,
            query=query,
            user=request.user,
            none_similar=why_none_similar(found or ()),
            size=self.access.past.library.count_cases(),
            trained=self.trained,
            names={finding.id: finding.name for finding in self.findings},
            like=lambda uid: f"/?{urlencode({'like': uid} | _filters(query))}#found",
        )
        return HTMLResponse(page, status)


def serve_style(_request: Request) -> Response:
    """Return the style sheet."""
    return FileResponse(STYLE)


def _status(error: TriageError) -> HTTPStatus:
    return HTTPStatus.NOT_FOUND if isinstance(error, CaseNotFound) else HTTPStatus.BAD_REQUEST


def _filters(query: dict[str, str]) -> dict[str, str]:
    return {name: query[name] for name in FILTERS if query[name]}
