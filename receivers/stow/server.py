"""The HTTP server of STOW-RS: uvicorn in a thread, with bounded connections.

A connection whose sender is not admitted is closed after twice the ARTIM time-out at the latest,
even if it sends byte by byte, or sooner if there are too many of them.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Any

from starlette.types import ASGIApp

from receivers import tls
from triage.config import ListeningAddress
from triage.connections.http_server import BoundedHttpConnection, BoundedHttpServer, build_config
from triage.connections.listener import (
    BACKLOG,
    BATCH,
    BoundedListener,
    ListenerLimits,
    knows_nobody,
)
from triage.connections.waiting import IsKnown, WaitingLimits
from triage.domain.errors import ConfigurationError

WAITING_MAX = (
    64  #: connections of senders that are not admitted yet; beyond it, the oldest is closed
)
WAITING_OF_ONE_PEER = 16
ADMITTED_MAX = 64  #: `receiver.stow.requests` is smaller; others wait for their next request
END_S = 5  #: the longest wait for open requests when the receiver ends
START_S = 10.0
POLL_S = 0.01


def _describe(transport: asyncio.Transport) -> dict[str, Any]:
    """Return the names of the client certificate for the application."""
    return {"certificates": tls.read_certificate_names(transport.get_extra_info("ssl_object"))}


@dataclass(frozen=True)
class RunningStowServer:
    """A server that has been started; `end` ends it."""

    server: BoundedHttpServer
    thread: threading.Thread

    def is_alive(self) -> bool:
        """Return whether the thread of the server runs."""
        return self.thread.is_alive()

    def end(self) -> None:
        """Stop listening, wait for open requests, and end the thread."""
        self.server.should_exit = True
        self.thread.join()


def build_limits(ask_s: float) -> ListenerLimits:
    """Return the bounds of connections; `ask_s` is the ARTIM time-out."""
    waiting = WaitingLimits(WAITING_MAX, WAITING_OF_ONE_PEER, wait_s=2 * ask_s)
    return ListenerLimits(waiting, ADMITTED_MAX)


def serve(
    app: ASGIApp,
    address: ListeningAddress,
    context: SSLContext | None,
    ask_s: float,
    is_known: IsKnown = knows_nobody,
) -> RunningStowServer:
    """Start the server in a thread; raise ConfigurationError if it cannot listen."""
    listener = BoundedListener(address.open(BACKLOG), build_limits(ask_s), is_known, BATCH)
    config = build_config(
        app,
        BoundedHttpConnection.for_port(listener, ask_s, _describe),
        ssl_context_factory=(lambda *_: context) if context else None,
        timeout_graceful_shutdown=END_S,
    )
    server = BoundedHttpServer(config, listener)
    thread = threading.Thread(target=partial(server.run, [listener]), name="stow", daemon=True)
    thread.start()
    until = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(POLL_S)
    if not server.started:
        raise ConfigurationError("the HTTP server did not start; see the log")
    return RunningStowServer(server, thread)
