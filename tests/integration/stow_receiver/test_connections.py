"""STOW-RS: slow senders, limits, TLS and the settings."""

import json
import socket
import ssl
import time
from io import BytesIO
from pathlib import Path

import pytest
import structlog
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from requests import Session

from receivers.stow import app, server
from tests.builders.images import image, part10, uid
from tests.integration.certificates import Authority
from tests.integration.stow import TOKEN, ListeningStow, end_stow, start_stow
from tests.integration.stow_receiver.requests import (
    RELATED,
    body,
    curl,
    loaded,
)
from tests.waiting import HOST, wait_until
from triage.config import StowSender
from triage.domain.errors import (
    ConfigurationError,
)


def request(length: int | None = None, path: str = "/studies") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {TOKEN}",
        f"Content-Type: {RELATED}",
        f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def connected(receiver: ListeningStow) -> socket.socket:
    connection = socket.create_connection((HOST, receiver.port))
    connection.settimeout(60)
    return connection


def heard(connection: socket.socket) -> bytes:
    """Return everything until the connection is closed."""
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionResetError:
        pass
    return said


def test_an_open_request_counts_as_an_association(receiver: ListeningStow) -> None:
    content = body(part10(image(number=1)), part10(image(number=2)))
    connection = connected(receiver)
    sent = len(content) - 700
    connection.sendall(request(len(content)) + content[:sent])
    connection.sendall(content[sent:-40])
    time.sleep(0.5)
    assert receiver.intake.associations.count_sending(uid("study")) == 0  # handed on by the piece
    connection.close()
    big = body(*(part10(image(number=n, PixelData=bytes(90_000))) for n in range(5)))
    connection = connected(receiver)
    connection.sendall(request(len(big)) + big[:-40])
    wait_until(lambda: receiver.intake.associations.count_sending(uid("study")), what="the study")
    connection.sendall(big[-40:])
    assert b" 200 OK" in connection.recv(65536)
    wait_until(lambda: not receiver.intake.associations.count_sending(uid("study")), what="the end")
    connection.close()


def test_a_sender_that_disconnects_leaves_no_partial_file(receiver: ListeningStow) -> None:
    content = body(*(part10(image(number=n, PixelData=bytes(90_000))) for n in range(6)))
    connection = connected(receiver)
    connection.sendall(request(len(content)) + content[:-50_000])
    wait_until(receiver.kept, what="the first instance")
    connection.close()
    wait_until(lambda: not receiver.on_the_way(), what="the end")
    assert all(dcmread(BytesIO(each)) for each in receiver.kept())
    assert curl(receiver, body(part10(image()))).status in {200, 202}


def test_a_content_length_that_is_too_short_stores_nothing(receiver: ListeningStow) -> None:
    content = body(part10(image()))
    with connected(receiver) as connection:
        connection.sendall(request(len(content) - 20) + content)
        assert b" 400 " in heard(connection)
    assert not receiver.kept()


def test_a_silent_sender_gets_a_timeout_response(receiver: ListeningStow) -> None:
    content = body(part10(image()))
    began = time.monotonic()
    with connected(receiver) as connection:
        connection.sendall(request(len(content) + 1000) + content[:-20])
        assert b" 408 " in connection.recv(65536)
    assert time.monotonic() - began > 1.5
    wait_until(lambda: not receiver.on_the_way(), what="the end")
    assert not receiver.kept()


def test_invalid_chunks_end_the_request(receiver: ListeningStow) -> None:
    with connected(receiver) as connection:
        connection.sendall(request() + b"5\r\n--b0u\r\nnonsense\r\n")
        heard(connection)
    wait_until(lambda: not receiver.on_the_way(), what="the end")
    assert not receiver.kept()


@pytest.mark.parametrize("said", [b"", b"POST /studies HTTP/1.1\r\nHost:"])
def test_a_connection_without_request_is_closed(receiver: ListeningStow, said: bytes) -> None:
    with connected(receiver) as connection:
        connection.sendall(said)
        assert heard(connection) == b""


