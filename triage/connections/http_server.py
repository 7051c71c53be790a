"""uvicorn with bounded connections.

uvicorn waits for a request without limit, and accepts any number of connections. Here a connection
waits until the application admits its peer, with the limits of its `BoundedListener`: silence, a
header that arrives byte by byte, and a TLS handshake that stalls are the same. An admitted
connection without a request is closed after twice `idle_s` at the latest.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from triage.connections.listener import BACKLOG, BoundedListener

#: Describes a new connection for the application.
Describe = Callable[[asyncio.Transport], dict[str, Any]]
ADMIT = "triage.admit"  #: key of the scope; see `mark_admitted`


def mark_admitted(scope: Scope) -> None:
    """Note that the peer of a request has identified itself; its connection waits no longer."""
    admit: Callable[[], None] | None = scope.get(ADMIT)
    if admit is not None:  # another server, in a test
        admit()


def describe_nothing(_transport: asyncio.Transport) -> dict[str, Any]:
    """Return nothing: the application needs to know nothing of a connection."""
    return {}


class BoundedHttpConnection(H11Protocol):
    """A connection with limits. Subclass it with the attributes of a port (`for_port`)."""

    listener: BoundedListener
    idle_s: float  #: until a request has begun and its header is complete

    #: Returns what the application shall find in the scope of each request, besides.
    describe: Describe

    @classmethod
    def for_port(
        cls, listener: BoundedListener, idle_s: float, describe: Describe = describe_nothing
    ) -> "type[BoundedHttpConnection]":
        """Return this class for the connections of one port."""
        own = {"listener": listener, "idle_s": idle_s, "describe": staticmethod(describe)}
        return type(f"Port{cls.__name__}", (cls,), own)

    def connection_made(  # type: ignore[override] # as H11Protocol has it
        self, transport: asyncio.Transport
    ) -> None:
        """Start, unless the connection is ended already."""
        super().connection_made(transport)
        descriptor = transport.get_extra_info("socket").fileno()
        if not self.listener.set_end(descriptor, transport.abort):
            transport.abort()
            return
        admit = partial(self.listener.admit, descriptor)
        self.app = _with_scope(self.app, {ADMIT: admit, **self.describe(transport)})
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
        self.loop.call_later(self.idle_s, self._close_if_idle)


class BoundedHttpServer(uvicorn.Server):
    """A server on a `BoundedListener`."""

    def __init__(self, config: uvicorn.Config, listener: BoundedListener) -> None:
        super().__init__(config)
        self.listener = listener

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down gracefully, then close the connections that are still open.

        Otherwise a TLS peer that does not close its side would keep the connection open for long.
        """
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the loop closes them in its next turns
        await asyncio.sleep(0)

    async def on_tick(self, counter: int) -> bool:
        """Also end overdue connections; uvicorn calls this ten times a second."""
        self.listener.end_overdue()
        return await super().on_tick(counter)


def build_config(
    app: ASGIApp, connection: type[BoundedHttpConnection], **options: Any
) -> uvicorn.Config:
    """Return a configuration of uvicorn without access log, proxies and sockets of its own."""
    return uvicorn.Config(
        app,
        http=cast(Any, connection),
        loop="asyncio",  # its transports close the sockets that the listener has accepted
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,  # else a peer could claim another address
        server_header=False,
        ws="none",
        **options,
    )


def _with_scope(app: ASGIApp, more: dict[str, Any]) -> ASGIApp:
    """Return the application with further entries in the scope of each request."""

    async def call_with_scope(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(more)
        await app(scope, receive, send)

    return call_with_scope
