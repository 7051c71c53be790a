"""STOW-RS: the Store transaction of the Studies Service as origin server, PS3.18 10.5.

Rule: a request is an association: while it is open, the study that it brought last waits. Whoever
is turned away is told what to do, and the administrator sees it.
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
from triage.dicom.multipart_related import MultipartError
from triage.dimse.storage_classes import list_storage_classes
from triage.domain.instance import Source
from triage.domain.uid import UID_LENGTH
from triage.pipeline.intake import Intake
from triage.telemetry.metrics import RejectionReason as Busy

log = structlog.get_logger(__name__)

STUDIES_PATH = re.compile(rf"/studies(?:/(?P<study>[0-9.]{{1,{UID_LENGTH}}}))?/?")
CHUNK_BYTES = 1 << 18  #: bytes that are handed on together; so many must come within the idle time
RETRY_AFTER_S = "5"
REALM = 'Bearer realm="CMR triage: STOW-RS"'
#: Bytes and seconds for which one who was turned away may go on sending, to hear why.
DRAIN_BYTES, DRAIN_S = 1 << 24, 5.0
#: What to do, where not one instance was stored.
ADVICE = {
    HTTPStatus.SERVICE_UNAVAILABLE: "no room, or the ledger is busy: make room, send again",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "larger than receiver.instance_bytes: raise that setting",
    HTTPStatus.CONFLICT: "no instance was stored: the Failure Reasons say why",
}


class RequestRejected(Exception):
    """A request that is turned away before anything of it is read."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ClientDisconnected(Exception):
    """The sender has hung up."""


class StowApplication:
    """See the module; an ASGI application."""

    def __init__(self, intake: Intake, receiver: ReceiverSettings, stow: StowSettings) -> None:
        self._intake = intake
        self._receiver = receiver
        self._access = StowAccess(stow.senders)
        self._at_once = stow.requests
        self._open = 0
        self._classes = frozenset(list_storage_classes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except RequestRejected as turned:
            answer = _build_problem(turned.status, str(turned), turned.headers)
            await _drain(request)
        except ClientDisconnected:
            log.warning("a sender hung up in the middle of its request")
            return
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name, address = await run_in_threadpool(self._admitted, request)  # may wait for the ledger
        found = STUDIES_PATH.fullmatch(request.url.path)
        if found is None:
            raise RequestRejected(
                HTTPStatus.NOT_FOUND, "send instances to /studies or /studies/STUDY_UID"
            )
        if request.method != "POST":
            raise RequestRejected(
                HTTPStatus.METHOD_NOT_ALLOWED, "only stored here: use POST", Allow="POST"
            )
        boundary, wanted = _read_boundary(request), _choose_response_type(request)
        if self._open >= self._at_once:
            why = f"{self._at_once} requests at once (receiver.stow.requests): send again later"
            self._intake.report_rejected(why, Source(name, address), Busy.LIMIT)
            raise RequestRejected(HTTPStatus.SERVICE_UNAVAILABLE, why, Retry_After=RETRY_AFTER_S)
        self._open += 1
        try:
            answer = await self._stored(request, boundary, name, address, found["study"])
        finally:
            self._open -= 1
        return _build_response(answer, wanted)

    def _admitted(self, request: Request) -> tuple[str, str]:
        """Return the name and the address of the sender."""
        address = request.client.host if request.client else ""
        said = request.headers.get("authorization", "")
        try:
            return self._access.admit(said, address, request.scope["certificates"]), address
        except StowAccessDenied as error:
            self._intake.report_rejected(f"STOW-RS: {error}", Source("", address))
            asked = {"WWW_Authenticate": REALM} if error.status == HTTPStatus.UNAUTHORIZED else {}
            raise RequestRejected(error.status, str(error), **asked) from None

    async def _stored(
        self, request: Request, boundary: str, name: str, address: str, study_uid: str | None
    ) -> StowResponse:
        association = id(request)  # open for as long as it is counted, so no other has it
        try:
            storing = StowStore(
                self._intake,
                boundary,
                Source(name, address, association),
                study_uid=study_uid,
                classes=self._classes,
                most_bytes=self._receiver.instance_bytes,
            )
        except MultipartError as error:
            raise RequestRejected(HTTPStatus.BAD_REQUEST, f"boundary: {error}") from None
        self._intake.associations.open(association)
        try:
            async for piece in self._pieces(request):
                await run_in_threadpool(storing.take, piece)
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

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body; raise Gone, or TimeoutError where it comes too slowly."""
        more = True
        while more:
            held = bytearray()
            async with asyncio.timeout(self._receiver.idle_s):
                while more and len(held) < CHUNK_BYTES:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected
                    held += message.get("body", b"")
                    more = message.get("more_body", False)
            yield bytes(held)


def _read_boundary(request: Request) -> str:
    """Return the boundary of the multipart message; raise Turned where it is another thing."""
    content = Message()
    content["content-type"] = request.headers.get("content-type", "")
    kind = content.get_content_type()
    inner = str(content.get_param("type", DICOM)).lower()
    if kind != "multipart/related" or inner != DICOM:
        raise RequestRejected(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'send Content-Type: multipart/related; type="{DICOM}"; boundary=..., with one Part 10 '
            "file a part",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRejected(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it without Content-Encoding")
    boundary = content.get_boundary()
    if boundary is None:
        raise RequestRejected(HTTPStatus.BAD_REQUEST, "the Content-Type names no boundary")
    return boundary


def _choose_response_type(request: Request) -> str:
    """Return the media type that the sender wants its answer in."""
    accepted = []
    for said in ",".join(request.headers.getlist("accept")).split(","):
        entry = Message()
        entry["content-type"] = said.strip() or "*/*"
        try:
            weight = float(str(entry.get_param("q", "1")))
        except ValueError:
            weight = 0.0
        name, _, _ = said.partition(";")
        accepted.append((name.strip().lower() or "*/*", weight))
    wanted = choose_media_type(accepted)
    if wanted is None:
        raise RequestRejected(
            HTTPStatus.NOT_ACCEPTABLE, "accept application/dicom+json, or dicom+xml"
        )
    return wanted


def _build_response(answer: StowResponse, wanted: str) -> Response:
    """Return the module, or what was wrong where there is nothing to stand in it."""
    if answer.cut is not None and answer.is_empty:
        status, why = answer.cut
        return _build_problem(status, why, {})
    status = answer.status
    headers = {}
    if advice := answer.cut[1] if answer.cut else ADVICE.get(status):
        headers["Warning"] = f'299 cmr-triage "{advice}"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_S
    body = answer.as_json() if wanted == JSON else answer.as_xml()
    return Response(body, status, headers, wanted)


def _build_problem(status: HTTPStatus, why: str, headers: dict[str, str]) -> Response:
    """Return problem details, RFC 9457."""
    told = {"title": status.phrase, "status": int(status), "detail": why}
    return JSONResponse(told, status, headers, "application/problem+json")


async def _drain(request: Request) -> None:
    """Read on for a moment: a connection that is closed while its sender sends loses the answer."""
    if "expect" in request.headers:  # it has not begun: to read on would be to say 100 Continue
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