def test_the_number_of_connections_is_limited(receiver: ListeningStow) -> None:
    silent = [connected(receiver) for _ in range(server.WAITING_OF_ONE_PEER + 20)]
    assert heard(silent[0]) == b""  # the oldest has made room
    assert curl(receiver, body(part10(image()))).status == 200
    open_ones = receiver.serving.server.server_state.connections
    assert len(open_ones) <= server.WAITING_OF_ONE_PEER + 1
    for connection in silent:
        connection.close()


def test_the_number_of_open_requests_is_limited(tmp_path: Path) -> None:
    running = start_stow(tmp_path, {"requests": 1})
    connection = connected(running)
    connection.sendall(request(1000))
    wait_until(lambda: running.intake.associations._studies, what="the request")
    told = curl(running, body(part10(image())))
    assert told.status == 503
    assert "receiver.stow.requests" in told.json()["detail"]
    connection.close()
    wait_until(lambda: not running.intake.associations._studies, what="the end")
    assert curl(running, body(part10(image()))).status == 200
    end_stow(running)


def test_a_request_is_repeated_while_other_instances_hold_the_memory(tmp_path: Path) -> None:
    running = start_stow(tmp_path, {})
    memory, other = running.intake.memory, 1
    assert memory.reserve(other, 1 << 40)
    refused = curl(running, body(part10(image())))
    assert refused.status == 503
    assert "receiver.memory_bytes" in refused.json()["detail"]
    assert "retry-after: 5" in refused.headers.lower()
    memory.release(other)
    assert curl(running, body(part10(image()))).status == 200
    assert memory.held_bytes == 0
    end_stow(running)


def test_the_server_ends_soon_while_a_request_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "END_S", 0.1)
    running = start_stow(tmp_path, {})
    connection = connected(running)
    connection.sendall(request(1000))
    wait_until(lambda: running.intake.associations._studies, what="the request")
    end_stow(running)
    assert not running.intake.associations._studies
    connection.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "hospital")


def test_a_client_certificate_identifies_the_sender(tmp_path: Path, authority: Authority) -> None:
    ours, theirs, other = (authority.sign(name) for name in ("triage", "mr2", "mr3"))
    stow = {
        "certificate": ours.certificate,
        "key": ours.key,
        "clients": authority.certificate,
        "senders": {"MR2": StowSender(certificates=("mr2.example",))},
    }
    running = start_stow(tmp_path, stow)
    trusted = ("--cacert", str(authority.certificate))

    def sent_as(*certificate: str) -> int:
        return curl(running, body(part10(image())), *trusted, *certificate, token="").status

    assert sent_as("--cert", str(theirs.certificate), "--key", str(theirs.key)) == 200
    (study,) = running.ledger.list_studies()
    assert running.ledger.list_sources(study.study_uid, 1) == {"MR2"}
    assert sent_as("--cert", str(other.certificate), "--key", str(other.key)) == 401
    with pytest.raises(AssertionError):  # no handshake
        sent_as()
    end_stow(running)


def test_dicomweb_client_sends_over_tls(tmp_path: Path, authority: Authority) -> None:
    ours = authority.sign("triage")
    running = start_stow(tmp_path, {"certificate": ours.certificate, "key": ours.key})
    session = Session()
    session.trust_env = False  # or a bundle of the environment's would count
    session.verify = str(authority.certificate)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = DICOMwebClient(running.url, session=session, headers=headers)
    assert client.store_instances([loaded(image())]).ReferencedSOPSequence
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("AES128-SHA")  # no forward secrecy
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(running) as plain, pytest.raises(OSError):  # noqa: PT011 - any handshake's end
        old.wrap_socket(plain)
    end_stow(running)


def test_a_port_in_use_is_an_error_that_names_the_setting(
    receiver: ListeningStow, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"receiver\.stow\.port"):
        start_stow(tmp_path, {"port": receiver.port})


def test_the_log_contains_no_patient_and_no_token(receiver: ListeningStow) -> None:
    with structlog.testing.capture_logs() as lines:
        curl(receiver, body(part10(image()), part10(image(number=2))[:-100]))
        curl(receiver, body(part10(image())), token="wrong-token")  # noqa: S106 - a wrong one
    logged = json.dumps(lines)
    assert lines
    for secret in ("Marked", "MARKED-ID", TOKEN, "wrong-token"):
        assert secret not in logged


def test_the_idle_time_applies_to_chunks_of_this_size() -> None:
    assert app.CHUNK_BYTES == 1 << 18
