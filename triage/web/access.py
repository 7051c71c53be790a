"""Who may look: HTTP Basic (RFC 7617), a brake on guessing, and a guard before everything.

Rule: one guess at a time. So no number of connections makes guessing faster than the brake lets
it be, or takes more than one core and the memory of one scrypt.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from math import ceil

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from triage.domain.audit import NoAuditTrail, logged_in
from triage.domain.errors import TriageError
from triage.ports.audit import AuditTrail
from triage.ports.clock import Clock
from triage.web.error_pages import problem_response
from triage.web.login_throttle import LoginKey, LoginThrottle
from triage.web.passwords import hash_password, verify_password

log = structlog.get_logger(__name__)

REALM = 'Basic realm="CMR triage: past cases", charset="UTF-8"'
LONGEST_NAME = 64
SESSION_S = 1800.0  #: who was silent for so long has logged in anew, for the audit trail
WRONG = "no such user, or not the password"
ELSEWHERE = "another site's page asked this in your name: open it by a link, or by its address"


class WebAccessDenied(TriageError):
    """Nobody that we know, or not their password."""


class LoginDelayed(TriageError):
    """Too many failures; `seconds` until the next try."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many wrong passwords: try again in {seconds} s")
        self.seconds = seconds


class WebAccess:
    """The users of the settings, and who of them has shown their password."""

    def __init__(
        self, users: Mapping[str, str], clock: Clock, audit: AuditTrail | None = None
    ) -> None:
        self._users = users
        self._clock = clock
        self._audit = audit or NoAuditTrail()
        self._seen: dict[LoginKey, float] = {}
        self._nobody = hash_password(secrets.token_hex())  # so that a wrong name takes as long
        self._brake = LoginThrottle(clock)
        # A password that was right is known again without scrypt, by a digest that ends with us.
        self._secret = secrets.token_bytes(32)
        self._shown: dict[str, bytes] = {}
        self._one = threading.Lock()

    def admit(self, authorization: str, address: str) -> str:
        """Return the user's name; raise NotAdmitted or Wait."""
        name, password = _said(authorization)
        who = (name, address)
        with self._one:
            if wait_s := self._brake.wait_s(who):
                raise LoginDelayed(ceil(wait_s))
            if self._right(name, password):
                self._brake.succeeded(who)
                self._tell_of_login(who)
                return name
            self._brake.failed(who)
        known = name if name in self._users else "(unknown)"  # some type their password there
        log.warning("not admitted", user=known, address=address)
        self._audit.record(logged_in(known, address, WRONG))
        raise WebAccessDenied(WRONG)

    def _tell_of_login(self, who: LoginKey) -> None:
        """Tell the audit trail of who comes anew: a password is said with every request."""
        now = self._clock.now()
        self._seen = {each: at for each, at in self._seen.items() if at > now - SESSION_S}
        if who not in self._seen:
            self._audit.record(logged_in(*who))
        self._seen[who] = now

    def _right(self, name: str, password: str) -> bool:
        digest = hmac.new(self._secret, password.encode(), hashlib.sha256).digest()
        if name in self._shown and hmac.compare_digest(self._shown[name], digest):
            return True
        right = (
            verify_password(self._users.get(name, self._nobody), password) and name in self._users
        )
        if right:
            self._shown[name] = digest
        return right


class AccessMiddleware:
    """Answers whoever is not admitted, and tells the others' names to the application."""

    def __init__(self, app: ASGIApp, access: WebAccess) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = Request(scope)
        if _from_elsewhere(request):
            await problem_response(request, 403, ELSEWHERE)(scope, receive, send)
            return
        said = request.headers.get("authorization", "")
        address = request.client.host if request.client else ""
        try:
            scope["user"] = await run_in_threadpool(self._access.admit, said, address)
        except WebAccessDenied as error:
            told = problem_response(request, 401, f"{error}", {"WWW-Authenticate": REALM})
        except LoginDelayed as error:
            told = problem_response(request, 429, f"{error}", {"Retry-After": str(error.seconds)})
        else:
            await self._app(scope, receive, send)
            return
        await told(scope, receive, send)


def _from_elsewhere(request: Request) -> bool:
    """Tell whether the page of another site asks, other than by a link (W3C Fetch Metadata).

    It could read nothing; but what it asks would stand in the ledger as its visitor's look.
    """
    site = request.headers.get("sec-fetch-site", "none")
    followed = request.headers.get("sec-fetch-dest") == "document"
    return site not in {"none", "same-origin"} and not followed


def _said(authorization: str) -> tuple[str, str]:
    """Return name and password of a header; raise NotAdmitted if it has none."""
    scheme, _, coded = authorization.partition(" ")
    try:
        name, colon, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except ValueError:
        name = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise WebAccessDenied("say who you are: a user of this worker and the password")
    return name[:LONGEST_NAME], password
