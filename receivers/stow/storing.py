"""Store the parts of one request (PS3.18 10.5).

Only the first bytes of a part are held in memory, to identify the instance in the response; the
rest is written to a staging file as it arrives. A part is kept when the boundary after it has
arrived. It stays kept even if the request fails later; the sender repeats the parts without a
response.
"""

from collections.abc import Container
from email.message import Message
from http import HTTPStatus
from struct import Struct

import structlog

from receivers.stow.answer import StowFailureReason, StowReference, StowResponse
from triage.dicom.multipart_related import (
    MultipartError,
    MultipartParser,
    PartData,
    PartEnded,
    PartStarted,
)
from triage.dimse.statuses import StoreStatus
from triage.dimse.store_response import attempt_store
from triage.domain.errors import DamagedInstance, OutOfResources
from triage.domain.instance import Receipt, Source
from triage.domain.uid import is_uid
from triage.pipeline.intake import Intake
from triage.ports.spool import StagedFile

log = structlog.get_logger(__name__)

HEAD_BYTES = (
    4096  #: bytes of a part that are held in memory; file meta information has some hundred
)
PREAMBLE = 132  #: bytes of preamble and prefix
META_GROUP = 0x0002
#: Media Storage SOP Class UID and SOP Instance UID.
IDENTITY_TAGS = ((META_GROUP, 0x0002), (META_GROUP, 0x0003))
SHORT_ELEMENT, LONG_ELEMENT = Struct("<HH2sH"), Struct("<HH2s2xL")  #: PS3.5 7.1.2
PARTS_MAX = 20_000  #: of a request, because each is listed in the response
DICOM = "application/dicom"


