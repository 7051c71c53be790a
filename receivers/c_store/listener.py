"""A listening socket that gives a connection a thread only after its whole association request.

Load balancers and port scanners open connections and send nothing. For each
connection pynetdicom starts two threads and copies every presentation context. Here one thread
holds all connections until their requests have arrived or the ARTIM time-out ends (PS3.8 9.1.5). It
never waits for a peer: TLS handshakes and requests advance when something arrives. If there are too
many, the oldest makes room for the newest (`triage.connections.waiting`).
"""

import errno
import queue
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import structlog
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from receivers.c_store.arriving import Address, ArrivalStage, ArrivingConnection
from receivers.c_store.associate_request import RefusedRequest
from receivers.c_store.guard import GuardedSocket, ReportEnd
from triage.connections.listener import knows_nobody
from triage.connections.waiting import Eviction, IsKnown, WaitingConnections, WaitingLimits
from triage.dimse.pynetdicom_internals import (
    EndCause,
    register_server,
    unregister_server,
    watch_association,
)
from triage.domain.incident import RejectionReason
from triage.domain.instance import Source

log = structlog.get_logger(__name__)

#: Connections without a complete request, of all peers and of one; beyond these numbers the oldest
#: is closed.
SILENT_CONNECTIONS_MAX = 128
SILENT_OF_ONE_PEER = 64
REQUEST_BYTES_MAX = 1 << 24  #: of all incomplete requests together; beyond it, the oldest is closed
#: Connections beyond the allowed associations that get a thread, so that they are rejected with a
#: reason.
EXTRA_CONNECTIONS = 32
BACKLOG = 1024
REPORTS_MAX = 1000  #: peers that wait to be reported; further ones are not
POLL_S = 0.5

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


