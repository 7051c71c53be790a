"""The interface for programs: JSON over GET.

A search returns the same JSON as `triage search --json`.
"""

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.cases.case_access import CaseAccess
from triage.cases.search import matches_as_json, parse_query
from triage.domain.errors import InvalidQuery
from triage.ports.encoder import Encoder


@dataclass(frozen=True)
class Api:
    """The endpoints; each request runs in its own thread."""

    access: CaseAccess
    encoder: Encoder

    def routes(self) -> list[Route]:
        """Return the endpoints by path."""
        return [
            Route("/api/cases", self.cases),
            Route("/api/cases/{study_uid}", self.case),
            Route("/api/case-keys/{key}", self.key),
        ]

    def cases(self, request: Request) -> Response:
        """Return the cases nearest to a search."""
        search = parse_query(query_fields(request))
        return JSONResponse(matches_as_json(self.access.search(self.encoder, search, request.user)))

    def case(self, request: Request) -> Response:
        """Return the case of a study."""
        uid = request.path_params["study_uid"]
        return JSONResponse(asdict(self.access.find_case(uid, request.user)))

    def key(self, request: Request) -> Response:
        """Return the case of a key from a report."""
        key, report = request.path_params["key"], request.query_params.get("report", "")
        return JSONResponse(asdict(self.access.resolve_key(key, report, request.user)))


def query_fields(request: Request) -> dict[str, str]:
    """Return the query parameters; raise InvalidQuery if one is given twice."""
    items = request.query_params.multi_items()
    if len(items) != len(request.query_params):
        raise InvalidQuery("a field is given twice: give each field once")
    return dict(items)
