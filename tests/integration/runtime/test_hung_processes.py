"""Processes of `triage serve` that run and hang, and others that only look as if they did."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.waiting import wait_until
from triage.domain.health import HungReason
from triage.runtime.service_manager import ServiceManager
from triage.runtime.supervisor import SupervisedProcess, Supervisor

SILENT_S = 4.0
#: A process that gives signs of life and then behaves as a test wants.
SCRIPT = """
import ctypes, os, signal, sys, time
from triage.runtime.parent import Parent, give_signs
from triage.telemetry.progress import PROGRESS, note_progress

give_signs(Parent.parse(sys.argv[-1]))
time.sleep(1.5)
{behaviour}
time.sleep(600)
"""
STOPPED = "os.kill(os.getpid(), signal.SIGSTOP)"
LOCKED = "ctypes.PyDLL(None).sleep(600)"  # a PyDLL keeps the interpreter lock during the call
STALLED = "PROGRESS.begin(1.0)"
NOT_LISTENING = "PROGRESS.begin(600.0, lambda: False)"
WORKING = """
PROGRESS.begin(4.0)
while True:
    time.sleep(0.1)
    note_progress()
"""


@dataclass
class ScriptedProcess(SupervisedProcess):
    """A process with a behaviour in place of a command of `triage`."""

    behaviour: str = ""

    def list_command(self) -> list[str]:
        return [sys.executable, "-c", SCRIPT.format(behaviour=self.behaviour)]


@dataclass
class Site:
    """Processes under a supervisor."""

    supervisor: Supervisor
    hung: dict[str, HungReason]  #: the first reason, by the name of the process

    def pid(self, number: int) -> int:
        process = self.supervisor.processes[number].process
        assert process is not None
        return process.pid


@contextmanager
def supervising(manager: ServiceManager, **behaviours: str) -> Iterator[Site]:
    processes = [
        ScriptedProcess(name, (), os.environ, silent_s=SILENT_S, behaviour=behaviour)
        for name, behaviour in behaviours.items()
    ]
    hung: dict[str, HungReason] = {}
    site = Site(Supervisor(processes, None, hung.setdefault, manager), hung)
    ended = threading.Event()
    thread = threading.Thread(target=site.supervisor.run, args=(ended,))
    thread.start()
    try:
        wait_until(lambda: all(process.process for process in processes), what="the start")
        yield site
    finally:
        ended.set()
        for process in processes:  # a stopped process does not end by SIGTERM
            if process.process is not None:
                process.process.kill()
        thread.join(60)


def test_what_hangs_is_killed_and_restarted_with_its_reason_and_what_works_is_not() -> None:
    with supervising(
        ServiceManager(None),
        stopped=STOPPED,
        locked=LOCKED,
        stalled=STALLED,
        receive=NOT_LISTENING,
        working=WORKING,
    ) as site:
        first = [site.pid(number) for number in range(5)]
        wait_until(lambda: len(site.hung) == 4, what="four hung processes")
        wait_until(lambda: all(site.pid(n) != first[n] for n in range(4)), what="the restart")
        assert site.hung == {
            "stopped": HungReason.SILENT,
            "locked": HungReason.SILENT,
            "stalled": HungReason.STALLED,
            "receive": HungReason.LISTENER_ENDED,
        }
        assert site.pid(4) == first[4]


@pytest.fixture
def listener() -> Iterator[tuple[str, socket.socket]]:
    """The address of a service manager in the form of NOTIFY_SOCKET, and its socket."""
    name = f"triage-supervisor-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")  # an abstract address (unix(7))
        bound.settimeout(60)
        yield f"@{name}", bound


def test_systemd_learns_from_the_supervisor_that_the_service_is_alive(
    listener: tuple[str, socket.socket],
) -> None:
    address, bound = listener
    with supervising(ServiceManager(address), working=WORKING):
        assert bound.recv(64) == b"WATCHDOG=1"
