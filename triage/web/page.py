"""The page for people: search past cases, and learn which one a report means by a key.

Rule: no script, nothing from elsewhere, no state: what is asked stands in the address, so that a
colleague who may look can be sent it.
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
KEPT = ("since", "until", "vendor", "finding", "confirmed", "count")  #: for "like this one"


@dataclass(frozen=True)
class Page:
    """The pages; each is made in a thread of its own."""

    looks: CaseAccess
    encoder: Encoder
    findings: Sequence[Finding]
    trained: bool

    def routes(self) -> list[Route]:
        """Return where each is found."""
        return [
            Route("/", self.search),
            Route("/case", self.case),
            Route("/style.css", style),
        ]

    def search(self, request: Request) -> Response:
        """Show the nearest cases, or the empty form."""
        found: Sequence[CaseMatch] | None = None
        status, error = HTTPStatus.OK, ""
        try:
            said = query_fields(request)
            if said:
                found = self.looks.search(self.encoder, parse_query(said), request.user)
        except (InvalidQuery, CaseNotFound) as wrong:
            status, error = _status(wrong), str(wrong)
        return self._shown(request, status, found=found, error=error)

    def case(self, request: Request) -> Response:
        """Show the case that the key of a report means."""
        said = request.query_params
        key, report = said.get("key", ""), said.get("report", "")
        try:
            case = self.looks.resolve_key(key, report, request.user)
        except (InvalidQuery, CaseNotFound) as wrong:
            return self._shown(request, _status(wrong), key_error=str(wrong))
        return self._shown(request, HTTPStatus.OK, case=case)

    def _shown(
        self,
        request: Request,
        status: int,
        found: Sequence[CaseMatch] | None = None,
        **shown: object,
    ) -> Response:
        said = {name: request.query_params.get(name, "") for name in (*FIELDS, "key", "report")}
        nothing: dict[str, object] = dict.fromkeys(("error", "case", "key_error"))
        page = render(
            "page.html",
            **nothing | shown,
            found=found,
            said=said,
            user=request.user,
            none_similar=why_none_similar(found or ()),
            size=self.looks.past.library.count_cases(),
            trained=self.trained,
            names={each.id: each.name for each in self.findings},
            like=lambda uid: f"/?{urlencode({'like': uid} | _kept(said))}#found",
        )
        return HTMLResponse(page, status)


def style(_request: Request) -> Response:
    """Answer with how the pages look."""
    return FileResponse(STYLE)


def _status(error: TriageError) -> HTTPStatus:
    return HTTPStatus.NOT_FOUND if isinstance(error, CaseNotFound) else HTTPStatus.BAD_REQUEST


def _kept(said: dict[str, str]) -> dict[str, str]:
    return {name: said[name] for name in KEPT if said[name]}
