"""The parts of a WADO-RS response (PS3.18 8.6.1.2), read as they arrive.

No part is held in memory as a whole. A response that cannot be read, or that ends before its
closing boundary, raises ArchiveFailed.
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


def read_boundary(content_type: str) -> str:
    """Return the boundary in a Content-Type; raise ArchiveFailed if there is none."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/related" or not boundary:
        raise ArchiveFailed(f"it sent {message.get_content_type()}, not the parts of a study")
    return boundary


def read_parts(pieces: Iterable[bytes], boundary: str) -> Iterator[Iterator[bytes]]:
    """Yield the content of each part in pieces; read each part to its end before the next."""
    events = _read_events(pieces, boundary)
    for _began in events:
        yield _read_content(events)


def _read_events(pieces: Iterable[bytes], boundary: str) -> Iterator[Event]:
    try:
        message = MultipartParser(boundary)
        for piece in pieces:
            yield from message.feed(piece)
        message.end()
    except MultipartError as error:
        raise ArchiveFailed(f"the parts of its answer cannot be read: {error}") from None


def _read_content(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, PartEnded):
            return
        if isinstance(event, PartData):
            yield event.content