#: Reason and text of a connection that is overdue, by what it waits for.
OVERDUE = {
    ArrivalStage.FIRST_BYTE: ENDED[EndCause.NO_REQUEST],
    ArrivalStage.HANDSHAKE: (RejectionReason.TLS, "TLS: the handshake was not finished in time"),
    ArrivalStage.REQUEST: ENDED[EndCause.NO_REQUEST],
    ArrivalStage.REST_OF_REQUEST: (
        RejectionReason.SLOW,
        "the association request arrives too slowly",
    ),
}


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
    """Creates the association of a connection, with a guarded socket that has its request."""

    server: "AssociationListener"

    def _create_association(self) -> Association:
        association = super()._create_association()
        report = _EndReport(association, str(self.client_address[0]), self.server.report)
        request_s = float(self.request.gettimeout() or 0)
        watch_association(association, request_s, lambda cause: report(*ENDED[cause]))
        guarded = self.server.make_socket(association, self.request, self.server.pdu_bytes, report)
        guarded.begin(self.server.pop_request(self.request))
        association.dul.socket = guarded
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
        is_known: IsKnown = knows_nobody,
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
        limits = WaitingLimits(
            SILENT_CONNECTIONS_MAX, SILENT_OF_ONE_PEER, float(ae.acse_timeout or 0)
        )
        self._waiting: WaitingConnections[ArrivingConnection] = WaitingConnections(limits, is_known)
        #: The request of each connection that has just got its thread.
        self._requests: dict[socket.socket, bytes] = {}
        #: Peers to report; None ends the thread that reports.
        self._reports: queue.Queue[tuple[str, Source, RejectionReason] | None] = queue.Queue(
            REPORTS_MAX
        )
        self._reporter = threading.Thread(
            target=self._report_until_ended, name="listener reports", daemon=True
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, name="listener", daemon=True)
        self._listening.settimeout(0)

    @property
    def _listening(self) -> socket.socket:
        return cast(socket.socket, self.socket)

    def start(self) -> None:
        """Start to listen in a thread."""
        register_server(self.ae, self)
        self._reporter.start()
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether the listening thread runs."""
        return self._thread.is_alive()

    def serve_forever(self, poll_interval: float = POLL_S) -> None:
        """Accept connections, and pass on those with a request, until `shutdown`."""
        act_at = 0.0  #: the next time for what is done twice a second
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._ending.is_set():
                for key, _ in selector.select(poll_interval):
                    if key.data is None:
                        self._accept(selector)
                    elif key.data in self._waiting:  # unless it has just been evicted
                        self._advance(selector, key.data)
                now = time.monotonic()
                if now >= act_at:  # pynetdicom collects garbage at each 60th call: 0.3 s
                    act_at = now + poll_interval
                    self._close_overdue(selector)
                    self.service_actions()
            for arriving in self._waiting.remove_all():
                arriving.connection.close()

    def shutdown(self) -> None:
        """Stop listening and close the connections without a request."""
        self._ending.set()
        with suppress(OSError):  # wakes the thread on Linux; elsewhere it wakes twice a second
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._reports.put(None)
        self._reporter.join()
        self.server_close()
        unregister_server(self.ae, self)

    def pop_request(self, connection: socket.socket) -> bytes:
        """Return the association request of a connection, once."""
        return self._requests.pop(connection)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, address = self._listening.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._drop(
                    selector, self._waiting.evict_oldest("the system has no descriptor left")
                )
            return  # the peer is gone, or is accepted when a descriptor is free
        connection.settimeout(0)
        arriving = ArrivingConnection(connection, address, self.ssl_context)
        selector.register(arriving.descriptor, selectors.EVENT_READ, arriving)
        self._drop(selector, self._waiting.add(arriving, arriving.host, time.monotonic()))

    def _drop(
        self, selector: selectors.BaseSelector, evicted: Eviction[ArrivingConnection] | None
    ) -> None:
        """Close an evicted connection and report why."""
        if evicted is not None:
            self._close(selector, evicted.key)
            self._report_host(evicted.host, evicted.why, RejectionReason.CONNECTIONS)

    def _close(self, selector: selectors.BaseSelector, arriving: ArrivingConnection) -> None:
        selector.unregister(arriving.descriptor)
        arriving.connection.close()

    def _report_host(self, host: str, why: str, reason: RejectionReason) -> None:
        """Have a peer reported by another thread, because the ledger may be slow."""
        with suppress(queue.Full):  # the ledger has no use for more of a flood
            self._reports.put_nowait((why, Source("", host), reason))

    def _report_until_ended(self) -> None:
        while (entry := self._reports.get()) is not None:
            self.report(*entry)

    def _close_overdue(self, selector: selectors.BaseSelector) -> None:
        for evicted in self._waiting.evict_overdue(time.monotonic()):
            self._close(selector, evicted.key)
            reason, why = OVERDUE[evicted.key.stage]
            self._report_host(evicted.host, why, reason)

    def _advance(self, selector: selectors.BaseSelector, arriving: ArrivingConnection) -> None:
        """Read what has arrived; give the connection a thread when its request is complete."""
        try:
            is_complete = arriving.advance()
        except RefusedRequest as error:
            with suppress(OSError):  # the peer does not read it
                arriving.connection.send(error.fault.answer)
            self._discard(selector, arriving)
            self._report_host(arriving.host, str(error), RejectionReason.MALFORMED)
            return
        except OSError as error:
            self._discard(selector, arriving)
            self._report_failure(arriving.host, error)
            return
        if is_complete:
            self._waiting.remove(arriving)
            selector.unregister(arriving.descriptor)
            self._pass_on(arriving)
            return
        selector.modify(arriving.descriptor, arriving.events, arriving)
        if sum(len(waiting.request) for waiting in self._waiting) > REQUEST_BYTES_MAX:
            why = f"incomplete association requests have more than {REQUEST_BYTES_MAX} bytes"
            self._drop(selector, self._waiting.evict_oldest(why))

    def _discard(self, selector: selectors.BaseSelector, arriving: ArrivingConnection) -> None:
        self._waiting.remove(arriving)
        self._close(selector, arriving)

    def _report_failure(self, host: str, error: OSError) -> None:
        """Report a TLS handshake that failed; a peer may close its connection at any time."""
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            self._report_host(host, f"TLS: {_describe_tls_error(error)}", RejectionReason.TLS)

    def _pass_on(self, arriving: ArrivingConnection) -> None:
        """Give a connection with a complete request a thread."""
        connection, host = arriving.connection, arriving.host
        if len(self.ae.active_associations) >= self._connections_max:
            connection.close()
            why = f"more than {self._connections_max} connections at once"
            self._report_host(host, why, RejectionReason.CONNECTIONS)
            return
        connection.settimeout(float(self.ae.acse_timeout or 0))
        self._requests[connection] = bytes(arriving.request)
        try:
            self.process_request(connection, cast(Any, arriving.address))
        except RuntimeError:  # the system has no thread left; the sender retries
            self.pop_request(connection)
            connection.close()
            self._report_host(host, "the system has no thread left", RejectionReason.CONNECTIONS)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Create the association."""
        try:
            super().process_request_thread(request, client_address)
        except OSError:  # the peer closed the connection
            request.close()


def _describe_tls_error(error: ssl.SSLError) -> str:
    """Return why a handshake failed, e.g. "certificate has expired"."""
    reason = getattr(error, "verify_message", None) or error.reason or "the handshake failed"
    return str(reason).replace("_", " ").lower()
