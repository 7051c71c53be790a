"""What is told when a request cannot be answered: a sentence that says what to do.

Rule: programs get problem details (RFC 9457), people a page, with the same sentence. It never
repeats what was typed but for UIDs, keys and names of fields.
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
    HTTPStatus.NOT_FOUND: "there is nothing here: / is the page, /api/cases for programs",
    HTTPStatus.METHOD_NOT_ALLOWED: "past cases are read alone: use GET",
}
AGAIN_S = "5"


def problem_response(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer that tells what is wrong, as the one who asks can read it."""
    title = HTTPStatus(status).phrase
    if request.url.path.startswith(API):
        told = {"title": title, "status": status, "detail": detail}
        kind = "application/problem+json"
        return JSONResponse(told, status, headers=headers, media_type=kind)
    page = render("problem_response.html", title=title, detail=detail)
    return HTMLResponse(page, status, headers=headers)


def unclear(request: Request, error: Exception) -> Response:
    """Answer what cannot be read."""
    return problem_response(request, 400, str(error))


def unknown(request: Request, error: Exception) -> Response:
    """Answer a question for a case that there is not."""
    return problem_response(request, 404, str(error))


def unavailable(request: Request, _error: Exception) -> Response:
    """Answer while the ledger does not."""
    detail = "the ledger did not answer: try again in a moment"
    return problem_response(request, 503, detail, {"Retry-After": AGAIN_S})


def refused(request: Request, error: Exception) -> Response:
    """Answer what the routes refuse."""
    assert isinstance(error, HTTPException)  # noqa: S101 - HANDLERS says so
    status = HTTPStatus(error.status_code)
    return problem_response(
        request, status, SENTENCES.get(status, status.description), error.headers
    )


def defect(request: Request, _error: Exception) -> Response:
    """Answer where we broke; the log says where."""
    return problem_response(
        request, 500, "this is a defect: please tell who looks after this worker"
    )


HANDLERS = {
    InvalidQuery: unclear,
    CaseNotFound: unknown,
    LedgerUnavailable: unavailable,
    HTTPException: refused,
    Exception: defect,
}
