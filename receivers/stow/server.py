"""The HTTP server of STOW-RS: uvicorn in a thread.

uvicorn waits for a request without limit, and accepts any number of connections. Here a connection
without a complete request header is closed after twice the ARTIM time-out at the latest, even if it
sends byte by byte.
"""

import asyncio
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from receivers import tls
from triage.config import ListeningAddress
from triage.domain.errors import ConfigurationError

BACKLOG = 128
CONNECTIONS_MAX = 128  #: a further one is closed
END_S = 5  #: the longest wait for open requests when the receiver ends
START_S = 10.0
POLL_S = 0.01


class StowConnection(H11Protocol):
    """A connection with limits, which passes its client certificate to the application."""

    ask_s: float  #: until a request has begun and its headers are complete

    def connection_made(  # type: ignore[override] # as H11Protocol has it
        self, transport: asyncio.Transport
    ) -> None:
        """Start, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        certificates = tls.read_certificate_names(transport.get_extra_info("ssl_object"))
        self.app = _with_certificates(self.app, certificates)
        #: The answered request at the last check; `self`: there was none.
        self._answered: object = self
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        """Close the connection if no request arrived since the last check."""
        if self.transport.is_closing():
            return
        request = self.cycle  # none yet, or the last one
        is_idle = request is None or request.response_complete
        if is_idle and self._answered is request:
            self.transport.close()
            return
        self._answered = request if is_idle else self
        self.loop.call_later(self.ask_s, self._close_if_idle)


def _with_certificates(app: ASGIApp, certificates: frozenset[str]) -> ASGIApp:
    """Return the application with the names of a client certificate in its scope."""

    async def call_with_certificates(scope: Scope, receive: Receive, send: Send) -> None:
        scope["certificates"] = certificates
        await app(scope, receive, send)

    return call_with_certificates


class StowServer(uvicorn.Server):
    """A server that closes every connection when it ends.

    Otherwise a TLS peer that does not close its side would keep the connection open for long.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down gracefully, then close the connections that are still open."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the loop closes them in its next turns
        await asyncio.sleep(0)


@dataclass(frozen=True)
class RunningStowServer:
    """A server that has been started; `end` ends it."""

    server: uvicorn.Server
    thread: threading.Thread

    def is_alive(self) -> bool:
        """Return whether the thread of the server runs."""
        return self.thread.is_alive()

    def end(self) -> None:
        """Stop listening, wait for open requests, and end the thread."""
        self.server.should_exit = True
        self.thread.join()


def serve(
    app: ASGIApp, address: ListeningAddress, context: SSLContext | None, ask_s: float
) -> RunningStowServer:
    """Start the server in a thread; raise ConfigurationError if it cannot listen."""
    protocol = type("BoundedConnection", (StowConnection,), {"ask_s": ask_s})
    config = uvicorn.Config(
        app,
        http=protocol,
        ssl_context_factory=(lambda *_: context) if context else None,
        access_log=False,
        log_config=None,
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,  # else a sender could claim another address
        server_header=False,
        timeout_graceful_shutdown=END_S,
        ws="none",
    )
    listener = address.open(BACKLOG)
    server = StowServer(config)
    thread = threading.Thread(target=partial(server.run, [listener]), name="stow", daemon=True)
    thread.start()
    until = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(POLL_S)
    if not server.started:
        raise ConfigurationError("the HTTP server did not start; see the log")
    return RunningStowServer(server, thread)
