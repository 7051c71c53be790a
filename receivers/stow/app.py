"""STOW-RS: the Store transaction of the Studies Service as origin server (PS3.18 10.5).

A request counts as an association: while it is open, the study of its last instance is incomplete.
The response to a rejected request states what to do, and the rejection is reported to the
administrator.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from email.message import Message
from http import HTTPStatus

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from receivers.stow.access import StowAccess, StowAccessDenied
from receivers.stow.answer import JSON, StowResponse, choose_media_type
from receivers.stow.storing import DICOM, StowStore
from triage.config import ReceiverSettings, StowSettings
from triage.connections.http_server import mark_admitted
from triage.dicom.multipart_related import MultipartError
from triage.dimse.storage_classes import AcceptedClasses
from triage.domain.incident import RejectionReason
from triage.domain.instance import Source
from triage.domain.uid import UID_LENGTH
from triage.pipeline.intake import Intake

log = structlog.get_logger(__name__)

STUDIES_PATH = re.compile(rf"/studies(?:/(?P<study>[0-9.]{{1,{UID_LENGTH}}}))?/?")
CHUNK_BYTES = (
    1 << 18
)  #: bytes that are processed together; so many must arrive within the idle time
#: Memory that is counted for an open request: a chunk, its copies, and the bytes that have arrived.
REQUEST_BYTES = 4 * CHUNK_BYTES
RETRY_AFTER_S = "5"
REALM = 'Bearer realm="CMR triage: STOW-RS"'
#: Bytes and seconds for which a rejected sender may continue, so that it reads the response.
DRAIN_BYTES, DRAIN_S = 1 << 24, 5.0
#: Advice for the sender if no instance was stored.
ADVICE = {
    HTTPStatus.SERVICE_UNAVAILABLE: "no room, or the ledger is busy: make room, send again",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "larger than receiver.instance_bytes: raise that setting",
    HTTPStatus.CONFLICT: "no instance was stored: see the Failure Reasons",
}


class RequestRejected(Exception):
    """The request is rejected before its body is read."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ClientDisconnected(Exception):
    """The sender closed the connection in the middle of its request."""


