"""The parts of a multipart/related body (PS3.18 8.6.1.2, RFC 2046 5.1.1), as they come.

Rule: no part is held. A body that ends before its closing delimiter is an error, as is one that
has no such structure.
"""

from collections.abc import Iterable, Iterator
from email.message import Message

from triage.domain.errors import ArchiveFailed

HEAD_MAX = 1 << 16  #: bytes of the headers of a part
BOUNDARY_MAX = 70


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names; raise ArchiveFailed where it names none."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary() or ""
    if message.get_content_type() != "multipart/related" or not 1 <= len(boundary) <= BOUNDARY_MAX:
        raise ArchiveFailed(f"it sent {message.get_content_type()}, not the parts of a study")
    return boundary.encode("latin-1", "replace")


class Parts:
    """The parts of a body that comes in pieces of any size."""

    def __init__(self, pieces: Iterable[bytes], boundary: bytes) -> None:
        self._pieces = iter(pieces)
        self._delimiter = b"\r\n--" + boundary
        #: What was received and not given out; the body may begin with the delimiter.
        self._rest = b"\r\n"

    def __iter__(self) -> Iterator[Iterator[bytes]]:
        """Yield the contents of each part, in pieces; each must be used up before the next."""
        for _ in self._until_delimiter():
            pass  # the preamble, which says nothing
        while self._is_followed():
            self._skip_head()
            yield self._until_delimiter()

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise ArchiveFailed("the answer was cut short")
        self._rest += piece

    def _until_delimiter(self) -> Iterator[bytes]:
        """Yield what goes before the next delimiter, and leave what follows it."""
        while (at := self._rest.find(self._delimiter)) < 0:
            safe = len(self._rest) - len(self._delimiter) + 1
            if safe > 0:
                yield self._rest[:safe]
                self._rest = self._rest[safe:]
            self._more()
        if at:
            yield self._rest[:at]
        self._rest = self._rest[at + len(self._delimiter) :]

    def _is_followed(self) -> bool:
        """Tell whether a delimiter begins a part; the last one is followed by two hyphens."""
        while len(self._rest) < len(b"--"):
            self._more()
        return not self._rest.startswith(b"--")

    def _skip_head(self) -> None:
        """Leave out the rest of the delimiter's line and the headers of a part."""
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > HEAD_MAX:
                raise ArchiveFailed("a part of the answer has no end of its headers")
            self._more()
        self._rest = self._rest[end + len(b"\r\n\r\n") :]
