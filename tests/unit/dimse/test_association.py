import threading
from types import SimpleNamespace
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.integration.servers import HOST
from triage.cli.demo_site import find_free_port
from triage.dimse.association import AT_ONCE, ReactorCheckpoint
from triage.dimse.statuses import StoreStatus, in_words, is_stored


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0000, "0x0000 Success"),
        (0xB000, "0xB000 Coercion of data elements"),
        (0xA700, "0xA700 Out of resources"),
        (0xA7FF, "0xA7FF Out of resources"),
        (0xA900, "0xA900 Data set does not match SOP class"),
        (0xC210, "0xC210 Cannot understand"),
        (0x0210, "0x0210 a status that PS3.4 does not name"),
    ],
)
def test_a_status_is_told_in_words(status: int, words: str) -> None:
    assert in_words(status) == words


def test_only_success_and_warnings_mean_stored() -> None:
    stored = [status for status in range(0x10000) if is_stored(status)]
    assert stored == [0x0000, 0xB000, 0xB006, 0xB007]


def test_our_own_failures_are_failures() -> None:
    assert [status for status in StoreStatus if is_stored(status)] == [StoreStatus.SUCCESS]


def test_a_thread_that_is_just_passing_takes_no_answer_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    association = SimpleNamespace(_is_paused=True)
    turnstile = ReactorCheckpoint(association)
    wait, sent = threading.Event.wait, list[str]()

    def held_up(event: threading.Event, timeout: float | None = None) -> bool:
        passes = wait(event, timeout)
        if event is turnstile and not sent:  # somebody sends a request at this moment
            turnstile.clear()
            sent.append("request")
        return passes

    monkeypatch.setattr(threading.Event, "wait", held_up)
    passing = threading.Thread(target=turnstile.wait)
    passing.start()
    passing.join(0.2)
    assert passing.is_alive()
    assert association._is_paused
    turnstile.set()
    passing.join(5)
    assert not passing.is_alive()
    assert not association._is_paused


def test_whoever_asks_has_a_turnstile_and_is_answered() -> None:
    ae, port = AE(), find_free_port()
    ae.add_supported_context(Verification)
    ae.add_requested_context(Verification)
    server: Any = ae.start_server((HOST, port), block=False)
    association = ae.associate(HOST, port, evt_handlers=[AT_ONCE])
    assert isinstance(association._reactor_checkpoint, ReactorCheckpoint)
    assert [association.send_c_echo().Status for _ in range(20)] == [0] * 20
    association.release()
    server.shutdown()
