"""The HTTP endpoint of the receiving process: metrics, and two probes for a container's host.

    GET /health/live    200 while this process answers
    GET /health/ready   200 while every receiver listens and the ledger answers, else 503
    GET /metrics        for Prometheus

A process that is alive and not ready must not be restarted: what it waits for is elsewhere.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socket import SOCK_STREAM, AddressFamily, getaddrinfo
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import CollectorRegistry

LIVE, READY = "/health/live", "/health/ready"

#: Returns by name which needs of the receiver are met.
Readiness = Callable[[], dict[str, bool]]


class SilentRequestHandler(WSGIRequestHandler):
    """Serves a request without logging it."""

    def log_message(self, *_: object) -> None:
        """Do nothing; probes come every few seconds."""


def serve_endpoint(
    host: str, port: int, registry: CollectorRegistry, readiness: Readiness
) -> Callable[[], None]:
    """Serve in threads; return the function that ends them. Raises OSError."""
    family, *_ = getaddrinfo(host, port, type=SOCK_STREAM)[0]
    app = build_app(make_wsgi_app(registry), readiness)
    server = make_server(host, port, app, _server_class(family), SilentRequestHandler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _server_class(family: AddressFamily) -> type[ThreadingWSGIServer]:
    return type("EndpointServer", (ThreadingWSGIServer,), {"address_family": family})


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
