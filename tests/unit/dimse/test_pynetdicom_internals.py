"""An upgrade of pynetdicom fails here until its private parts were compared again."""

import inspect
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pynetdicom
import pytest
from pynetdicom import AE, sop_class, transport
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from triage.dimse.pynetdicom_internals import (
    ESTABLISHED,
    KNOWN_VERSIONS,
    STORAGE_CLASSES,
    ReactorCheckpoint,
    has_unread_message,
    install_checkpoint,
    is_between_messages,
    is_reader_paused,
    pause_reader,
    register_server,
    restart_idle_timer,
    resume_reader,
    unregister_server,
)


@pytest.fixture
def association() -> Iterator[Association]:
    """An association that was not opened: its threads have not started."""
    made = Association(AE(), "requestor")
    with socket.socket() as connection:
        made.set_socket(transport.AssociationSocket(made, client_socket=connection))
        yield made


def test_the_installed_version_is_known() -> None:
    assert pynetdicom.__version__ in KNOWN_VERSIONS


def test_an_association_has_every_private_field(association: Association) -> None:
    assert isinstance(association._reactor_checkpoint, threading.Event)
    assert association._is_paused is False
    assert association.dimse.message is None
    assert not has_unread_message(association)
    restart_idle_timer(association)
    assert association.dul._idle_timer._start_time is not None


def test_the_reader_thread_is_paused_and_resumed_through_the_event(
    association: Association,
) -> None:
    install_checkpoint(association)
    checkpoint: Any = association._reactor_checkpoint
    assert isinstance(checkpoint, ReactorCheckpoint)
    pause_reader(association)
    assert not checkpoint.is_set()
    assert not checkpoint.wait(0)
    assert is_reader_paused(association)
    resume_reader(association)
    assert checkpoint.wait(0)
    assert not is_reader_paused(association)


def test_an_association_is_between_messages_only_in_the_established_state(
    association: Association,
) -> None:
    association.dul.event_queue.get_nowait()  # the socket announced itself
    association.is_established = True
    assert not is_between_messages(association)
    association.dul.state_machine.current_state = ESTABLISHED
    assert is_between_messages(association)
    association.dul.to_provider_queue.put(SimpleNamespace())  # type: ignore[arg-type]
    assert not is_between_messages(association)


def test_a_server_that_is_unregistered_is_not_ended_with_its_entity() -> None:
    ae, ended = AE(), list[str]()
    kept: Any = SimpleNamespace(shutdown=lambda: ended.append("kept"))
    removed: Any = SimpleNamespace(shutdown=lambda: ended.append("removed"))
    for server in (kept, removed):
        register_server(ae, server)
    unregister_server(ae, removed)
    ae.shutdown()
    assert ended == ["kept"]


def test_the_storage_classes_are_those_that_a_new_uid_is_added_to() -> None:
    assert STORAGE_CLASSES is sop_class._STORAGE_CLASSES
    assert STORAGE_CLASSES["MRImageStorage"] == "1.2.840.10008.5.1.4.1.1.4"


def test_the_methods_that_receivers_override_exist() -> None:
    overridden = [
        transport.RequestHandler._create_association,
        transport.AssociationSocket._shutdown_socket,
        transport.AssociationSocket.recv,
        transport.ThreadedAssociationServer.process_request_thread,
    ]
    assert all(inspect.isfunction(method) for method in overridden)
    assert isinstance(inspect.getattr_static(transport.AssociationSocket, "ready"), property)
    assert "_is_paused" in inspect.getsource(Association._run_reactor)
    assert "event_queue" in inspect.getsource(DULServiceProvider.__init__)


def test_a_thread_that_passes_the_checkpoint_does_not_take_the_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    association = SimpleNamespace(_is_paused=True)
    checkpoint = ReactorCheckpoint(association)
    wait, sent = threading.Event.wait, list[str]()

    def wait_slowly(event: threading.Event, timeout: float | None = None) -> bool:
        passes = wait(event, timeout)
        if event is checkpoint and not sent:  # another thread sends a request at this moment
            checkpoint.clear()
            sent.append("request")
        return passes

    monkeypatch.setattr(threading.Event, "wait", wait_slowly)
    passing = threading.Thread(target=checkpoint.wait)
    passing.start()
    passing.join(0.2)
    assert passing.is_alive()
    assert association == SimpleNamespace(_is_paused=True)
    checkpoint.set()
    passing.join(5)
    assert not passing.is_alive()
    assert association == SimpleNamespace(_is_paused=False)
