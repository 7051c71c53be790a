"""STOW-RS with real clients (dicomweb-client, curl, Orthanc) and with misbehaving ones."""

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from requests import HTTPError, Session

from receivers.stow import app, server
from receivers.stow.access import hash_token
from receivers.stow.answer import JSON, XML
from tests.builders.images import image, part10, uid
from tests.integration.certificates import Authority
from tests.integration.servers import orthanc
from tests.integration.stow import TOKEN, ListeningStow, end_stow, start_stow
from tests.peers import peer
from tests.waiting import HOST, wait_until
from triage.config import StowSender
from triage.domain.errors import (
    BackpressureActive,
    ConfigurationError,
    LedgerUnavailable,
    SpoolFull,
)

BOUNDARY = "b0undary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
ORTHANC_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections that dicomweb-client leaves open."""
    opened: list[Session] = []
    begin = Session.__init__

    def remembering(self: Session) -> None:
        begin(self)
        opened.append(self)

    monkeypatch.setattr(Session, "__init__", remembering)
    yield
    for session in opened:
        session.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ListeningStow]:
    running = start_stow(tmp_path, {}, instance_bytes=100_000, idle_s=2.0, artim_s=1.0)
    yield running
    end_stow(running)


def loaded(dataset: Dataset) -> Dataset:
    """Return a data set as it is read from a file, with its preamble."""
    return dcmread(BytesIO(part10(dataset)))


def body(*parts: bytes, content_type: str = "application/dicom", close: bool = True) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = b"".join(head + part + b"\r\n" for part in parts)
    return message + (f"--{BOUNDARY}--\r\n".encode() if close else b"")


@dataclass
class Curl:
    """What curl sent and received."""

    status: int
    content: bytes
    headers: str = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.content)

    def module(self) -> Dataset:
        return Dataset.from_json(self.json())


def curl(
    receiver: ListeningStow,
    content: bytes,
    *options: str,
    path: str = "/studies",
    token: str = TOKEN,
    content_type: str = RELATED,
) -> Curl:
    command = [peer("curl"), "-s", "-i", "-H", f"Content-Type: {content_type}"]
    command += ["-H", f"Authorization: Bearer {token}", *options]
    command += ["--data-binary", "@-", receiver.url + path]
    said = subprocess.run(command, input=content, capture_output=True, check=False, timeout=120)
    headers, _, told = said.stdout.partition(b"\r\n\r\n")
    while headers.startswith(b"HTTP/1.1 100"):
        headers, _, told = told.partition(b"\r\n\r\n")
    assert headers, said
    return Curl(int(headers.split()[1]), told, headers.decode())


def reasons(module: Dataset) -> list[int]:
    items = [*module.get("FailedSOPSequence", []), *module.get("OtherFailuresSequence", [])]
    return [each.FailureReason for each in items]


# -- what is stored


def test_dicomweb_client_stores_a_study(receiver: ListeningStow) -> None:
    images = [image(number=number) for number in range(5)]
    told = receiver.client().store_instances([loaded(each) for each in images], uid("study"))
    assert {each.ReferencedSOPInstanceUID for each in told.ReferencedSOPSequence} == {
        each.SOPInstanceUID for each in images
    }
    assert "FailedSOPSequence" not in told
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 5
    assert receiver.ledger.list_sources(study.study_uid, 1) == {"MR1"}


def test_the_bytes_of_a_part_are_kept_unchanged(receiver: ListeningStow) -> None:
    contents = [part10(image(number=number)) for number in range(3)]
    assert curl(receiver, body(*contents)).status == 200
    assert receiver.kept() == set(contents)
    assert not receiver.on_the_way()


def test_a_duplicate_instance_is_stored_and_changes_nothing(receiver: ListeningStow) -> None:
    content = body(part10(image()))
    assert [curl(receiver, content).status for _ in range(2)] == [200, 200]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 1


def test_chunks_and_a_preamble_are_accepted(receiver: ListeningStow) -> None:
    content = b"This is a multi-part message.\r\n" + body(part10(image()))
    assert curl(receiver, content, "-H", "Transfer-Encoding: chunked").status == 200
    assert len(receiver.kept()) == 1


def test_the_response_is_xml_on_request(receiver: ListeningStow) -> None:
    told = curl(receiver, body(part10(image())), "-H", f"Accept: {XML}")
    assert told.status == 200
    assert f"content-type: {XML}" in told.headers.lower()
    assert image().SOPInstanceUID.encode() in told.content
    usual = curl(receiver, body(part10(image())))
    assert f"content-type: {JSON}\r\n" in usual.headers.lower() + "\r\n"


def test_orthanc_stores_what_it_has(receiver: ListeningStow, tmp_path: Path) -> None:
    remote = {"Url": receiver.url, "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
    web = {"Enable": True, "Servers": {"triage": remote}}
    plugin = peer(ORTHANC_PLUGIN)
    with orthanc(tmp_path / "orthanc", Plugins=[plugin], DicomWeb=web) as pacs:
        for number in range(4):
            (tmp_path / "one.dcm").write_bytes(part10(image(number=number)))
            upload = ["-s", "--data-binary", f"@{tmp_path / 'one.dcm'}"]
            url = f"http://{HOST}:{pacs.http_port}/instances"
            subprocess.run([peer("curl"), *upload, url], check=True, capture_output=True)
        resources = json.dumps({"Resources": pacs.get("/studies"), "Synchronous": True})
        pacs.post("/dicom-web/servers/triage/stow", resources)
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 4
    assert not receiver.ledger.incidents()


# -- what is not


def test_a_damaged_instance_fails_and_the_others_are_stored(receiver: ListeningStow) -> None:
    damaged = part10(image(number=2))[:-100]
    told = curl(receiver, body(part10(image(number=1)), damaged, part10(image(number=3))))
    assert told.status == 202
    module = told.module()
    assert len(module.ReferencedSOPSequence) == 2
    (failed,) = module.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == image(number=2).SOPInstanceUID
    assert failed.FailureReason == 0xC000
    (incident,) = receiver.ledger.incidents()
    assert incident.calling_ae == "MR1"
    assert (receiver.state / incident.path).read_bytes() == damaged


def test_an_instance_of_another_study_than_the_uri_is_not_stored(
    receiver: ListeningStow,
) -> None:
    content = body(part10(image("study")), part10(image("other")))
    told = curl(receiver, content, path=f"/studies/{uid('study')}")
    assert told.status == 202
    assert reasons(told.module()) == [0xA900]
    assert curl(receiver, content, path="/studies/1.2.3").status == 409
    (study,) = receiver.ledger.list_studies()
    assert (study.study_uid, study.instances) == (uid("study"), 1)


def test_an_instance_without_storage_sop_class_is_not_stored(receiver: ListeningStow) -> None:
    directory = image(SOPClassUID=UID("1.2.840.10008.1.3.10"))
    told = curl(receiver, body(part10(directory)))
    assert (told.status, reasons(told.module())) == (409, [0x0122])
    assert not receiver.kept()
    assert not list((receiver.state / "quarantine").iterdir())


@pytest.mark.parametrize("part", [b"", b"no instance", b"\0" * 128 + b"DICM"])
def test_a_part_without_file_meta_information_fails_without_a_reference(
    receiver: ListeningStow, part: bytes
) -> None:
    told = curl(receiver, body(part))
    assert told.status == 409
    assert [each.FailureReason for each in told.module().OtherFailuresSequence] == [0xC000]


def test_a_part_of_another_media_type_fails(receiver: ListeningStow) -> None:
    told = curl(receiver, body(b"{}", content_type="application/dicom+json"))
    assert (told.status, reasons(told.module())) == (409, [0xC000])


def test_an_instance_that_is_too_large_fails_and_leaves_no_file(
    receiver: ListeningStow,
) -> None:
    large = part10(image(Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2)))
    told = curl(receiver, body(large))
    assert (told.status, reasons(told.module())) == (413, [0xC001])
    assert "receiver.instance_bytes" in told.headers
    mixed = curl(receiver, body(large, part10(image(number=2))))
    assert (mixed.status, reasons(mixed.module())) == (202, [0xC001])
    assert len(receiver.kept()) == 1
    assert not receiver.on_the_way()


def test_without_room_the_sender_is_asked_to_retry(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SpoolFull("no room left")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.intake._spool, "open_staging_file", full)
        told = curl(receiver, body(part10(image())))
    assert (told.status, reasons(told.module())) == (503, [0xA700])
    assert "retry-after: " in told.headers.lower()
    assert curl(receiver, body(part10(image()))).status == 200


def test_refusals_are_counted_by_failure_reason(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held_back() -> None:
        raise BackpressureActive("less than receiver.free_bytes is left")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.intake._pressure, "check_room", held_back)
        told = curl(receiver, body(part10(image())))
    assert (told.status, reasons(told.module())) == (503, [0xA700])
    assert "retry-after: " in told.headers.lower()
    assert curl(receiver, body(b"damaged")).status == 409
    counted = receiver.intake.metrics.registry.get_sample_value
    for status in ("0xA700", "0xC000"):
        assert counted("triage_instances_refused_total", {"status": status}) == 1


def test_an_unavailable_ledger_stores_nothing(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.ledger, "record_instance", away)
        assert curl(receiver, body(part10(image()))).status == 503
    assert receiver.intake.needs_recovery
    assert curl(receiver, body(part10(image()))).status == 200


def test_a_defect_fails_one_instance_and_not_the_request(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, calls = receiver.intake.accept_file, []

    def defective(*arguments: Any, **named: Any) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError
        return accept(*arguments, **named)

    monkeypatch.setattr(receiver.intake, "accept_file", defective)
    told = curl(receiver, body(part10(image(number=1)), part10(image(number=2))))
    assert (told.status, reasons(told.module())) == (202, [0x0110])
    assert not receiver.on_the_way()


# -- what is no message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "closing boundary"),
        (b"--b0undary--\r\n", "no instance"),
        (b"no multipart message", "closing boundary"),
        (body(part10(image()))[:-10], "closing boundary"),
        (body(b"x", close=False) + b"--b0undary junk", "not followed by a line end"),
        (b"--b0undary\r\nno header\r\n\r\n", "invalid header line"),
    ],
)
def test_an_unreadable_message_is_a_bad_request(
    receiver: ListeningStow, content: bytes, why: str
) -> None:
    told = curl(receiver, content)
    assert told.status in {400, 409}
    assert why in told.headers + told.content.decode()
    assert not receiver.kept()
    assert not receiver.on_the_way()
    assert [incident.calling_ae for incident in receiver.ledger.incidents()][:1] == ["MR1"]


def test_parts_before_a_broken_one_are_in_the_response(receiver: ListeningStow) -> None:
    content = body(part10(image(number=1)), part10(image(number=2)))[:-60]
    told = curl(receiver, content)
    assert told.status == 202
    module = told.module()
    (stored,) = module.ReferencedSOPSequence
    assert stored.ReferencedSOPInstanceUID == image(number=1).SOPInstanceUID
    assert reasons(module) == [0xC000]
    assert "closing boundary" in told.headers
    assert len(receiver.kept()) == 1


def test_more_parts_than_a_response_lists_are_refused(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receivers.stow.storing.PARTS_MAX", 2)
    told = curl(receiver, body(*(part10(image(number=number)) for number in range(4))))
    assert told.status == 202
    assert len(told.module().ReferencedSOPSequence) == 2
    assert "several requests" in told.headers


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"token": "wrong"}, 401, "triage token"),
        ({"content_type": "application/dicom"}, 415, "multipart/related"),
        ({"content_type": RELATED.replace("/dicom", "/dicom+json")}, 415, "Part 10"),
        ({"content_type": 'multipart/related; type="application/dicom"'}, 400, "boundary"),
        ({"content_type": RELATED + "x" * 200}, 400, "boundary"),
        ({"path": "/dicom-web/studies"}, 404, "/studies"),
        ({"path": "/studies/no-uid"}, 404, "/studies"),
    ],
)
def test_the_response_to_a_rejected_request_states_what_to_do(
    receiver: ListeningStow, changed: dict[str, str], status: int, says: str
) -> None:
    told = curl(receiver, body(part10(image())), **changed)
    assert told.status == status
    assert told.json()["status"] == status
    assert says in told.json()["detail"]
    assert not receiver.kept()


@pytest.mark.parametrize(
    ("option", "status"),
    [
        (("-H", "Content-Encoding: gzip"), 415),
        (("-H", "Accept: text/html"), 406),
        (("-X", "PUT"), 405),
    ],
)
def test_other_services_are_not_offered(
    receiver: ListeningStow, option: tuple[str, str], status: int
) -> None:
    assert curl(receiver, body(part10(image())), *option).status == status


def test_an_unknown_sender_is_asked_for_a_token_and_reported(
    receiver: ListeningStow,
) -> None:
    told = curl(receiver, body(part10(image())), token="")
    assert told.status == 401
    assert "www-authenticate: bearer" in told.headers.lower()
    with pytest.raises(HTTPError):
        DICOMwebClient(receiver.url).store_instances([loaded(image())])
    (incident,) = receiver.ledger.incidents()
    assert incident.kind == "rejected association"
    assert "STOW-RS: no token" in incident.detail


def test_a_sender_at_another_address_is_forbidden(tmp_path: Path) -> None:
    sender = StowSender(token=hash_token(TOKEN), addresses=("10.0.0.0/8",))
    running = start_stow(tmp_path, {"senders": {"MR1": sender}})
    told = curl(running, body(part10(image())))
    assert told.status == 403
    assert "address" in told.json()["detail"]
    end_stow(running)


# -- senders that are slow, or hang up


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


def test_the_number_of_connections_is_limited(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 5)
    silent = [connected(receiver) for _ in range(20)]
    time.sleep(0.3)
    assert len(receiver.serving.server.server_state.connections) <= 6
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


# -- TLS, and the settings


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
