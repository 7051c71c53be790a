"""The parts of one request, from the wire to the spool: PS3.18 10.5.

Rule: what is held of a part is its first bytes, to say afterwards which one it was; the rest goes
to the spool's file system as it comes. A part is kept when the boundary behind it has come, and
what was kept stays, whatever becomes of the request: its sender sends again what it was not told.
"""

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

HEAD_BYTES = 4096  #: bytes that are held of a part; file meta information is some hundred
PREAMBLE = 132  #: bytes before file meta information, with the prefix
META_GROUP = 0x0002
#: Media Storage SOP Class UID and SOP Instance UID.
IDENTITY_TAGS = ((META_GROUP, 0x0002), (META_GROUP, 0x0003))
SHORT_ELEMENT, LONG_ELEMENT = Struct("<HH2sH"), Struct("<HH2s2xL")  #: PS3.5 7.1.2
PARTS_MAX = 20_000  #: of a request: each stands in its answer
DICOM = "application/dicom"


class StowStore:
    """One request. `take` what comes, `end` it; `close` it in any case."""

    def __init__(  # noqa: PLR0913 - what a request is about
        self,
        intake: Intake,
        boundary: str,
        source: Source,
        *,
        study_uid: str | None,
        classes: frozenset[str],
        most_bytes: int,
    ) -> None:
        """Raise Malformed where no boundary can be so.

        `study_uid`: the study of the address, if there is one; `classes`: SOP classes that are
        taken; `most_bytes`: the size of the largest instance.
        """
        self.answer = StowResponse()
        self._multipart = MultipartParser(boundary)
        self._intake = intake
        self._source = source
        self._study_uid = study_uid
        self._classes = classes
        self._most_bytes = most_bytes
        self._part: _StowPart | None = None

    def take(self, chunk: bytes) -> None:
        """Store what is whole with this chunk; after `cut` the rest is nothing to us."""
        if self.answer.cut is not None:
            return
        try:
            for event in self._multipart.feed(chunk):
                self._happened(event)
        except MultipartError as error:
            self.cut(HTTPStatus.BAD_REQUEST, f"the multipart message cannot be read: {error}")

    def end(self) -> None:
        """Judge a message that has ended."""
        if self.answer.cut is not None:
            return
        try:
            self._multipart.end()
        except MultipartError as error:
            self.cut(HTTPStatus.BAD_REQUEST, f"the multipart message is not whole: {error}")
            return
        if self.answer.is_empty:
            self.cut(HTTPStatus.BAD_REQUEST, "there is no instance in it")

    def cut(self, status: HTTPStatus, why: str) -> None:
        """Read no further; a part that is not whole is not kept."""
        self.answer.cut = (status, why)
        self._intake.report_refused(why, self._source)
        self.close()

    def close(self) -> None:
        """Let go of a part that is not whole."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _happened(self, event: PartStarted | PartData | PartEnded) -> None:
        if isinstance(event, PartStarted):
            count = len(self.answer.stored) + len(self.answer.failed) + len(self.answer.unnamed)
            if count >= PARTS_MAX:
                raise MultipartError(f"more than {PARTS_MAX} parts: send them in several requests")
            self._part = _StowPart(
                self._intake, self._most_bytes, event.headers.get("content-type")
            )
        elif self._part is not None and isinstance(event, PartData):
            self._part.append(event.content)
        elif self._part is not None:
            part, self._part = self._part, None
            self._keep(part)

    def _keep(self, part: "_StowPart") -> None:
        """Have a whole part accepted, and note for the answer what became of it."""
        receipts: list[Receipt] = []
        try:
            reason = self._refusal(part) or _failure_reason_of(
                attempt_store(lambda: receipts.append(part.keep(self._source, self._study_uid)))
            )
        except Exception as error:  # a defect must not end the request
            log.exception("instance not taken", exc_info=error)
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

    def _refusal(self, part: "_StowPart") -> StowFailureReason | None:
        """Return why nothing of a part is kept, None if it may be; such a part is an incident."""
        reference = part.reference
        if not part.is_dicom:
            why, reason = f"a part is not {DICOM}", StowFailureReason.CANNOT_UNDERSTAND
        elif part.size == 0:
            why, reason = "a part is empty", StowFailureReason.CANNOT_UNDERSTAND
        elif part.is_too_large:
            why = f"larger than receiver.instance_bytes, {self._most_bytes}"
            reason = StowFailureReason.TOO_LARGE
        elif reference is not None and reference.sop_class_uid not in self._classes:
            why = f"{reference.sop_class_uid} is no storage SOP class that is taken"
            reason = StowFailureReason.CLASS_NOT_SUPPORTED
        else:
            return None
        self._intake.report_refused(why, self._source)
        return reason


class _StowPart:
    """A part on its way into the spool; it is read on although it will not be kept."""

    def __init__(self, intake: Intake, most_bytes: int, content_type: str | None) -> None:
        self._intake = intake
        self._most_bytes = most_bytes
        self.is_dicom = content_type is None or parse_media_type(content_type) == DICOM
        self.size = 0
        self._head = bytearray()
        self._aside: StagedFile | None = None
        self._error: OutOfResources | OSError | None = None

    @property
    def is_too_large(self) -> bool:
        """Tell whether more has come than an instance may have."""
        return self.size > self._most_bytes

    def append(self, content: bytes) -> None:
        """Write some bytes, unless they will not be kept."""
        self.size += len(content)
        self._head += content[: HEAD_BYTES - len(self._head)]
        if self.is_too_large or not self.is_dicom:
            self.discard()
        elif self._error is None:
            try:
                self._aside = self._aside or self._intake.open_staging_file()
                self._aside.write(content)
            except (OutOfResources, OSError) as error:
                self._error = error
                self.discard()

    def keep(self, source: Source, study_uid: str | None) -> Receipt:
        """Have it accepted; raise what stood in the way."""
        if self._error is not None:
            raise self._error
        if self._aside is None:
            raise DamagedInstance("the part is empty")
        self._aside.close()
        return self._intake.accept_file(self._aside, source, study_uid=study_uid)

    def discard(self) -> None:
        """Remove what was written and not kept."""
        if self._aside is not None:
            self._aside.discard()
            self._aside = None

    @property
    def reference(self) -> StowReference | None:
        """Return which instance it is by its file meta information (PS3.10 7.1), if it says so."""
        found = _read_file_meta(self._head)
        uids = [
            found.get(tag, b"").rstrip(b"\0").decode("ascii", "replace") for tag in IDENTITY_TAGS
        ]
        if not all(map(is_uid, uids)):
            return None
        return StowReference(*uids)


def _read_file_meta(head: bytes | bytearray) -> dict[tuple[int, int], bytes]:
    """Return the UIDs of file meta information: explicit VR, little endian (PS3.10 7.1)."""
    found: dict[tuple[int, int], bytes] = {}
    at = PREAMBLE
    while at + LONG_ELEMENT.size <= len(head):
        group, element, vr, length = SHORT_ELEMENT.unpack_from(head, at)
        if group != META_GROUP:
            break
        at += SHORT_ELEMENT.size
        if vr in {b"OB", b"UN"}:  # of all that may stand there, these alone have long lengths
            *_, length = LONG_ELEMENT.unpack_from(head, at - SHORT_ELEMENT.size)
            at += LONG_ELEMENT.size - SHORT_ELEMENT.size
        if vr == b"UI":
            found[group, element] = bytes(head[at : at + length])
        at += length
    return found


def parse_media_type(content_type: str) -> str:
    """Return the media type of a Content-Type, without its parameters, in small letters."""
    message = Message()
    message["content-type"] = content_type
    return message.get_content_type()


def _failure_reason_of(status: int) -> StowFailureReason | None:
    return None if status == StoreStatus.SUCCESS else StowFailureReason(status)
