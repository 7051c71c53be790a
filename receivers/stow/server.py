"""The HTTP server of STOW-RS: uvicorn, in a thread of its own.

uvicorn waits for a request for ever, and takes any number of connections. Rule: a connection that
says nothing, or says it byte by byte, is closed after twice the ARTIM time-out at the latest.
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
from triage.domain.errors import ConfigurationError

BACKLOG = 128
CONNECTIONS_MAX = 128  #: a further one is closed
END_S = 5  #: requests in hand may take so long when the receiver ends
START_S = 10.0
POLL_S = 0.01


class StowConnection(H11Protocol):
    """A connection with bounds, which tells the application its client certificate."""

    ask_s: float  #: for a request to have begun, and its headers to be whole

    def connection_made(  # type: ignore[override] # as H11Protocol has it
        self, transport: asyncio.Transport
    ) -> None:
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        certificates = tls.read_certificate_names(transport.get_extra_info("ssl_object"))
        self.app = _with_certificates(self.app, certificates)
        self._answered: object = self  # what had been answered at the last look; at first nothing
        self._look()

    def _look(self) -> None:
        """Close the connection if it asked for nothing since the last look."""
        if self.transport.is_closing():
            return
        request = self.cycle  # none yet, or the last one
        waits = request is None or request.response_complete
        if waits and self._answered is request:
            self.transport.close()
            return
        self._answered = request if waits else self
        self.loop.call_later(self.ask_s, self._look)


def _with_certificates(app: ASGIApp, certificates: frozenset[str]) -> ASGIApp:
    """Return the application, told what the client certificate of a connection is called."""

    async def knowing(scope: Scope, receive: Receive, send: Send) -> None:
        scope["certificates"] = certificates
        await app(scope, receive, send)

    return knowing


class StowServer(uvicorn.Server):
    """A server that leaves no connection behind when it ends.

    A TLS peer that does not say goodbye would keep its own until long after.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order, and close what is open then all the same."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the loop closes them in its next turns
        await asyncio.sleep(0)


@dataclass(frozen=True)
class RunningStowServer:
    """A server that answers; `end` ends it."""

    server: uvicorn.Server
    thread: threading.Thread

    def end(self) -> None:
        """Stop listening, wait for the requests in hand, and end."""
        self.server.should_exit = True
        self.thread.join()


def serve(
    app: ASGIApp, host: str, port: int, context: SSLContext | None, ask_s: float
) -> RunningStowServer:
    """Answer in a thread; raise ConfigurationError if nobody can be heard."""
    protocol = type("BoundedConnection", (StowConnection,), {"ask_s": ask_s})
    config = uvicorn.Config(
        app,
        http=protocol,
        ssl_context_factory=(lambda *_: context) if context else None,
        access_log=False,
        log_config=None,
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,  # or anybody could say to be from elsewhere
        server_header=False,
        timeout_graceful_shutdown=END_S,
        ws="none",
    )
    listener = _open_listening_socket(host, port)
    server = StowServer(config)
    thread = threading.Thread(target=partial(server.run, [listener]), name="stow", daemon=True)
    thread.start()
    until = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(POLL_S)
    if not server.started:
        raise ConfigurationError("the HTTP server did not start: the log says why")
    return RunningStowServer(server, thread)


def _open_listening_socket(host: str, port: int) -> socket.socket:
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}): set receiver.stow.host and "
            "receiver.stow.port"
        ) from None
