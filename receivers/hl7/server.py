"""The MLLP server: asyncio in a thread, with bounded connections and messages.

A connection waits until its peer is known: by its address, or else by its first message from a
permitted sender. Waiting connections are bounded as on every port (`triage.connections`). A message
is stored in a thread of its own, of which there is one for each connection at most.
"""

import asyncio
import ssl
import threading
from contextlib import suppress
from functools import partial

import structlog

from receivers import tls
from receivers.hl7.framing import END, START, FrameReader, FramingFailed, MessageTooLong
from receivers.hl7.messages import Hl7Peer, ReportStore
from receivers.networks import is_named
from triage.config import Hl7Settings
from triage.config.listening import hl7_address
from triage.connections.listener import BACKLOG, BATCH, BoundedListener, ListenerLimits
from triage.connections.waiting import IsKnown, WaitingLimits
from triage.domain.errors import ConfigurationError
from triage.domain.instance import Source

log = structlog.get_logger(__name__)

WAITING_MAX = 32  #: connections of peers that are not known yet; beyond it, the oldest is closed
WAITING_OF_ONE_PEER = 8
TICK_S = 0.2
START_S = 10.0
STORE_S = 5.0  #: longest wait for a message that is being stored when the receiver ends


def build_limits(settings: Hl7Settings, ask_s: float) -> ListenerLimits:
    """Return the bounds of connections; `ask_s` is the ARTIM time-out."""
    waiting = WaitingLimits(WAITING_MAX, WAITING_OF_ONE_PEER, wait_s=2 * ask_s)
    return ListenerLimits(waiting, settings.connections)


class RunningHl7Listener:
    """A listener that has been started; raises ConfigurationError if it cannot listen."""

    def __init__(
        self,
        store: ReportStore,
        settings: Hl7Settings,
        context: ssl.SSLContext | None,
        ask_s: float,
    ) -> None:
        networks = [network for sender in settings.senders.values() for network in sender.addresses]
        self._store = store
        self._settings = settings
        self._context = context
        self._ask_s = ask_s
        self._is_known: IsKnown = partial(is_named, networks=networks)
        listening = hl7_address(settings).open(BACKLOG)
        limits = build_limits(settings, ask_s)
        self._listener = BoundedListener(listening, limits, self._is_known, BATCH)
        self._connections: set[asyncio.Task[None]] = set()
        self._ended = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hl7", daemon=True)
        self._thread.start()
        if not self._started.wait(START_S):
            raise ConfigurationError("the HL7 listener did not start; see the log")

    def is_alive(self) -> bool:
        """Return whether the thread of the listener runs."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop listening, wait for messages that are being stored, and end the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._accept,
            sock=self._listener,
            ssl=self._context,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if self._context is None else self._ask_s,
        )
        self._started.set()
        while not self._ended.is_set():
            self._listener.end_overdue()
            await asyncio.sleep(TICK_S)
        server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STORE_S)

    async def _accept(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            with suppress(ConnectionError, ssl.SSLError, TimeoutError, asyncio.CancelledError):
                await self._serve_connection(stream, writer)
        finally:
            writer.transport.abort()
            if task is not None:
                self._connections.discard(task)

    async def _serve_connection(
        self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        descriptor = writer.get_extra_info("socket").fileno()
        if not self._listener.set_end(descriptor, writer.transport.abort):
            return
        host = str(writer.get_extra_info("peername")[0])
        certificates = tls.read_certificate_names(writer.get_extra_info("ssl_object"))
        peer = Hl7Peer(host, certificates)
        if self._is_known(host) or certificates:
            self._listener.admit(descriptor)
        frames = FrameReader(stream, self._settings.message_bytes)
        while (message := await self._next_message(frames, writer, peer)) is not None:
            answer = await asyncio.to_thread(self._store.handle, message, peer)
            if answer.is_admitted:
                self._listener.admit(descriptor)
            await self._send(writer, answer.content)

    async def _next_message(
        self, frames: FrameReader, writer: asyncio.StreamWriter, peer: Hl7Peer
    ) -> bytes | None:
        """Return the next message; None if the connection ends, after reporting why."""
        settings = self._settings
        try:
            return await frames.read(settings.idle_s, settings.message_s)
        except TimeoutError:
            log.info("HL7 connection is idle or too slow", address=peer.address)
        except FramingFailed as error:
            source = Source("", peer.address)
            await asyncio.to_thread(self._store.report_refused, str(error), source)
        except MessageTooLong as error:
            refuse_long = self._store.refuse_long
            answer = await asyncio.to_thread(refuse_long, error.head, str(error), peer)
            await self._send(writer, answer)
        return None

    async def _send(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        """Send an acknowledgement; a peer that does not read it is ended."""
        writer.write(START + content + END)
        async with asyncio.timeout(self._ask_s):
            await writer.drain()
