"""A listening socket that gives no thread to a connection before it speaks.

Load balancers and port scans open connections and say nothing (peers.md 13). pynetdicom takes two
threads and a copy of every presentation context for each; here one thread holds them all until the
first byte comes or the ARTIM time-out ends (PS3.8 9.1.5).

Rule: the thread that accepts never waits for a peer. A TLS handshake, which may hang, is made in
the connection's own thread; how many of those there are is bounded.
"""

import errno
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from receivers.guard import GuardedSocket
from triage.dimse.pynetdicom_internals import register_server, unregister_server

log = structlog.get_logger(__name__)

#: Silent connections that are held; of more, the oldest is closed. pynetdicom asks `select`, which
#: knows descriptors below 1024 alone.
SILENT_CONNECTIONS_MAX = 256
#: Connections that speak beyond the associations allowed: room to be told why they are rejected.
EXTRA_CONNECTIONS = 32
BACKLOG = 128
POLL_S = 0.5

Address = tuple[Any, ...]  #: host, port and, of IPv6, two more
#: Told the host and the reason of a connection that ended before an association was asked for.
ReportRejection = Callable[[str, str], None]


@dataclass(frozen=True)
class SilentConnection:
    """A connection that has not spoken yet."""

    connection: socket.socket
    address: Address
    until: float  #: monotonic seconds


class SharedContexts(list[Any]):
    """Presentation contexts, which pynetdicom would copy for each connection, in 30 ms."""

    def __deepcopy__(self, _memo: object) -> "SharedContexts":
        return self


class AssociationRequestHandler(RequestHandler):
    """Makes the association of a connection."""

    server: "AssociationListener"

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.socket = GuardedSocket(association, self.request, self.server.pdu_bytes)
        association.dul.event_queue.get_nowait()  # its first socket has announced itself (Evt5)
        return association


class AssociationListener(ThreadedAssociationServer):
    """See the module. `start` it; `shutdown` ends it."""

    request_queue_size = BACKLOG
    block_on_close = False

    def __init__(  # noqa: PLR0913, PLR0917 - as AE.make_server passes them
        self,
        ae: AE,
        address: Address,
        ae_title: str,
        contexts: list[Any],
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: list[Any] | None = None,
        *,
        associations: int,
        pdu_bytes: int,
        report: ReportRejection,
    ) -> None:
        super().__init__(
            ae,
            cast(Any, address),
            ae_title,
            contexts,
            ssl_context,
            evt_handlers,
            AssociationRequestHandler,
        )
        self.contexts = SharedContexts(contexts)
        self.pdu_bytes = pdu_bytes
        self._speaking_max = associations + EXTRA_CONNECTIONS
        self._report = report
        self._silent: dict[socket.socket, SilentConnection] = {}
        self._handshakes = threading.Semaphore(EXTRA_CONNECTIONS)
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._listening.settimeout(0)

    @property
    def _listening(self) -> socket.socket:
        return cast(socket.socket, self.socket)

    def start(self) -> None:
        """Listen in a thread of its own."""
        register_server(self.ae, self)
        threading.Thread(target=self.serve_forever, name="listener", daemon=True).start()

    def serve_forever(self, poll_interval: float = POLL_S) -> None:
        """Accept, and hand over whoever speaks, until `shutdown`."""
        with selectors.DefaultSelector() as lobby:
            lobby.register(self._listening, selectors.EVENT_READ)
            while not self._ending.is_set():
                for key, _ in lobby.select(poll_interval):
                    if key.fileobj is self._listening:
                        self._accept(lobby)
                    elif waiting := self._silent.get(cast(socket.socket, key.fileobj)):
                        self._heard(lobby, waiting)  # unless it has just made room for another
                self._close_overdue(lobby)
                self.service_actions()
            for waiting in list(self._silent.values()):
                self._leave(lobby, waiting).close()
        self._ended.set()

    def shutdown(self) -> None:
        """Stop listening and close the connections that are silent."""
        self._ending.set()
        self._ended.wait()
        self.server_close()
        unregister_server(self.ae, self)

    def _accept(self, lobby: selectors.BaseSelector) -> None:
        try:
            connection, address = self._listening.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE} and self._silent:
                self._leave(lobby, self._oldest()).close()
            return  # it has gone again, or its turn comes when there is a descriptor
        until = time.monotonic() + float(self.ae.acse_timeout or 0)
        connection.settimeout(0)
        self._silent[connection] = SilentConnection(connection, address, until)
        lobby.register(connection, selectors.EVENT_READ)
        if len(self._silent) > SILENT_CONNECTIONS_MAX:
            self._leave(lobby, self._oldest()).close()

    def _oldest(self) -> SilentConnection:
        return next(iter(self._silent.values()))

    def _leave(self, lobby: selectors.BaseSelector, waiting: SilentConnection) -> socket.socket:
        lobby.unregister(waiting.connection)
        del self._silent[waiting.connection]
        return waiting.connection

    def _close_overdue(self, lobby: selectors.BaseSelector) -> None:
        now = time.monotonic()
        while self._silent and self._oldest().until <= now:
            self._leave(lobby, self._oldest()).close()

    def _heard(self, lobby: selectors.BaseSelector, waiting: SilentConnection) -> None:
        """Give a thread to a connection that speaks; one that was closed has cost none."""
        connection = self._leave(lobby, waiting)
        if not _has_first_byte(connection):
            connection.close()
            return
        host = str(waiting.address[0])
        if len(self.ae.active_associations) >= self._speaking_max:
            connection.close()
            self._report(host, f"more than {self._speaking_max} connections at once")
            return
        connection.settimeout(self.ae.acse_timeout)
        try:
            self.process_request(connection, cast(Any, waiting.address))
        except RuntimeError:  # the system has no thread left; the sender tries again
            connection.close()
            self._report(host, "no thread left for it")

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make the TLS handshake, if there is to be one, and then the association."""
        try:
            connection = self._secured(request, str(client_address[0]))
            if connection is not None:
                super().process_request_thread(connection, client_address)
        except OSError:  # it has gone in between
            request.close()

    def _secured(self, connection: socket.socket, host: str) -> socket.socket | None:
        """Return the connection after its handshake, None where that failed."""
        if self.ssl_context is None:
            return connection
        if not self._handshakes.acquire(blocking=False):
            connection.close()
            self._report(host, f"more than {EXTRA_CONNECTIONS} TLS handshakes at once")
            return None
        try:
            return self.ssl_context.wrap_socket(connection, server_side=True)
        except (ssl.SSLEOFError, ConnectionError):  # a probe that has gone away
            connection.close()
        except TimeoutError:
            connection.close()
            self._report(host, "TLS: the handshake was not finished in time")
        except ssl.SSLError as error:
            connection.close()
            self._report(host, f"TLS: {_describe_tls_error(error)}")
        finally:
            self._handshakes.release()
        return None


def _has_first_byte(connection: socket.socket) -> bool:
    """Tell whether there is a first byte; a closed connection has none."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _describe_tls_error(error: ssl.SSLError) -> str:
    """Return why a handshake failed, e.g. "certificate has expired"."""
    said = getattr(error, "verify_message", None) or error.reason or "the handshake failed"
    return str(said).replace("_", " ").lower()
