"""Authentication of every request: HTTP Basic (RFC 7617) with throttled password checks.

Passwords are checked one at a time. Parallel connections therefore neither speed up guessing nor
use more than one core and the memory of one scrypt computation.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from math import ceil

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from triage.connections.http_server import mark_admitted
from triage.domain.audit import NoAuditTrail, build_login_event
from triage.domain.errors import TriageError
from triage.domain.networks import single_peer, surrounding_network
from triage.ports.audit import AuditTrail
from triage.ports.clock import Clock
from triage.web.error_pages import problem_response
from triage.web.login_pace import LoginPace
from triage.web.login_throttle import LoginDelayed, LoginKey, LoginThrottle
from triage.web.passwords import hash_password, verify_password

log = structlog.get_logger(__name__)

REALM = 'Basic realm="CMR triage: past cases", charset="UTF-8"'
LONGEST_NAME = 64
SESSION_S = (
    1800.0  #: after so long without a request, the next one is a new login in the audit trail
)
REPORT_EVERY_S = 60.0  #: between two reports of failures of one user and peer
REPORTED_MOST = 10_000  #: users and peers whose failures are counted
WRONG = "unknown user or wrong password"
OTHER_SITE = (
    "another web site sent this request in your name: open the page from a link, or enter its"
    " address"
)


class WebAccessDenied(TriageError):
    """The user is unknown, or the password is wrong."""


class WebAccess:
    """Checks names and passwords against the users of the settings."""

    def __init__(
        self, users: Mapping[str, str], clock: Clock, audit: AuditTrail | None = None
    ) -> None:
        self._users = users
        self._clock = clock
        self._audit = audit or NoAuditTrail()
        self._last_seen: dict[LoginKey, float] = {}
        # Unknown names are checked against this hash, so that they take as long as known ones.
        self._unknown_user = hash_password(secrets.token_hex())
        self._throttle = LoginThrottle(clock)
        self._pace = LoginPace(clock)
        #: Failures since the last report of a name and peer, and its time; the oldest report first.
        self._unreported: OrderedDict[LoginKey, tuple[int, float]] = OrderedDict()
        # A digest of each right password, under a secret of this process, saves repeated scrypt.
        self._secret = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._checking = threading.Lock()

    async def admit_in_turn(self, authorization: str, address: str) -> str:
        """Return the user's name as `admit` does, after the wait that `LoginPace` demands.

        Call it in the event loop.
        """
        name, _ = _parse_credentials(authorization)
        if (name, single_peer(address)) in self._last_seen:
            return await run_in_threadpool(self.admit, authorization, address)
        network = surrounding_network(address)
        with self._pace.reserve(name, network) as wait_s:
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            try:
                return await run_in_threadpool(self.admit, authorization, address)
            except WebAccessDenied:
                self._pace.count_failure(name, network)
                raise

    def admit(self, authorization: str, address: str) -> str:
        """Return the user's name; raise WebAccessDenied or LoginDelayed."""
        name, password = _parse_credentials(authorization)
        key = (name, single_peer(address))
        with self._checking:
            if wait_s := self._throttle.wait_s(key):
                raise LoginDelayed(ceil(wait_s))
            if self._is_right(name, password):
                self._throttle.reset(key)
                self._audit_login(name, address)
                return name
            self._throttle.count_failure(key)
            known = name if name in self._users else "(unknown)"  # or a password typed as a name
            self._report_failure(known, address)
        raise WebAccessDenied(WRONG)

    def _report_failure(self, user: str, address: str) -> None:
        """Log and audit a failure, together with those of the same user and peer before it.

        After the first, one report a minute has the count of the others. Beyond REPORTED_MOST users
        and peers, the one that was reported longest ago is forgotten, and its count is reported.
        """
        now, key = self._clock.now(), (user, single_peer(address))
        count, since = self._unreported.get(key, (0, -REPORT_EVERY_S))
        count += 1
        if now - since < REPORT_EVERY_S:
            self._unreported[key] = count, since
            return
        self._unreported.pop(key, None)
        self._unreported[key] = 0, now
        self._report_failures(user, address, count)
        if len(self._unreported) > REPORTED_MOST:
            (oldest, peer), (rest, _) = self._unreported.popitem(last=False)
            if rest:
                self._report_failures(oldest, peer, rest)

    def _report_failures(self, user: str, address: str, count: int) -> None:
        why = WRONG if count == 1 else f"{WRONG} ({count} times)"
        log.warning("login refused", user=user, address=address, times=count)
        self._audit.record(build_login_event(user, address, why))

    def _audit_login(self, name: str, address: str) -> None:
        """Record the start of a session; browsers send the password with every request."""
        now, key = self._clock.now(), (name, single_peer(address))
        self._last_seen = {k: at for k, at in self._last_seen.items() if at > now - SESSION_S}
        if key not in self._last_seen:
            self._audit.record(build_login_event(name, address))
        self._last_seen[key] = now

    def _is_right(self, name: str, password: str) -> bool:
        digest = hmac.new(self._secret, password.encode(), hashlib.sha256).digest()
        if name in self._verified and hmac.compare_digest(self._verified[name], digest):
            return True
        stored = self._users.get(name, self._unknown_user)
        is_right = verify_password(stored, password) and name in self._users
        if is_right:
            self._verified[name] = digest
        return is_right


class AccessMiddleware:
    """Refuses unauthenticated requests; passes the user's name on as `request.user`."""

    def __init__(self, app: ASGIApp, access: WebAccess) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = Request(scope)
        if _is_from_other_site(request):
            await problem_response(request, 403, OTHER_SITE)(scope, receive, send)
            return
        authorization = request.headers.get("authorization", "")
        address = request.client.host if request.client else ""
        try:
            scope["user"] = await self._access.admit_in_turn(authorization, address)
        except WebAccessDenied as error:
            refusal = problem_response(request, 401, f"{error}", {"WWW-Authenticate": REALM})
        except LoginDelayed as error:
            wait = {"Retry-After": str(error.seconds)}
            refusal = problem_response(request, 429, f"{error}", wait)
        else:
            mark_admitted(scope)
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)


def _is_from_other_site(request: Request) -> bool:
    """Return whether another site's page sent this request (W3C Fetch Metadata).

    Links are allowed. That page could not read the response, but the ledger would log an access in
    the name of its visitor.
    """
    site = request.headers.get("sec-fetch-site", "none")
    is_navigation = request.headers.get("sec-fetch-dest") == "document"
    return site not in {"none", "same-origin"} and not is_navigation


def _parse_credentials(authorization: str) -> tuple[str, str]:
    """Return name and password of an Authorization header; raise WebAccessDenied."""
    scheme, _, coded = authorization.partition(" ")
    try:
        name, colon, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except ValueError:
        name = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise WebAccessDenied("log in with a user name and password of this worker")
    return name[:LONGEST_NAME], password