class StowStore:
    """Stores one request: `add` each chunk, then `end`; `close` in every case."""

    def __init__(  # noqa: PLR0913 - the parts of a request
        self,
        intake: Intake,
        boundary: str,
        source: Source,
        *,
        study_uid: str | None,
        classes: Container[str],
        limit_bytes: int,
    ) -> None:
        """Raise MultipartError for an invalid boundary.

        `study_uid` is the study of the request URI, None without one; `classes` are the accepted
        SOP classes; `limit_bytes` is the size of the largest instance.
        """
        self.answer = StowResponse()
        self._multipart = MultipartParser(boundary)
        self._intake = intake
        self._source = source
        self._study_uid = study_uid
        self._classes = classes
        self._limit_bytes = limit_bytes
        self._part: _StowPart | None = None

    def add(self, chunk: bytes) -> None:
        """Store the parts that this chunk completes; after `cut` it is ignored."""
        if self.answer.cut is not None:
            return
        try:
            for event in self._multipart.feed(chunk):
                self._handle(event)
        except MultipartError as error:
            self.cut(HTTPStatus.BAD_REQUEST, f"the multipart message cannot be read: {error}")

    def end(self) -> None:
        """Check that the message is complete."""
        if self.answer.cut is not None:
            return
        try:
            self._multipart.end()
        except MultipartError as error:
            self.cut(HTTPStatus.BAD_REQUEST, f"the multipart message is incomplete: {error}")
            return
        if self.answer.is_empty:
            self.cut(HTTPStatus.BAD_REQUEST, "the message contains no instance")

    def cut(self, status: HTTPStatus, why: str) -> None:
        """Stop reading; an incomplete part is not kept."""
        self.answer.cut = (status, why)
        self._intake.report_refused(why, self._source)
        self.close()

    def close(self) -> None:
        """Discard an incomplete part."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _handle(self, event: PartStarted | PartData | PartEnded) -> None:
        if isinstance(event, PartStarted):
            count = len(self.answer.stored) + len(self.answer.failed) + len(self.answer.unnamed)
            if count >= PARTS_MAX:
                raise MultipartError(f"more than {PARTS_MAX} parts: send them in several requests")
            self._part = _StowPart(
                self._intake, self._limit_bytes, event.headers.get("content-type")
            )
        elif self._part is not None and isinstance(event, PartData):
            self._part.append(event.content)
        elif self._part is not None:
            part, self._part = self._part, None
            self._keep(part)

    def _keep(self, part: "_StowPart") -> None:
        """Pass a complete part to Intake, and add the outcome to the response."""
        receipts: list[Receipt] = []
        try:
            reason = self._check(part) or _failure_reason_of(
                attempt_store(lambda: receipts.append(part.keep(self._source, self._study_uid)))
            )
        except Exception as error:  # a defect must not end the request
            log.exception("instance not stored", exc_info=error)
            reason = StowFailureReason.PROCESSING_FAILURE
        finally:
            part.discard()
        if reason is None:
            identity = receipts[0].identity
            stored = StowReference(identity.sop_class_uid, identity.sop_instance_uid)
            self.answer.stored.append(stored)
        else:
            self._intake.metrics.count_refusal(f"0x{reason:04X}")
            self.answer.fail(part.reference, reason)

    def _check(self, part: "_StowPart") -> StowFailureReason | None:
        """Return why a part is refused and report an incident; None if it is acceptable."""
        reference = part.reference
        if not part.is_dicom:
            why, reason = f"a part is not {DICOM}", StowFailureReason.CANNOT_UNDERSTAND
        elif part.size == 0:
            why, reason = "a part is empty", StowFailureReason.CANNOT_UNDERSTAND
        elif part.is_too_large:
            why = f"larger than receiver.instance_bytes, {self._limit_bytes}"
            reason = StowFailureReason.TOO_LARGE
        elif reference is not None and reference.sop_class_uid not in self._classes:
            why = f"{reference.sop_class_uid} is not an accepted storage SOP class"
            reason = StowFailureReason.CLASS_NOT_SUPPORTED
        else:
            return None
        self._intake.report_refused(why, self._source)
        return reason


class _StowPart:
    """A part that is written to a staging file; it is read to its end even if it is refused."""

    def __init__(self, intake: Intake, limit_bytes: int, content_type: str | None) -> None:
        self._intake = intake
        self._limit_bytes = limit_bytes
        self.is_dicom = content_type is None or parse_media_type(content_type) == DICOM
        self.size = 0
        self._head = bytearray()
        self._staged: StagedFile | None = None
        self._error: OutOfResources | OSError | None = None

    @property
    def is_too_large(self) -> bool:
        """True if the part exceeds the limit of an instance."""
        return self.size > self._limit_bytes

    def append(self, content: bytes) -> None:
        """Write some bytes, unless the part will be refused."""
        self.size += len(content)
        self._head += content[: HEAD_BYTES - len(self._head)]
        if self.is_too_large or not self.is_dicom:
            self.discard()
        elif self._error is None:
            try:
                self._staged = self._staged or self._intake.open_staging_file()
                self._staged.write(content)
            except (OutOfResources, OSError) as error:
                self._error = error
                self.discard()

    def keep(self, source: Source, study_uid: str | None) -> Receipt:
        """Pass the part to Intake; raise the error that prevented this."""
        if self._error is not None:
            raise self._error
        if self._staged is None:
            raise DamagedInstance("the part is empty")
        self._staged.close()
        return self._intake.accept_file(self._staged, source, study_uid=study_uid)

    def discard(self) -> None:
        """Remove the staging file, unless it was kept."""
        if self._staged is not None:
            self._staged.discard()
            self._staged = None

    @property
    def reference(self) -> StowReference | None:
        """The instance by its file meta information (PS3.10 7.1); None if that is unreadable."""
        found = _read_file_meta(self._head)
        uids = [
            found.get(tag, b"").rstrip(b"\0").decode("ascii", "replace") for tag in IDENTITY_TAGS
        ]
        if not all(map(is_uid, uids)):
            return None
        return StowReference(*uids)


def _read_file_meta(head: bytes | bytearray) -> dict[tuple[int, int], bytes]:
    """Return the UIDs of file meta information, by tag (explicit VR little endian, PS3.10 7.1)."""
    found: dict[tuple[int, int], bytes] = {}
    at = PREAMBLE
    while at + LONG_ELEMENT.size <= len(head):
        group, element, vr, length = SHORT_ELEMENT.unpack_from(head, at)
        if group != META_GROUP:
            break
        at += SHORT_ELEMENT.size
        if vr in {b"OB", b"UN"}:  # the only ones there with a length of 32 bits
            *_, length = LONG_ELEMENT.unpack_from(head, at - SHORT_ELEMENT.size)
            at += LONG_ELEMENT.size - SHORT_ELEMENT.size
        if vr == b"UI":
            found[group, element] = bytes(head[at : at + length])
        at += length
    return found


def parse_media_type(content_type: str) -> str:
    """Return the media type of a Content-Type without its parameters, in lower case."""
    message = Message()
    message["content-type"] = content_type
    return message.get_content_type()


def _failure_reason_of(status: int) -> StowFailureReason | None:
    return None if status == StoreStatus.SUCCESS else StowFailureReason(status)
