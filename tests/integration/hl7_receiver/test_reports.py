"""Reports over MLLP through a real socket, with and without TLS."""

import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.builders.report_messages import mdm, oru
from tests.integration.certificates import Authority
from tests.integration.hl7_receiver.listening_hl7 import (
    code_of,
    connect,
    exchange,
    listening_hl7,
    receive,
    send,
    store_study,
)
from triage.cli.demo_site import find_free_port
from triage.config import Hl7Sender
from triage.crash_points import ReportPoint

KILLED = "tests.integration.hl7_receiver.killed_listener"


@pytest.fixture(autouse=True)
def _study(tmp_path: Path) -> None:
    store_study(tmp_path)


def test_twenty_messages_on_one_connection_are_acknowledged_in_order(tmp_path: Path) -> None:
    messages = [oru(f"{n}", accession="A4711" if n % 2 else "B1") for n in range(18)]
    messages += [mdm("18"), oru("19", kind="ADT^A01")]
    with listening_hl7(tmp_path) as site, connect(site.port) as connection:
        for number, message in enumerate(messages):
            send(connection, message)
            answer = receive(connection)
            assert code_of(answer) == ("AA" if number < 19 else "AR")
            assert answer.split(b"\r")[1].split(b"|")[2] == f"{number}".encode()
        assert site.read_outcomes() == {
            "lv_dilation": "present",
            "lv_dysfunction": "present",
            "lge": "absent",
        }
        assert site.read_incidents() == {
            "no such study": 9,
            "HL7: MSH-9 must be ORU R01 or MDM T02": 1,
        }


def test_messages_that_arrive_together_or_byte_by_byte_are_read(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site, connect(site.port) as connection:
        framed = b"".join(b"\x0b" + oru(f"{n}") + b"\x1c\r" for n in range(3))
        connection.sendall(b"\r\n" + framed)
        assert [code_of(receive(connection)) for _ in range(3)] == ["AA"] * 3
        for byte in b"\n\x0b" + oru("9") + b"\x1c\r":
            connection.sendall(bytes([byte]))
        assert code_of(receive(connection)) == "AA"


def test_a_correction_replaces_the_report(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site:
        assert exchange(site.port, oru("1")) == "AA"
        text = "IMPRESSION: Normal cardiac MRI without late enhancement."
        corrected = oru("2", text=text, status="C", moment="20260103080000")
        assert exchange(site.port, corrected) == "AA"
        assert set(site.read_outcomes().values()) == {"absent"}
        assert exchange(site.port, oru("3")) == "AA"
        assert set(site.read_outcomes().values()) == {"absent"}


def test_reports_come_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    server, client = authority.sign("server"), authority.sign("ris")
    senders = {"ris": Hl7Sender(application="RIS", certificates=("ris",))}
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(client.certificate, client.key)
    stranger = ssl.create_default_context(cafile=str(authority.certificate))
    with listening_hl7(
        tmp_path,
        certificate=server.certificate,
        key=server.key,
        clients=authority.certificate,
        senders=senders,
    ) as site:
        assert exchange(site.port, oru("1"), context) == "AA"
        with suppress(OSError):  # the handshake fails, or the connection ends after it
            assert exchange(site.port, oru("2"), stranger) == ""
        assert exchange(site.port, oru("3"), context) == "AA"


@pytest.mark.parametrize("point", ReportPoint)
def test_a_report_is_stored_once_if_the_process_is_killed_before_its_answer(
    tmp_path: Path, point: ReportPoint
) -> None:
    port = find_free_port()
    command = [sys.executable, "-m", KILLED, str(tmp_path), str(port), point.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert b"listening\n" in iter(killed.stdout.readline, b"")
        with connect(port) as connection:
            send(connection, oru("7"))
            assert receive(connection) == b""
        assert killed.wait() < 0
    with listening_hl7(tmp_path, port) as site:
        assert bool(site.read_outcomes()) == (point is ReportPoint.RECORDED)
        assert exchange(port, oru("7")) == "AA"
        assert len(site.read_outcomes()) == 3
