"""The HTTP endpoint of the receiving process: metrics, and two probes for a container's host.

    GET /health/live    200 while this process answers
    GET /health/ready   200 while every receiver listens and the ledger answers, else 503
    GET /metrics        for Prometheus

Connections are bounded as on every port (`triage.connections`), so that each may have a thread.

A process that is alive and not ready must not be restarted: what it waits for is elsewhere.
"""

import json
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from socket import SOCK_STREAM, AddressFamily, getaddrinfo
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import CollectorRegistry

from triage.connections.listener import BACKLOG, BoundedListener, ListenerLimits
from triage.connections.waiting import WaitingLimits

REQUEST_S = 10.0  #: until the header of a request is complete
LIMITS = ListenerLimits(WaitingLimits(in_all=32, of_one_peer=16, wait_s=REQUEST_S), admitted=16)
LIVE, READY = "/health/live", "/health/ready"

#: Returns by name which needs of the receiver are met.
Readiness = Callable[[], dict[str, bool]]


class EndpointServer(ThreadingWSGIServer):
    """A server with a thread for each connection, of which there are few."""

    socket: BoundedListener

    def service_actions(self) -> None:
        """End overdue connections; `serve_forever` calls this twice a second."""
        self.socket.end_overdue()


class EndpointRequestHandler(WSGIRequestHandler):
    """Serves a request without logging it; its connection waits until the header is complete."""

    server: EndpointServer
    timeout = REQUEST_S  #: of each operation on the connection

    def handle(self) -> None:
        """Serve the request, unless the peer is too slow or goes away."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def parse_request(self) -> bool:
        """Read the header; the connection does not wait any longer then."""
        is_complete = super().parse_request()
        if is_complete:
            self.server.socket.admit(self.connection.fileno())
        return is_complete

    def log_message(self, *_: object) -> None:
        """Do nothing; probes come every few seconds."""


def serve_endpoint(
    host: str, port: int, registry: CollectorRegistry, readiness: Readiness
) -> Callable[[], None]:
    """Serve in threads; return the function that ends them. Raises OSError."""
    family, *_ = getaddrinfo(host, port, type=SOCK_STREAM)[0]
    app = build_app(make_wsgi_app(registry), readiness)
    server = make_server(host, port, app, _server_class(family), EndpointRequestHandler)
    server.socket.listen(BACKLOG)
    server.socket = BoundedListener(server.socket, LIMITS)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _server_class(family: AddressFamily) -> type[EndpointServer]:
    return type("FamilyEndpointServer", (EndpointServer,), {"address_family": family})


def build_app(metrics: WSGIApplication, readiness: Readiness) -> WSGIApplication:
    """Return the application: the probes, and metrics under any other path."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == LIVE:
            return _answer(start_response, {"process": True})
        if path == READY:
            return _answer(start_response, readiness())
        return metrics(environ, start_response)

    return app


def _answer(start_response: StartResponse, met: dict[str, bool]) -> Iterable[bytes]:
    status = HTTPStatus.OK if all(met.values()) else HTTPStatus.SERVICE_UNAVAILABLE
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    start_response(f"{status.value} {status.phrase}", headers)
    return [json.dumps(met).encode()]
