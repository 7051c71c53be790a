"""Heartbeats of a process, reports to systemd, and the probes over HTTP."""

import json
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.waiting import HOST, listens
from triage.cli.demo_site import find_free_port
from triage.config import notify_address
from triage.domain.errors import LedgerUnavailable
from triage.domain.health import Heartbeat, Role
from triage.runtime.clock import SystemClock
from triage.runtime.heartbeat import Pulse, beating, machine_name
from triage.runtime.http_endpoint import serve_endpoint
from triage.runtime.service_manager import ServiceManager
from triage.store.heartbeats import SqlHeartbeats
from triage.store.ledger import SqlLedger


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, short_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    """Return the address of a service manager in the form of NOTIFY_SOCKET, and its socket."""
    name = f"triage-test-{os.getpid()}" if request.param == "abstract" else str(short_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}" if request.param == "abstract" else name)
        listener.settimeout(0)
        yield f"@{name}" if request.param == "abstract" else name, listener


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = Path(f"/tmp/notify-{os.getpid()}-{id(tmp_path_factory)}")  # noqa: S108 - a short path
    yield path
    path.unlink(missing_ok=True)


def received(listener: socket.socket) -> list[bytes]:
    """Return the reports that have arrived."""
    found = []
    while True:
        try:
            found.append(listener.recv(64))
        except BlockingIOError:
            return found


def test_systemd_learns_of_readiness_and_then_of_life(
    ledger: SqlLedger, manager: tuple[str, socket.socket]
) -> None:
    address, listener = manager
    given = notify_address({"NOTIFY_SOCKET": address})
    working = True
    with beating(ledger._database, Role.RECEIVE, given) as pulse:
        assert received(listener) == []  # not ready yet
        pulse.begin_work(lambda: working)
        assert received(listener)[:2] == [b"READY=1", b"WATCHDOG=1"]
        (beat,) = SqlHeartbeats(ledger._database).list_beats()
        assert (beat.machine, beat.pid, beat.role) == (machine_name(), os.getpid(), Role.RECEIVE)
        assert beat.listening_since
        working = False  # a listener has ended: neither alive nor listening
        received(listener)
        pulse.beat()
        assert received(listener) == []
        (beat,) = SqlHeartbeats(ledger._database).list_beats()
        assert not beat.listening_since
    assert SqlHeartbeats(ledger._database).list_beats() == []


def test_a_process_of_the_supervisor_reports_readiness_alone(
    ledger: SqlLedger, manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor reports life: a stopped one must not look alive because the receiver is."""
    address, listener = manager
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    with beating(ledger._database, Role.RECEIVE, address) as pulse:
        pulse.begin_work()
        assert received(listener) == [b"READY=1"]


def test_without_systemd_and_with_a_manager_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    assert notify_address({}) is None
    ServiceManager(None).notify("READY=1")
    ServiceManager(str(tmp_path / "gone")).notify("READY=1")


class LostLedger:
    """Heartbeats that cannot be recorded."""

    def beat(self, beat: Heartbeat) -> None:
        raise LedgerUnavailable(f"{beat.role}: away")

    def remove(self, machine: str, pid: int) -> None:
        raise LedgerUnavailable(f"{machine} {pid}: away")

    def list_beats(self) -> list[Heartbeat]:
        raise LedgerUnavailable("away")


def test_a_ledger_that_does_not_answer_does_not_end_the_process() -> None:
    pulse = Pulse(LostLedger(), SystemClock(), Role.ASSESS, ServiceManager(None))
    thread = threading.Thread(target=pulse.run, daemon=True)
    thread.start()
    pulse.begin_work()
    assert pulse.working_since
    pulse.end(thread)
    assert not thread.is_alive()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_probes_say_what_the_receiver_needs_and_metrics_stay() -> None:
    port, met = find_free_port(), {"receivers": True, "ledger": False}
    end = serve_endpoint(HOST, port, CollectorRegistry(), lambda: met)
    try:
        assert get(port, "/health/live") == (200, '{"process": true}')
        status, body = get(port, "/health/ready")
        assert (status, json.loads(body)) == (503, met)
        met["ledger"] = True
        assert get(port, "/health/ready")[0] == 200
        assert get(port, "/metrics")[0] == 200
    finally:
        end()
    assert not listens(port)
