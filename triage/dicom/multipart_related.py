"""Incremental parser for multipart messages (RFC 2046 5.1).

python-multipart, which Starlette uses for forms, is not suitable: it rejects a preamble and padding
after a boundary, which the RFC allows, and does not distinguish a message without its closing
boundary from a complete one. The response to a STOW-RS request depends on that difference.

The parser has no transport and no clock. It buffers one chunk and less than a boundary, or the
headers of one part; a message beyond the limits below raises MultipartError.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

BOUNDARY_MAX = 200  #: RFC 2046 5.1.1 allows 70, Orthanc sends 73
HEADERS_MAX = 8192  #: bytes of the headers of one part
PADDING_MAX = 128  #: bytes of white space after a boundary
PREAMBLE_MAX = 65_536  #: bytes before the first boundary
CRLF = b"\r\n"


class MultipartError(Exception):
    """The message is not valid multipart; the text states the reason."""


@dataclass(frozen=True)
class PartStarted:
    """A part begins; the names of its headers are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True)
class PartData:
    """Bytes of the current part."""

    content: bytes


@dataclass(frozen=True)
class PartEnded:
    """The part is complete: the boundary after it was read."""


Event = PartStarted | PartData | PartEnded


class _State(Enum):
    PREAMBLE = auto()
    BOUNDARY = auto()  #: the rest of the line after a boundary
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartParser:
    """Parser of one message: `feed` every chunk, then call `end`."""

    def __init__(self, boundary: str) -> None:
        """Raise MultipartError if `boundary` is not valid."""
        if not 1 <= len(boundary) <= BOUNDARY_MAX or not boundary.isascii():
            raise MultipartError(f"a boundary has 1 to {BOUNDARY_MAX} ASCII characters")
        self._delimiter = CRLF + b"--" + boundary.encode()
        self._buffer = CRLF  # so that the first boundary follows a line end, as the others do
        self._state = _State.PREAMBLE
        self._skipped = 0  #: bytes of the preamble

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events of a chunk; exhaust the iterator before feeding the next chunk."""
        if self._state is _State.EPILOGUE:
            return
        self._buffer += chunk
        steps = {
            _State.PREAMBLE: self._preamble,
            _State.BOUNDARY: self._boundary,
            _State.HEADERS: self._headers,
            _State.BODY: self._body,
        }
        while (step := steps.get(self._state)) is not None:
            state, size = self._state, len(self._buffer)
            yield from step()
            if self._state is state and len(self._buffer) == size:
                return  # more bytes are needed
        self._buffer = b""

    def end(self) -> None:
        """Raise MultipartError unless the closing boundary was read."""
        if self._state is not _State.EPILOGUE:
            raise MultipartError("the message ends before its closing boundary")

    def _preamble(self) -> Iterator[Event]:
        skipped, found = self._up_to_delimiter()
        self._skipped += len(skipped)
        if self._skipped > PREAMBLE_MAX:
            raise MultipartError(f"no boundary within the first {PREAMBLE_MAX} bytes")
        if found:
            self._state = _State.BOUNDARY
        yield from ()

    def _boundary(self) -> Iterator[Event]:
        """Read the rest of a boundary line: its line end, or the mark of the closing boundary."""
        if self._buffer.startswith(b"--"):
            self._state = _State.EPILOGUE
            return
        padding = self._buffer.lstrip(b" \t")
        if padding.startswith(CRLF):
            self._buffer = padding  # without headers, this line end also ends the header block
            self._state = _State.HEADERS
        elif len(self._buffer) - len(padding) > PADDING_MAX or padding not in {b"", b"\r", b"-"}:
            raise MultipartError("a boundary is not followed by a line end")
        yield from ()

    def _headers(self) -> Iterator[Event]:
        end = self._buffer.find(CRLF + CRLF, 0, HEADERS_MAX)
        if end >= 0:
            headers = _parse_headers(self._buffer[:end])
            self._buffer = self._buffer[end + len(CRLF + CRLF) :]
            self._state = _State.BODY
            yield PartStarted(headers)
        elif len(self._buffer) > HEADERS_MAX:
            raise MultipartError(f"a part has more than {HEADERS_MAX} bytes of headers")

    def _body(self) -> Iterator[Event]:
        content, found = self._up_to_delimiter()
        if content:
            yield PartData(content)
        if found:
            self._state = _State.BOUNDARY
            yield PartEnded()

    def _up_to_delimiter(self) -> tuple[bytes, bool]:
        """Remove and return the bytes before the next delimiter, and whether it was found."""
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            before, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
            return before, True
        safe = len(self._buffer) - len(self._delimiter) + 1
        if safe <= 0:
            return b"", False
        before, self._buffer = self._buffer[:safe], self._buffer[safe:]
        return before, False


def _parse_headers(block: bytes) -> dict[str, str]:
    """Return the headers of a part; folded lines are joined (RFC 5322)."""
    text = block.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", " ")
    headers = {}
    for line in filter(None, text.split("\r\n")):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MultipartError("a part has an invalid header line")
        headers[name.strip().lower()] = value.strip()
    return headers
