"""Processes of `triage serve` that end while the supervisor runs."""

import os
import socket

import pytest

from tests.waiting import HOST, wait_until
from triage.config import ListeningAddress
from triage.domain.errors import ConfigurationError
from triage.runtime.supervisor import SupervisedProcess


@pytest.fixture
def ended() -> SupervisedProcess:
    """A process that listens on a port and has ended."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    address = ListeningAddress("C-STORE", HOST, port, "receiver.host", "receiver.port")
    process = SupervisedProcess("receive", ("--version",), os.environ, listens=[address])
    process.start()
    assert process.process is not None
    process.process.wait(60)
    process.pause_s = 0.0
    return process


def test_a_process_whose_port_is_free_is_restarted(ended: SupervisedProcess) -> None:
    before = ended.process
    ended.revive()
    assert ended.process is not before
    wait_until(lambda: ended.process is not None and ended.process.poll() is not None)


def test_a_process_whose_port_is_taken_ends_the_supervisor(ended: SupervisedProcess) -> None:
    before, port = ended.process, ended.listens[0].port
    with (
        socket.create_server((HOST, port)),
        pytest.raises(ConfigurationError, match=f"{HOST}:{port} for C-STORE: another program"),
    ):
        ended.revive()
    assert ended.process is before
