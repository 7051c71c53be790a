"""Hostile peers of the HL7 listener: endless messages, silence, bad frames, slow bytes."""

import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from receivers.hl7.server import WAITING_MAX
from tests.builders.report_messages import oru
from tests.integration.hl7_receiver.listening_hl7 import (
    code_of,
    connect,
    exchange,
    listening_hl7,
    receive,
    send,
    store_study,
)
from tests.waiting import wait_until

MEGABYTE = b"x" * 1_000_000


@pytest.fixture(autouse=True)
def _study(tmp_path: Path) -> None:
    store_study(tmp_path)


def test_a_gigabyte_without_an_end_is_refused_at_the_limit(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site:
        before = psutil.Process().memory_info().rss
        with connect(site.port) as connection:
            connection.sendall(b"\x0b" + oru("7"))
            with suppress(ConnectionError):
                for _ in range(1000):
                    connection.sendall(MEGABYTE)
        assert psutil.Process().memory_info().rss - before < 50_000_000
        why = "HL7: the message is longer than receiver.hl7.message_bytes, 1048576"
        wait_until(lambda: why in site.read_incidents(), what="the incident")
        assert exchange(site.port, oru("8")) == "AA"


def test_a_message_that_is_too_long_is_answered_before_the_connection_ends(tmp_path: Path) -> None:
    with listening_hl7(tmp_path, message_bytes=2000) as site, connect(site.port) as connection:
        send(connection, oru("7", text="x" * 3000))
        answer = receive(connection)
        assert code_of(answer) == "AR"
        assert b"|7\r" in answer
        assert receive(connection) == b""
        assert exchange(site.port, oru("8")) == "AA"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "HL7: no MLLP frame: the first byte of a message must be 0B"),
        (b"\x0bMSH|^~\\&|\x0bMSH", "HL7: no MLLP frame: a message begins within another one"),
    ],
)
def test_bytes_that_are_no_frame_end_the_connection(tmp_path: Path, sent: bytes, why: str) -> None:
    with listening_hl7(tmp_path) as site:
        with connect(site.port) as connection:
            connection.sendall(sent)
            assert receive(connection) == b""
        wait_until(lambda: site.read_incidents() == {why: 1}, what="the incident")
        assert exchange(site.port, oru()) == "AA"


def test_a_connection_that_ends_within_a_message_stores_nothing(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site:
        with connect(site.port) as connection:
            connection.sendall(b"\x0b" + oru())
        why = "HL7: the connection ended within a message"
        wait_until(lambda: site.read_incidents() == {why: 1}, what="the incident")
        assert site.read_outcomes() == {}


def test_silent_connections_keep_no_sender_out(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site, ExitStack() as silent:
        for _ in range(10 * WAITING_MAX):
            silent.enter_context(connect(site.port))
        assert exchange(site.port, oru()) == "AA"


def test_a_message_that_arrives_too_slowly_ends_its_connection(tmp_path: Path) -> None:
    with listening_hl7(tmp_path, message_s=0.5) as site:
        with connect(site.port) as connection:
            connection.sendall(b"\x0b" + oru()[:20])
            assert receive(connection) == b""
        assert exchange(site.port, oru()) == "AA"


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    with listening_hl7(tmp_path, idle_s=0.5) as site, connect(site.port) as connection:
        send(connection, oru())
        assert code_of(receive(connection)) == "AA"
        assert receive(connection) == b""


def test_a_peer_that_reads_no_answer_does_not_hold_the_end_up(tmp_path: Path) -> None:
    with listening_hl7(tmp_path) as site:
        lazy = socket.create_connection(("127.0.0.1", site.port))
        lazy.sendall(b"\x0b" + oru() + b"\x1c\r")
        wait_until(lambda: bool(site.read_outcomes()), what="the outcomes")
    lazy.close()
