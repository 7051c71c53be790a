"""The parts of an archive's answer (PS3.18 8.6.1.2), as they come.

Rule: no part is held. What cannot be read, or ends before its closing boundary, is the archive's
failure.
"""

from collections.abc import Iterable, Iterator
from email.message import Message

from triage.dicom.multipart_related import (
    Event,
    MultipartError,
    MultipartParser,
    PartData,
    PartEnded,
)
from triage.domain.errors import ArchiveFailed


def boundary_of(content_type: str) -> str:
    """Return the boundary that a Content-Type names; raise ArchiveFailed where it names none."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/related" or not boundary:
        raise ArchiveFailed(f"it sent {message.get_content_type()}, not the parts of a study")
    return boundary


def parts_of(pieces: Iterable[bytes], boundary: str) -> Iterator[Iterator[bytes]]:
    """Yield the contents of each part, in pieces; each must be used up before the next."""
    events = _events(pieces, boundary)
    for _began in events:
        yield _contents(events)


def _events(pieces: Iterable[bytes], boundary: str) -> Iterator[Event]:
    try:
        message = MultipartParser(boundary)
        for piece in pieces:
            yield from message.feed(piece)
        message.end()
    except MultipartError as error:
        raise ArchiveFailed(f"the parts of its answer cannot be read: {error}") from None


def _contents(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, PartEnded):
            return
        if isinstance(event, PartData):
            yield event.content
