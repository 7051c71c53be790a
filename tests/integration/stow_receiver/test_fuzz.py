"""Malformed requests to a STOW-RS receiver: answered or closed, and nothing is left of them."""

import socket
import threading
import time
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.bent import lied, part10_files
from tests.builders.images import image, part10
from tests.integration.stow import TOKEN, ListeningStow
from tests.integration.stow_receiver.requests import RELATED, body
from tests.parser_fuzzing import GENERATE_ONLY, GROWTH_MB, measure_memory_mb
from tests.waiting import HOST, wait_until

ROUND = 25  #: requests
PROMPT_S = 10.0  #: for a valid request after a round, on a machine that has other things to do
SILENCE_S = 0.05  #: to wait for an answer to a request that may be incomplete
HEADS = [
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked, gzip",
    "Expect: 100-continue",
    "Upgrade: h2c",
    f"X: {'x' * 70_000}",
    "Accept: application/dicom+xml",
    "Content-Encoding: gzip",
]


def make_request(content: bytes, *further: str) -> bytes:
    """Return a valid request with further lines in its header."""
    lines = ["POST /studies HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {TOKEN}"]
    lines += [f"Content-Type: {RELATED}", f"Content-Length: {len(content)}", *further]
    return "\r\n".join([*lines, "", ""]).encode() + content


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request with errors in its header, its parts, or its bytes."""
    parts = draw(st.lists(part10_files(), min_size=1, max_size=3))
    content = body(*parts, close=draw(st.booleans()))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return make_request(draw(lied(content)))
    whole = make_request(content, *draw(st.lists(st.sampled_from(HEADS), max_size=2)))
    if kind == 1:
        head, _, rest = whole.partition(b"\r\n\r\n")
        return draw(lied(head)) + b"\r\n\r\n" + rest
    return whole if kind == 2 else draw(lied(whole))


def send(receiver: ListeningStow, content: bytes, wait_s: float) -> bytes:
    """Send bytes and return what comes back."""
    answer = b""
    with socket.create_connection((HOST, receiver.port), PROMPT_S) as connection, suppress(OSError):
        connection.sendall(content)
        connection.settimeout(wait_s)
        while piece := connection.recv(65_536):
            answer += piece
            connection.settimeout(SILENCE_S)
    return answer


def store_one(receiver: ListeningStow, number: int) -> None:
    """Have a valid instance kept, promptly."""
    content = part10(image("good", "good", number))
    began = time.monotonic()
    answer = send(receiver, make_request(body(content)), PROMPT_S)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert time.monotonic() - began < PROMPT_S
    assert content in receiver.kept()


def test_malformed_requests(receiver: ListeningStow, fuzz_seconds: float) -> None:
    statuses: dict[bytes, int] = {}

    @settings(GENERATE_ONLY, max_examples=ROUND)
    @given(requests())
    def send_one(content: bytes) -> None:
        status = send(receiver, content, SILENCE_S)[9:12]
        statuses[status] = statuses.get(status, 0) + 1

    until, rounds, before, threads = time.monotonic() + fuzz_seconds, 0, 0.0, 0
    while not rounds or time.monotonic() < until:
        send_one()
        store_one(receiver, rounds)
        wait_until(lambda: not receiver.on_the_way(), what="an empty incoming folder")
        rounds += 1
        before, threads = before or measure_memory_mb(), threads or threading.active_count()
    print(f"\n{rounds} rounds: {statuses}")
    assert measure_memory_mb() - before < GROWTH_MB
    assert threading.active_count() <= threads + 32  # the pool of the HTTP server
    assert b"500" not in statuses
    incidents = receiver.ledger.incidents(1_000_000)
    assert all(incident.kind and incident.detail for incident in incidents)
