"""Connections before credentials are cheap and few, on every listening port."""

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import cast

import pytest
from prometheus_client.registry import CollectorRegistry
from pynetdicom import AE
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from receivers.c_store.listener import SILENT_CONNECTIONS_MAX
from receivers.stow.access import hash_token
from receivers.stow.server import build_limits
from tests.builders.images import image, part10
from tests.integration.certificates import TlsWorld
from tests.integration.flooding import STALLED_HANDSHAKE, flooded
from tests.integration.listening_receiver import CALLED, measure_resources, run_receiver
from tests.integration.stow import TOKEN, end_stow, start_stow
from tests.integration.stow_receiver.requests import body, curl
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import StowSender, WebSettings
from triage.runtime import http_endpoint
from triage.runtime.clock import SystemClock
from triage.web import server
from triage.web.access import AccessMiddleware, WebAccess
from triage.web.passwords import hash_password

#: Seconds for an answer that takes milliseconds; the machine of a test may be busy.
ANSWER_S = 5.0
USER, PASSWORD = "anna", "correct horse battery"


@dataclass(frozen=True)
class ListeningService:
    """A listening port, and a request of a known peer to it that raises unless it is answered."""

    port: int
    ask: Callable[[], object]


def trusting(world: TlsWorld) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(world.ours.certificate))


def echo(port: int, context: ssl.SSLContext | None = None) -> None:
    """Send a C-ECHO as PACS; raise AssertionError unless it is answered."""
    ae = AE(ae_title="PACS")
    ae.add_requested_context("1.2.840.10008.1.1")
    tls = None if context is None else (context, HOST)
    association = ae.associate(HOST, port, ae_title=CALLED, tls_args=tls)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def fetch(
    port: int, path: str, context: ssl.SSLContext | None = None, authorization: str = ""
) -> None:
    """Send a GET request; raise AssertionError unless it succeeds."""
    connection: HTTPConnection = HTTPConnection(HOST, port, timeout=60)
    if context is not None:
        connection = HTTPSConnection(HOST, port, timeout=60, context=context)
    connection.request("GET", path, headers={"Authorization": authorization})
    assert connection.getresponse().status == HTTPStatus.OK
    connection.close()


@contextmanager
def run_dicom(folder: Path, world: TlsWorld) -> Iterator[dict[str, ListeningService]]:
    files = {"certificate": world.server.certificate, "key": world.server.key}
    tls = {"port": find_free_port(), **files}
    peers = {"pacs": {"ae_titles": ["PACS"], "addresses": [f"{HOST}/32"]}}
    with run_receiver(folder, tls=tls, peers=peers, calling=[]) as receiver:
        port, tls_port = receiver.port, receiver.tls_port
        yield {
            "DICOM": ListeningService(port, lambda: echo(port)),
            "DICOM with TLS": ListeningService(tls_port, lambda: echo(tls_port, trusting(world))),
        }


@contextmanager
def run_stow(folder: Path, world: TlsWorld) -> Iterator[ListeningService]:
    senders = {"MR1": StowSender(token=hash_token(TOKEN), addresses=(f"{HOST}/32",))}
    files = {"certificate": world.server.certificate, "key": world.server.key}
    stow = start_stow(folder, {**files, "senders": senders})

    def send() -> None:
        trusted = ("--cacert", str(world.ours.certificate))
        assert curl(stow, body(part10(image())), *trusted).status == 200

    try:
        yield ListeningService(stow.port, send)
    finally:
        end_stow(stow)


@contextmanager
def run_web(world: TlsWorld) -> Iterator[ListeningService]:
    settings = WebSettings(
        port=find_free_port(), certificate=world.server.certificate, key=world.server.key
    )
    access = WebAccess({USER: hash_password(PASSWORD)}, SystemClock())
    page = cast(ASGIApp, PlainTextResponse("page"))
    made = server.open_server(AccessMiddleware(page, access), settings)
    thread = threading.Thread(target=made.run, args=([made.listener],))
    thread.start()
    login = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    port = settings.port
    try:
        yield ListeningService(port, lambda: fetch(port, "/", trusting(world), login))
    finally:
        made.should_exit = True
        thread.join()
        made.listener.close()


@contextmanager
def run_metrics() -> Iterator[ListeningService]:
    port = find_free_port()
    end = http_endpoint.serve_endpoint(HOST, port, CollectorRegistry(), lambda: {"ledger": True})
    try:
        yield ListeningService(port, lambda: fetch(port, http_endpoint.LIVE))
    finally:
        end()


@pytest.fixture
def dicom(tmp_path: Path, world: TlsWorld) -> Iterator[dict[str, ListeningService]]:
    (tmp_path / "dicom").mkdir()
    with run_dicom(tmp_path / "dicom", world) as services:
        yield services


@pytest.fixture
def stow(tmp_path: Path, world: TlsWorld) -> Iterator[ListeningService]:
    (tmp_path / "stow").mkdir()
    with run_stow(tmp_path / "stow", world) as service:
        yield service


@contextmanager
def stalled(
    service: ListeningService,
    others: Iterable[ListeningService],
    descriptors: int,
    burst: int = 2000,
) -> Iterator[None]:
    """Open 2,000 connections to a service that stall; it and others answer all the same.

    They use no more than this number of descriptors.
    """
    for asked in (service, *others):
        asked.ask()  # what is only done once
    before = measure_resources()
    with flooded([service.port], (b"", b"\x01", STALLED_HANDSHAKE), burst=burst):
        for asked in (service, *others):
            began = time.monotonic()
            asked.ask()
            took = time.monotonic() - began
            assert took < ANSWER_S
        during = measure_resources()
        assert during.descriptors < before.descriptors + descriptors + 20  # ledger, libraries
        yield
    wait_until(
        lambda: measure_resources().descriptors <= before.descriptors + 20, what="the end of all"
    )


@pytest.mark.parametrize("port", ["DICOM", "DICOM with TLS"])
def test_2000_stalled_connections_leave_both_dicom_ports_answering(
    dicom: dict[str, ListeningService], port: str
) -> None:
    threads = measure_resources().threads
    with stalled(dicom[port], dicom.values(), SILENT_CONNECTIONS_MAX):
        assert measure_resources().threads < threads + 8  # those of the echoes may not be over yet


def test_2000_stalled_connections_leave_stow_and_dicom_answering(
    dicom: dict[str, ListeningService], stow: ListeningService
) -> None:
    with stalled(stow, dicom.values(), build_limits(1).descriptors):
        pass


def test_2000_stalled_connections_leave_the_web_page_answering(world: TlsWorld) -> None:
    with run_web(world) as web, stalled(web, (), server.LIMITS.descriptors):
        pass


def test_2000_stalled_connections_leave_metrics_and_dicom_answering(
    dicom: dict[str, ListeningService],
) -> None:
    with (
        run_metrics() as metrics,
        stalled(metrics, dicom.values(), http_endpoint.LIMITS.descriptors, burst=4),
    ):
        pass


def test_a_known_address_keeps_its_place_among_many_strangers(
    dicom: dict[str, ListeningService], stow: ListeningService
) -> None:
    ports = [dicom["DICOM"].port, stow.port]
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection((HOST, port))) for port in ports]
        opened.enter_context(flooded(ports, (b"",), 400))
        dicom["DICOM"].ask()
        stow.ask()
        for connection in slow:  # not evicted
            connection.settimeout(0)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