class StowApplication:
    """The ASGI application."""

    def __init__(self, intake: Intake, receiver: ReceiverSettings, stow: StowSettings) -> None:
        self._intake = intake
        self._receiver = receiver
        self._access = StowAccess(stow.senders)
        self._requests_max = stow.requests
        self._open = 0  #: requests that are being read
        self._classes = AcceptedClasses.of(receiver)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except RequestRejected as rejected:
            response = _build_problem(rejected.status, str(rejected), rejected.headers)
            await _drain(request)
        except ClientDisconnected:
            log.warning("a sender closed the connection in the middle of its request")
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name, address = await run_in_threadpool(self._admit, request)  # may wait for the ledger
        mark_admitted(request.scope)
        found = STUDIES_PATH.fullmatch(request.url.path)
        if found is None:
            raise RequestRejected(
                HTTPStatus.NOT_FOUND, "send instances to /studies or /studies/STUDY_UID"
            )
        if request.method != "POST":
            raise RequestRejected(
                HTTPStatus.METHOD_NOT_ALLOWED, "this service only stores: use POST", Allow="POST"
            )
        boundary, media_type = _read_boundary(request), _choose_response_type(request)
        if self._open >= self._requests_max:
            why = (
                f"{self._requests_max} requests at once (receiver.stow.requests): send again later"
            )
            self._intake.report_rejected(why, Source(name, address), RejectionReason.LIMIT)
            raise RequestRejected(HTTPStatus.SERVICE_UNAVAILABLE, why, Retry_After=RETRY_AFTER_S)
        if not self._intake.memory.reserve(id(request), REQUEST_BYTES):
            why = self._intake.memory.why
            self._intake.report_rejected(why, Source(name, address), RejectionReason.LIMIT)
            raise RequestRejected(HTTPStatus.SERVICE_UNAVAILABLE, why, Retry_After=RETRY_AFTER_S)
        self._open += 1
        try:
            outcome = await self._store(request, boundary, name, address, found["study"])
        finally:
            self._open -= 1
            self._intake.memory.release(id(request))
        return _build_response(outcome, media_type)

    def _admit(self, request: Request) -> tuple[str, str]:
        """Return name and address of the sender; raise RequestRejected if it is not admitted."""
        address = request.client.host if request.client else ""
        header = request.headers.get("authorization", "")
        try:
            return self._access.admit(header, address, request.scope["certificates"]), address
        except StowAccessDenied as error:
            self._intake.report_rejected(f"STOW-RS: {error}", Source("", address), is_login=True)
            is_unauthorized = error.status == HTTPStatus.UNAUTHORIZED
            headers = {"WWW_Authenticate": REALM} if is_unauthorized else {}
            raise RequestRejected(error.status, str(error), **headers) from None

    async def _store(
        self, request: Request, boundary: str, name: str, address: str, study_uid: str | None
    ) -> StowResponse:
        association = id(request)  # unique while the request is open
        try:
            storing = StowStore(
                self._intake,
                boundary,
                Source(name, address, association),
                study_uid=study_uid,
                classes=self._classes,
                limit_bytes=self._receiver.instance_bytes,
            )
        except MultipartError as error:
            raise RequestRejected(HTTPStatus.BAD_REQUEST, f"boundary: {error}") from None
        self._intake.associations.open(association)
        try:
            async for chunk in self._read_chunks(request):
                await run_in_threadpool(storing.add, chunk)
            await run_in_threadpool(storing.end)
        except TimeoutError:
            why = (
                f"fewer than {CHUNK_BYTES} bytes came in {self._receiver.idle_s:g} s: send it again"
            )
            await run_in_threadpool(storing.cut, HTTPStatus.REQUEST_TIMEOUT, why)
        finally:
            storing.close()
            self._intake.associations.close(association)
        return storing.answer

    async def _read_chunks(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body; raise ClientDisconnected, or TimeoutError if it arrives too slowly."""
        more = True
        while more:
            chunk = bytearray()
            async with asyncio.timeout(self._receiver.idle_s):
                while more and len(chunk) < CHUNK_BYTES:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected
                    chunk += message.get("body", b"")
                    more = message.get("more_body", False)
            yield bytes(chunk)


def _read_boundary(request: Request) -> str:
    """Return the boundary of the multipart message; raise RequestRejected for other content."""
    content = Message()
    content["content-type"] = request.headers.get("content-type", "")
    kind = content.get_content_type()
    inner = str(content.get_param("type", DICOM)).lower()
    if kind != "multipart/related" or inner != DICOM:
        raise RequestRejected(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'send Content-Type: multipart/related; type="{DICOM}"; boundary=..., with one Part 10 '
            "file in each part",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRejected(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it without Content-Encoding")
    boundary = content.get_boundary()
    if boundary is None:
        raise RequestRejected(HTTPStatus.BAD_REQUEST, "the Content-Type names no boundary")
    return boundary


def _choose_response_type(request: Request) -> str:
    """Return the media type of the response; raise RequestRejected if none is acceptable."""
    accepted = []
    for media_range in ",".join(request.headers.getlist("accept")).split(","):
        entry = Message()
        entry["content-type"] = media_range.strip() or "*/*"
        try:
            weight = float(str(entry.get_param("q", "1")))
        except ValueError:
            weight = 0.0
        name, _, _ = media_range.partition(";")
        accepted.append((name.strip().lower() or "*/*", weight))
    chosen = choose_media_type(accepted)
    if chosen is None:
        raise RequestRejected(
            HTTPStatus.NOT_ACCEPTABLE, "accept application/dicom+json, or dicom+xml"
        )
    return chosen


def _build_response(outcome: StowResponse, media_type: str) -> Response:
    """Return the response module, or problem details if no part was read to its end."""
    if outcome.cut is not None and outcome.is_empty:
        status, why = outcome.cut
        return _build_problem(status, why, {})
    status = outcome.status
    headers = {}
    if advice := outcome.cut[1] if outcome.cut else ADVICE.get(status):
        headers["Warning"] = f'299 cmr-triage "{advice}"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_S
    body = outcome.as_json() if media_type == JSON else outcome.as_xml()
    return Response(body, status, headers, media_type)


def _build_problem(status: HTTPStatus, why: str, headers: dict[str, str]) -> Response:
    """Return problem details (RFC 9457)."""
    details = {"title": status.phrase, "status": int(status), "detail": why}
    return JSONResponse(details, status, headers, "application/problem+json")


async def _drain(request: Request) -> None:
    """Read more of a rejected request, because closing at once would lose the response."""
    if "expect" in request.headers:  # reading would send 100 Continue
        return
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
