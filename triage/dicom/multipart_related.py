"""The parts of a multipart message as they come, RFC 2046 5.1.

python-multipart, which Starlette has for forms, refuses a preamble and padding behind a boundary,
which the RFC allows, and does not tell a message that ends without its closing boundary from a
whole one; of that difference depends here what a sender is promised.

Rule: no bytes in, nothing out but bytes: no transport, no clock. What is held is one chunk and less
than a boundary, or the headers of one part; beyond its bounds a message is Malformed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

BOUNDARY_MAX = 200  #: RFC 2046 5.1.1 says 70, Orthanc sends 73
HEADERS_MAX = 8192  #: bytes of the headers of one part
PADDING_MAX = 128  #: bytes of white space behind a boundary
PREAMBLE_MAX = 65_536  #: bytes before the first boundary
CRLF = b"\r\n"


class MultipartError(Exception):
    """The message is none that can be read; the text says why."""


@dataclass(frozen=True)
class PartStarted:
    """A part begins; the names of its headers are in small letters."""

    headers: Mapping[str, str]


@dataclass(frozen=True)
class PartData:
    """Some bytes of the part."""

    content: bytes


@dataclass(frozen=True)
class PartEnded:
    """The part is whole: the boundary after it has come."""


Event = PartStarted | PartData | PartEnded


class _State(Enum):
    PREAMBLE = auto()
    BOUNDARY = auto()  #: what stands behind one
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartParser:
    """One message. `feed` it what comes, and say when it has ended."""

    def __init__(self, boundary: str) -> None:
        """Raise Malformed where no boundary can be so."""
        if not 1 <= len(boundary) <= BOUNDARY_MAX or not boundary.isascii():
            raise MultipartError(f"a boundary has 1 to {BOUNDARY_MAX} ASCII characters")
        self._delimiter = CRLF + b"--" + boundary.encode()
        self._held = CRLF  # so that the first boundary begins a line, as the others do
        self._state = _State.PREAMBLE
        self._skipped = 0  #: bytes of the preamble

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield what a chunk completes; to be exhausted before the next one is fed."""
        if self._state is _State.EPILOGUE:
            return
        self._held += chunk
        steps = {
            _State.PREAMBLE: self._preamble,
            _State.BOUNDARY: self._boundary,
            _State.HEADERS: self._headers,
            _State.BODY: self._body,
        }
        while (step := steps.get(self._state)) is not None:
            state, held = self._state, len(self._held)
            yield from step()
            if self._state is state and len(self._held) == held:
                return  # it waits for more
        self._held = b""

    def end(self) -> None:
        """Raise Malformed unless the closing boundary has come."""
        if self._state is not _State.EPILOGUE:
            raise MultipartError("it ends before its closing boundary")

    def _preamble(self) -> Iterator[Event]:
        passed, found = self._up_to_delimiter()
        self._skipped += len(passed)
        if self._skipped > PREAMBLE_MAX:
            raise MultipartError("its boundary does not come")
        if found:
            self._state = _State.BOUNDARY
        yield from ()

    def _boundary(self) -> Iterator[Event]:
        """Read what stands behind a boundary: the line's end, or that this was the last one."""
        if self._held.startswith(b"--"):
            self._state = _State.EPILOGUE
            return
        padding = self._held.lstrip(b" \t")
        if padding.startswith(CRLF):
            self._held = padding  # its line's end may be that of the headers too, if there are none
            self._state = _State.HEADERS
        elif len(self._held) - len(padding) > PADDING_MAX or padding not in {b"", b"\r", b"-"}:
            raise MultipartError("behind a boundary stands what is no end of a line")
        yield from ()

    def _headers(self) -> Iterator[Event]:
        end = self._held.find(CRLF + CRLF, 0, HEADERS_MAX)
        if end >= 0:
            headers = _read(self._held[:end])
            self._held = self._held[end + len(CRLF + CRLF) :]
            self._state = _State.BODY
            yield PartStarted(headers)
        elif len(self._held) > HEADERS_MAX:
            raise MultipartError(f"a part has more than {HEADERS_MAX} bytes of headers")

    def _body(self) -> Iterator[Event]:
        content, found = self._up_to_delimiter()
        if content:
            yield PartData(content)
        if found:
            self._state = _State.BOUNDARY
            yield PartEnded()

    def _up_to_delimiter(self) -> tuple[bytes, bool]:
        """Take what is surely before the next delimiter, and that one too if it is there."""
        at = self._held.find(self._delimiter)
        if at >= 0:
            before, self._held = self._held[:at], self._held[at + len(self._delimiter) :]
            return before, True
        sure = len(self._held) - len(self._delimiter) + 1
        if sure <= 0:
            return b"", False
        before, self._held = self._held[:sure], self._held[sure:]
        return before, False


def _read(block: bytes) -> dict[str, str]:
    """Return the headers of a part; lines that go on with white space are joined (RFC 5322)."""
    text = block.decode("latin-1").replace("\r\n ", " ").replace("\r\n\t", " ")
    headers = {}
    for line in filter(None, text.split("\r\n")):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MultipartError("a part has a header that is none")
        headers[name.strip().lower()] = value.strip()
    return headers
