"""Error responses: one sentence with the cause and the remedy.

Programs receive problem details (RFC 9457), people a page, with the same sentence. It repeats no
input of the user except UIDs, case keys and field names.
"""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from triage.domain.errors import CaseNotFound, InvalidQuery, LedgerUnavailable
from triage.web.templates import render

API = "/api/"
SENTENCES = {
    HTTPStatus.NOT_FOUND: "this address does not exist: the page is at /, the API at /api/cases",
    HTTPStatus.METHOD_NOT_ALLOWED: "past cases are read-only: use GET",
}
AGAIN_S = "5"


def problem_response(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error response, as JSON for programs and as a page for people."""
    title = HTTPStatus(status).phrase
    if request.url.path.startswith(API):
        problem = {"title": title, "status": status, "detail": detail}
        kind = "application/problem+json"
        return JSONResponse(problem, status, headers=headers, media_type=kind)
    page = render("problem.html", title=title, detail=detail)
    return HTMLResponse(page, status, headers=headers)


def handle_invalid_query(request: Request, error: Exception) -> Response:
    """Return 400 for a query that cannot be read."""
    return problem_response(request, 400, str(error))


def handle_case_not_found(request: Request, error: Exception) -> Response:
    """Return 404 for an unknown case."""
    return problem_response(request, 404, str(error))


def handle_ledger_unavailable(request: Request, _error: Exception) -> Response:
    """Return 503 while the ledger does not answer."""
    detail = "the ledger does not answer: try again in a moment"
    return problem_response(request, 503, detail, {"Retry-After": AGAIN_S})


def handle_http_exception(request: Request, error: Exception) -> Response:
    """Return the error of a request that matches no route."""
    assert isinstance(error, HTTPException)  # noqa: S101 - HANDLERS guarantees it
    status = HTTPStatus(error.status_code)
    detail = SENTENCES.get(status, status.description)
    return problem_response(request, status, detail, error.headers)


def handle_defect(request: Request, _error: Exception) -> Response:
    """Return 500 for an unexpected error; its details are only in the log."""
    return problem_response(
        request, 500, "a defect in this program: please inform the administrator of this worker"
    )


HANDLERS = {
    InvalidQuery: handle_invalid_query,
    CaseNotFound: handle_case_not_found,
    LedgerUnavailable: handle_ledger_unavailable,
    HTTPException: handle_http_exception,
    Exception: handle_defect,
}
