"""The STOW-RS destination, against Orthanc, our own receiver, and a service with faults."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from tests.builders.stow_responses import store_response
from tests.integration.certificates import Authority, TlsWorld
from tests.integration.servers import Orthanc, orthanc
from tests.integration.stow import TOKEN, end_stow, start_stow
from tests.peers import peer
from tests.waiting import HOST, listens
from triage.config import render_settings
from triage.config.site import Settings
from triage.destinations.stow import ANSWER_MAX, StowDestination, StowDestinationSettings
from triage.domain.delivery import Product
from triage.domain.errors import ConfigurationError, DeliveryFailed, DestinationUnreachable
from triage.reports.structured_report import build

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
LOGIN = "Bearer " + TOKEN.replace(" ", "-")


@pytest.fixture(scope="module")
def product() -> Product:
    return build(reporting(mixed()))


def web(url: str, **settings: Any) -> StowDestination:
    values = {"name": "web", "kind": "stow", "url": url, "timeout_s": 5, **settings}
    return StowDestination("CMRTRIAGE", StowDestinationSettings.model_validate(values))


@contextmanager
def web_orthanc(folder: Path, **settings: Any) -> Iterator[tuple[Orthanc, str]]:
    enabled = {"Enable": True, "Root": "/dicom-web/"}
    with orthanc(folder, Plugins=[peer(PLUGIN)], DicomWeb=enabled, **settings) as server:
        yield server, f"http://{HOST}:{server.http_port}/dicom-web"


@dataclass
class Service:
    """A service that gives the answer set by a test."""

    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def listening(self, context: ssl.SSLContext | None = None) -> Iterator[None]:
        service = self

        class StowPeerHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                authorization = self.headers.get("Authorization", "")
                service.requests.append((self.command, self.path, authorization))
                self.send_response(service.code)
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(service.body)))
                self.end_headers()
                self.wfile.write(service.body)

            def do_GET(self) -> None:
                self.headers["Content-Length"] = "0"
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer((HOST, 0), StowPeerHandler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{HOST}:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    with made.listening():
        yield made


# -- real services


def test_orthanc_stores_the_data_set_byte_for_byte(tmp_path: Path, product: Product) -> None:
    with web_orthanc(tmp_path) as (server, url):
        destination = web(url)
        assert destination.echo().answer == "it answers (HTTP 200 to a search)"
        assert not server.reports()
        assert destination.deliver(product).answer == "HTTP 200"
        assert destination.deliver(product).answer == "HTTP 200"
        (stored,) = server.reports()
    assert stored[-1000:] == product.content[-1000:]


def test_an_orthanc_that_requires_a_login(
    tmp_path: Path, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Orthanc, "is_up", lambda server: listens(server.http_port))
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"triage": "hush"}}
    with web_orthanc(tmp_path, **users) as (_, url):
        assert web(url, authorization="Basic dHJpYWdlOmh1c2g=").deliver(product).answer
        for wrong in (None, "Basic bm9ib2R5Om5vYm9keQ=="):
            rejected = web(url, authorization=wrong)
            with pytest.raises(DestinationUnreachable, match="HTTP 40[13]: it rejects"):
                rejected.deliver(product)
            with pytest.raises(DestinationUnreachable, match="HTTP 40[13]: it rejects"):
                rejected.echo()


def test_our_own_receiver_stores_the_same_bytes(tmp_path: Path, product: Product) -> None:
    receiver = start_stow(tmp_path, {})
    (tmp_path / "token").write_text(f"Bearer {TOKEN}\n")
    try:
        destination = web(receiver.url, authorization_file=tmp_path / "token")
        assert destination.echo().answer == "it answers (HTTP 405 to a search)"
        assert destination.deliver(product).answer == "HTTP 200"
        assert receiver.kept() == {product.content}
        with pytest.raises(DestinationUnreachable, match="answered HTTP 401: it rejects our"):
            web(receiver.url).deliver(product)
        with pytest.raises(DestinationUnreachable, match="answered HTTP 401"):
            web(receiver.url, authorization="Bearer wrong").deliver(product)
    finally:
        end_stow(receiver)


def test_our_own_receiver_authenticates_our_certificate(
    tmp_path: Path, world: TlsWorld, product: Product
) -> None:
    senders = {"MR1": {"certificates": ["pacs"]}}
    files = {"certificate": world.server.certificate, "key": world.server.key}
    receiver = start_stow(
        tmp_path, {"senders": senders, "clients": world.ours.certificate, **files}
    )
    trusted = {"trusted": world.ours.certificate}
    ours = {"certificate": world.client.certificate, "key": world.client.key}
    stranger = {"certificate": world.stranger.certificate, "key": world.stranger.key}
    try:
        assert web(receiver.url, **trusted, **ours).deliver(product).answer == "HTTP 200"
        assert receiver.kept() == {product.content}
        with pytest.raises(DestinationUnreachable, match="certificate verify failed"):
            web(receiver.url, **ours).deliver(product)
        for wrong in ({}, stranger):
            with pytest.raises(DeliveryFailed):
                web(receiver.url, **trusted, **wrong).deliver(product)
    finally:
        end_stow(receiver)


def test_nothing_is_sent_to_a_service_with_an_expired_certificate(
    world: TlsWorld, product: Product
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.expired.certificate, world.expired.key)
    service = Service()
    with service.listening(context):
        destination = web(service.url, trusted=world.ours.certificate)
        with pytest.raises(DestinationUnreachable, match="certificate has expired"):
            destination.deliver(product)
    assert not service.requests


# -- what an answer means


def test_a_token_from_the_environment_is_sent_and_never_shown(
    service: Service, product: Product
) -> None:
    destination = web(service.url, authorization=LOGIN)
    destination.deliver(product)
    assert service.requests == [("POST", "/studies", LOGIN)]
    settings = Settings.model_validate(
        {
            "destinations": [
                {"name": "w", "kind": "stow", "url": "https://h", "authorization": LOGIN}
            ]
        }
    )
    assert LOGIN not in render_settings(settings) + str(settings)


@pytest.mark.parametrize("code", [200, 202, 409])
def test_the_statement_about_the_instance_decides_whatever_the_status(
    service: Service, product: Product, code: int
) -> None:
    service.code, service.body = code, store_response(product.sop_instance_uid)
    assert web(service.url).deliver(product).answer == f"HTTP {code}"
    service.body = store_response(product.sop_instance_uid, failure=0xA700)
    with pytest.raises(DeliveryFailed, match=f"HTTP {code}, failure 0xA700 Out of resources"):
        web(service.url).deliver(product)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (0x0110, "0x0110 Processing failure"),
        (0x0122, "0x0122 Referenced SOP Class not supported"),
        (0xC122, "0xC122 Referenced Transfer Syntax not supported"),
        (0xA900, "0xA900 Data set does not match"),
        (0x0272, "0x0272 a status"),
    ],
)
def test_a_failure_is_reported_with_its_reason(
    service: Service, product: Product, reason: int, expected: str
) -> None:
    service.code, service.body = 409, store_response(product.sop_instance_uid, failure=reason)
    with pytest.raises(DeliveryFailed, match=f"HTTP 409, failure {expected}"):
        web(service.url).deliver(product)


def test_a_report_that_the_service_has_already_is_delivered(
    service: Service, product: Product
) -> None:
    service.code, service.body = 409, store_response(product.sop_instance_uid, failure=0x0111)
    answer = web(service.url).deliver(product).answer
    assert answer == "0x0111 Duplicate SOP instance: it was stored before (HTTP 409)"


def test_a_warning_counts_as_stored_and_is_kept(service: Service, product: Product) -> None:
    service.code, service.body = 202, store_response(product.sop_instance_uid, warning=0xB000)
    answer = web(service.url).deliver(product).answer
    assert answer == "0xB000 Coercion of data elements (warning, HTTP 202)"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (202, b""),
        (409, b"<html>conflict</html>"),
        (200, store_response("2.25.1")),
        (202, store_response("2.25.1")),
        (202, b'{"00081199": {"vr": "SQ", "Value": [7]}}'),
        (202, b"[" * 5000),
        (200, b'{"0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US"}}]}}'),
    ],
)
def test_an_answer_that_does_not_name_the_instance_is_a_failure(
    service: Service, product: Product, code: int, body: bytes
) -> None:
    service.code, service.body = code, body
    with pytest.raises(DeliveryFailed, match="without stating that|without a reason"):
        web(service.url).deliver(product)


@pytest.mark.parametrize("body", [b"", b"stored", b"{}", b"x" * (ANSWER_MAX * 2)])
def test_200_without_a_body_counts_as_stored(
    service: Service, product: Product, body: bytes
) -> None:
    service.body = body
    assert web(service.url).deliver(product).answer == "HTTP 200"


def test_other_statuses_are_failures_with_their_meaning(service: Service, product: Product) -> None:
    destination = web(service.url)
    silent = {401: "authorization", 403: "certificate", 429: "pause", 503: "pause", 504: "pause"}
    for service.code, why in silent.items():
        with pytest.raises(DestinationUnreachable, match=f"answered HTTP {service.code}: .*{why}"):
            destination.deliver(product)
    for service.code in (400, 415, 500, 302):
        service.headers = {"Location": f"{service.url}/elsewhere"}
        with pytest.raises(DeliveryFailed, match=f"answered HTTP {service.code}$") as error:
            destination.deliver(product)
        assert not isinstance(error.value, DestinationUnreachable)
    assert {path for _, path, _ in service.requests} == {"/studies"}
    service.code = 404
    with pytest.raises(DeliveryFailed, match="check url"):
        destination.deliver(product)
    with pytest.raises(DeliveryFailed, match="check url"):
        destination.echo()


@pytest.mark.parametrize(("header", "seconds"), [("45", 45), ("never", 0)])
def test_a_service_states_when_to_come_again(
    service: Service, product: Product, header: str, seconds: float
) -> None:
    service.code, service.headers = 503, {"Retry-After": header}
    with pytest.raises(DestinationUnreachable) as error:
        web(service.url).deliver(product)
    assert error.value.after_s == seconds


def test_an_invalid_host_name_is_unreachable(product: Product) -> None:
    host = "a" * 300
    with pytest.raises(DestinationUnreachable, match=f"{host} is not a valid host name"):
        web(f"https://{host}").deliver(product)


def test_unusable_files_are_errors_at_the_start(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours").sign("client")
    wrong: dict[str, dict[str, Any]] = {
        "holds no certificates": {"trusted": tmp_path / "none.pem"},
        "are not a pair": {"certificate": ours.certificate, "key": ours.certificate},
        "cannot read authorization_file": {"authorization_file": tmp_path / "none"},
    }
    for why, files in wrong.items():
        with pytest.raises(ConfigurationError, match=f"destination web: .*{why}"):
            web("https://h", **files)
