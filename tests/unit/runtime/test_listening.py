"""Addresses that are opened on trial, while other processes of the site end or still listen."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import HOST
from triage.config import ListeningAddress, ReceiverSettings, Settings
from triage.config.listening import list_receiving
from triage.domain.errors import ConfigurationError
from triage.runtime import listening
from triage.runtime.listening import mark_listening, require_free, try_address


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, taken: socket.socket) -> Settings:
    port = taken.getsockname()[1]
    return Settings(state_dir=tmp_path, receiver=ReceiverSettings(port=port))


@pytest.fixture
def address(settings: Settings) -> ListeningAddress:
    (found,) = list_receiving(settings)
    return found


def test_the_port_of_a_stranger_is_an_error_at_once(
    settings: Settings, address: ListeningAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.runtime.listening.time.sleep", None)  # a wait would fail
    with pytest.raises(ConfigurationError, match="another program uses this port"):
        require_free(settings, [address])
    with pytest.raises(ConfigurationError, match="another program uses this port"):
        try_address(settings, address)


def test_the_running_worker_is_recognised(settings: Settings, address: ListeningAddress) -> None:
    with mark_listening(settings, [address]):
        assert try_address(settings, address) == "the running worker listens"


def test_a_free_address_is_free_and_no_file_is_made(
    settings: Settings, address: ListeningAddress, taken: socket.socket, tmp_path: Path
) -> None:
    taken.close()
    assert try_address(settings, address) == "free"
    assert list(tmp_path.iterdir()) == []


def test_a_start_waits_for_an_earlier_process_that_ends(
    settings: Settings,
    address: ListeningAddress,
    taken: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, waited = threading.Event(), threading.Event()

    def wait(_seconds: float) -> None:
        waited.set()
        ended.wait()

    def end() -> None:
        waited.wait()
        taken.close()
        earlier.__exit__(None, None, None)
        ended.set()

    monkeypatch.setattr("triage.runtime.listening.time.sleep", wait)
    earlier = mark_listening(settings, [address])
    earlier.__enter__()
    thread = threading.Thread(target=end)
    thread.start()
    require_free(settings, [address])
    thread.join()
    assert waited.is_set()


def test_a_process_that_never_ends_is_an_error(
    settings: Settings, address: ListeningAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "END_S", 0.0)
    with (
        mark_listening(settings, [address]),
        pytest.raises(ConfigurationError, match="still listens on"),
        mark_listening(settings, [address]),
    ):
        pass
