"""MLLP frames: 0B, the message, 1C 0D (HL7 v2.5.1 appendix C, minimal lower layer protocol).

Line ends between frames are ignored, as some senders add them. Anything else outside a frame ends
the connection, because where the next message begins is then unknown.
"""

import asyncio

from triage.domain.errors import TriageError

START, END = b"\x0b", b"\x1c\r"
BETWEEN = b"\r\n"
PIECE_BYTES = 65_536


class FramingFailed(TriageError):
    """The bytes of a connection are no frame; the connection ends."""


class MessageTooLong(TriageError):
    """A message is longer than permitted; `head` is its beginning."""

    def __init__(self, head: bytes, limit_bytes: int) -> None:
        super().__init__(f"the message is longer than receiver.hl7.message_bytes, {limit_bytes}")
        self.head = head


class FrameReader:
    """Reads the messages of a connection, of which it holds one in memory."""

    def __init__(self, stream: asyncio.StreamReader, limit_bytes: int) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._held = bytearray()

    async def read(self, idle_s: float, message_s: float) -> bytes | None:
        """Return the next message; None if the peer closed the connection between two messages.

        Raises:
            TimeoutError: Nothing arrives for `idle_s`, or a message takes longer than `message_s`.
            FramingFailed: The bytes are no frame.
            MessageTooLong: The message is longer than permitted.
        """
        async with asyncio.timeout(idle_s):
            while not self._begins():
                if not await self._receive():
                    return None
        async with asyncio.timeout(message_s):
            return await self._read_rest()

    def _begins(self) -> bool:
        """Return whether a frame has begun; raise FramingFailed for any other byte."""
        first = self._held.lstrip(BETWEEN)
        if first and not first.startswith(START):
            raise FramingFailed("no MLLP frame: the first byte of a message must be 0B")
        self._held = first
        return bool(first)

    async def _read_rest(self) -> bytes:
        searched = 1
        while (end := self._held.find(END, searched)) < 0:
            if self._held.find(START, searched) >= 0:
                raise FramingFailed("no MLLP frame: a message begins within another one")
            if len(self._held) > self._limit_bytes:
                raise MessageTooLong(bytes(self._held[1:PIECE_BYTES]), self._limit_bytes)
            searched = max(1, len(self._held) - 1)
            if not await self._receive():
                raise FramingFailed("the connection ended within a message")
        if end > self._limit_bytes:
            raise MessageTooLong(bytes(self._held[1:PIECE_BYTES]), self._limit_bytes)
        message = bytes(self._held[1:end])
        del self._held[: end + len(END)]
        return message

    async def _receive(self) -> bool:
        piece = await self._stream.read(PIECE_BYTES)
        self._held += piece
        return bool(piece)
