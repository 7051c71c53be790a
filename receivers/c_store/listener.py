"""A listening socket that gives a connection a thread only after its first byte.

Load balancers and port scanners open connections and send nothing. For each
connection pynetdicom starts two threads and copies every presentation context. Here one thread
holds all silent connections until the first byte arrives or the ARTIM time-out ends (PS3.8 9.1.5).

The accepting thread never waits for a peer. A TLS handshake, which may hang, runs in the thread of
its connection; the number of concurrent handshakes is limited.
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

from receivers.c_store.guard import LEFT_S_MIN, GuardedSocket, ReportEnd
from triage.dimse.pynetdicom_internals import (
    EndCause,
    register_server,
    unregister_server,
    watch_association,
)
from triage.domain.incident import RejectionReason
from triage.domain.instance import Source

log = structlog.get_logger(__name__)

#: Silent connections that are held; beyond this number the oldest is closed. pynetdicom uses
#: `select`, which supports only descriptors below 1024.
SILENT_CONNECTIONS_MAX = 256
#: Connections beyond the allowed associations that get a thread, so that they are rejected with a
#: reason.
EXTRA_CONNECTIONS = 32
BACKLOG = 128
POLL_S = 0.5

Address = tuple[Any, ...]  #: host and port; for IPv6 also flow info and scope
#: Called with text, peer and reason of each connection that is not served, or ended early.
ReportRejection = Callable[[str, Source, RejectionReason], None]
#: Makes the socket of an association: connection, longest PDU, report of an early end.
MakeSocket = Callable[[Association, socket.socket, int, ReportEnd], GuardedSocket]
#: Reason and text of what pynetdicom ends by itself.
ENDED = {
    EndCause.NO_REQUEST: (
        RejectionReason.SILENT,
        "no association request within receiver.artim_s",
    ),
    EndCause.INVALID_PDU: (
        RejectionReason.PROTOCOL,
        "a PDU cannot be decoded, or is not allowed at this time",
    ),
    EndCause.IDLE: (RejectionReason.IDLE, "the association was silent for receiver.idle_s"),
    EndCause.DEFECT: (RejectionReason.DEFECT, "internal error; see the log"),
}


@dataclass(frozen=True)
class SilentConnection:
    """A connection that has not sent a byte yet."""

    connection: socket.socket
    address: Address
    until: float  #: deadline of its association request, in monotonic seconds

    @property
    def host(self) -> str:
        """The address of the peer."""
        return str(self.address[0])


class SharedContexts(list[Any]):
    """Presentation contexts; pynetdicom would copy them for each connection, in 30 ms."""

    def __deepcopy__(self, _memo: object) -> "SharedContexts":
        return self


class _EndReport:
    """Reports why a connection is ended: the first reason, which the others follow from."""

    def __init__(self, association: Association, host: str, report: ReportRejection) -> None:
        self._association = association
        self._host = host
        self._report = report
        self._once = threading.Lock()  #: never released

    def __call__(self, reason: RejectionReason, why: str) -> None:
        """Report a reason, unless one was reported before."""
        if self._once.acquire(blocking=False):
            title = str(self._association.requestor.ae_title or "").strip()
            self._report(why, Source(title, self._host), reason)


class AssociationRequestHandler(RequestHandler):
    """Creates the association of a connection, with a guarded socket.

    The time-out of the connection is what is left of the time for its association request.
    """

    server: "AssociationListener"

    def _create_association(self) -> Association:
        association = super()._create_association()
        report = _EndReport(association, str(self.client_address[0]), self.server.report)
        request_s = max(self.request.gettimeout() or 0, LEFT_S_MIN)
        watch_association(association, request_s, lambda cause: report(*ENDED[cause]))
        association.dul.socket = self.server.make_socket(
            association, self.request, self.server.pdu_bytes, report
        )
        association.dul.event_queue.get_nowait()  # remove the event of the replaced socket (Evt5)
        return association


class AssociationListener(ThreadedAssociationServer):
    """The server of one port. `start` it; `shutdown` ends it."""

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
        self.report = report
        self.make_socket: MakeSocket = GuardedSocket
        self._connections_max = associations + EXTRA_CONNECTIONS
        self._silent: dict[socket.socket, SilentConnection] = {}  #: oldest first
        self._handshakes = threading.Semaphore(EXTRA_CONNECTIONS)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, name="listener", daemon=True)
        self._listening.settimeout(0)

    @property
    def _listening(self) -> socket.socket:
        return cast(socket.socket, self.socket)

    def start(self) -> None:
        """Start to listen in a thread."""
        register_server(self.ae, self)
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the listening thread runs."""
        return self._thread.is_alive()

    def serve_forever(self, poll_interval: float = POLL_S) -> None:
        """Accept connections, and pass on those that send something, until `shutdown`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._ending.is_set():
                for key, _ in selector.select(poll_interval):
                    if key.fileobj is self._listening:
                        self._accept(selector)
                    elif silent := self._silent.get(cast(socket.socket, key.fileobj)):
                        self._pass_on(selector, silent)  # unless `_accept` has just closed it
                self._close_overdue(selector)
                self.service_actions()
            for silent in list(self._silent.values()):
                self._remove(selector, silent).close()

    def shutdown(self) -> None:
        """Stop listening and close the silent connections."""
        self._ending.set()
        self._thread.join()
        self.server_close()
        unregister_server(self.ae, self)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, address = self._listening.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE} and self._silent:
                self._drop_oldest(
                    selector, RejectionReason.CONNECTIONS, "the system has no descriptor left"
                )
            return  # the peer is gone, or is accepted when a descriptor is free
        until = time.monotonic() + float(self.ae.acse_timeout or 0)
        connection.settimeout(0)
        self._silent[connection] = SilentConnection(connection, address, until)
        selector.register(connection, selectors.EVENT_READ)
        if len(self._silent) > SILENT_CONNECTIONS_MAX:
            why = f"more than {SILENT_CONNECTIONS_MAX} silent connections at once"
            self._drop_oldest(selector, RejectionReason.CONNECTIONS, why)

    def _oldest(self) -> SilentConnection:
        return next(iter(self._silent.values()))

    def _drop_oldest(
        self, selector: selectors.BaseSelector, reason: RejectionReason, why: str
    ) -> None:
        """Close the silent connection that has waited longest, and report why."""
        oldest = self._oldest()
        self._remove(selector, oldest).close()
        self._report_host(oldest.host, why, reason)

    def _report_host(self, host: str, why: str, reason: RejectionReason) -> None:
        self.report(why, Source("", host), reason)

    def _remove(self, selector: selectors.BaseSelector, silent: SilentConnection) -> socket.socket:
        selector.unregister(silent.connection)
        del self._silent[silent.connection]
        return silent.connection

    def _close_overdue(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        while self._silent and self._oldest().until <= now:
            self._drop_oldest(selector, *ENDED[EndCause.NO_REQUEST])

    def _pass_on(self, selector: selectors.BaseSelector, silent: SilentConnection) -> None:
        """Give a connection a thread if it has sent something; close it otherwise."""
        connection = self._remove(selector, silent)
        if not _has_first_byte(connection):
            connection.close()
            return
        host = silent.host
        if len(self.ae.active_associations) >= self._connections_max:
            connection.close()
            why = f"more than {self._connections_max} connections at once"
            self._report_host(host, why, RejectionReason.CONNECTIONS)
            return
        connection.settimeout(max(silent.until - time.monotonic(), LEFT_S_MIN))
        try:
            self.process_request(connection, cast(Any, silent.address))
        except RuntimeError:  # the system has no thread left; the sender retries
            connection.close()
            self._report_host(host, "the system has no thread left", RejectionReason.CONNECTIONS)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake, if the port has TLS, and create the association."""
        until = time.monotonic() + request.gettimeout()
        try:
            connection = self._do_handshake(request, str(client_address[0]))
            if connection is not None:
                connection.settimeout(max(until - time.monotonic(), LEFT_S_MIN))
                super().process_request_thread(connection, client_address)
        except OSError:  # the peer closed the connection
            request.close()

    def _do_handshake(self, connection: socket.socket, host: str) -> socket.socket | None:
        """Return the connection after its TLS handshake, None if that failed."""
        if self.ssl_context is None:
            return connection
        if not self._handshakes.acquire(blocking=False):
            connection.close()
            why = f"more than {EXTRA_CONNECTIONS} TLS handshakes at once"
            self._report_host(host, why, RejectionReason.CONNECTIONS)
            return None
        try:
            return self.ssl_context.wrap_socket(connection, server_side=True)
        except (ssl.SSLEOFError, ConnectionError):  # a probe that closed the connection
            connection.close()
        except TimeoutError:
            connection.close()
            why = "TLS: the handshake was not finished in time"
            self._report_host(host, why, RejectionReason.TLS)
        except ssl.SSLError as error:
            connection.close()
            self._report_host(host, f"TLS: {_describe_tls_error(error)}", RejectionReason.TLS)
        finally:
            self._handshakes.release()
        return None


def _has_first_byte(connection: socket.socket) -> bool:
    """Return True if a byte has arrived, False if the connection was closed."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _describe_tls_error(error: ssl.SSLError) -> str:
    """Return why a handshake failed, e.g. "certificate has expired"."""
    reason = getattr(error, "verify_message", None) or error.reason or "the handshake failed"
    return str(reason).replace("_", " ").lower()
