"""The interface for programs: JSON over GET.

Rule: what `triage search --json` writes is what a search answers here.
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
    """The endpoints; each runs in a thread of its own."""

    looks: CaseAccess
    encoder: Encoder

    def routes(self) -> list[Route]:
        """Return where each is found."""
        return [
            Route("/api/cases", self.cases),
            Route("/api/cases/{study_uid}", self.case),
            Route("/api/case-keys/{key}", self.key),
        ]

    def cases(self, request: Request) -> Response:
        """Answer a search with the nearest cases."""
        search = parse_query(query_fields(request))
        return JSONResponse(matches_as_json(self.looks.search(self.encoder, search, request.user)))

    def case(self, request: Request) -> Response:
        """Answer with the case of a study."""
        uid = request.path_params["study_uid"]
        return JSONResponse(asdict(self.looks.find_case(uid, request.user)))

    def key(self, request: Request) -> Response:
        """Answer with the case that the key of a report means."""
        key, report = request.path_params["key"], request.query_params.get("report", "")
        return JSONResponse(asdict(self.looks.resolve_key(key, report, request.user)))


def query_fields(request: Request) -> dict[str, str]:
    """Return the fields of a query; raise InvalidQuery if one stands there twice."""
    said = request.query_params.multi_items()
    if len(said) != len(request.query_params):
        raise InvalidQuery("a field stands there twice: say it once")
    return dict(said)
