"""The web application: routes, authentication and security headers."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.cases.case_access import CaseAccess
from triage.domain.finding import Finding
from triage.ports.encoder import Encoder
from triage.web.access import AccessMiddleware, WebAccess
from triage.web.api import Api
from triage.web.error_pages import HANDLERS
from triage.web.page import Page

#: On every response: no caching, no framing, no external content, no referrer.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build(
    cases: CaseAccess,
    encoder: Encoder,
    findings: Sequence[Finding],
    access: WebAccess,
    *,
    trained: bool,
) -> ASGIApp:
    """Return the application with authentication and security headers."""
    routes = [*Api(cases, encoder).routes(), *Page(cases, encoder, findings, trained).routes()]
    inner = Starlette(routes=routes, exception_handlers=HANDLERS)
    return SecurityHeaders(AccessMiddleware(inner, access))


class SecurityHeaders:
    """Adds HEADERS to every response, including refusals and errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)
