"""Every receiver of the registry starts, receives, ends, and is documented."""

import re
import threading
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from receivers.receiver import ReceiverKind, ReceiverServices
from receivers.registry import RECEIVERS, run_receivers
from receivers.stow.access import hash_token
from tests.builders.source_text import ROOT
from tests.fakes import FakeClock
from tests.waiting import HOST, listens
from triage.cli.demo_site import find_free_port
from triage.config import (
    Hl7Sender,
    Hl7Settings,
    ReceiverSettings,
    Settings,
    StowSettings,
    WatchedFolder,
)
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger
from triage.store.outcomes import SqlOutcomes
from triage.store.spool import FileSpool


def configure(name: str, port: int, folder: Path) -> ReceiverSettings:
    """Return settings in which a receiver listens on a port or watches a folder."""
    senders: Any = {"MR1": {"token": hash_token("secret")}}
    settings: dict[str, Callable[[], ReceiverSettings]] = {
        "c_store": lambda: ReceiverSettings(port=port),
        "stow": lambda: ReceiverSettings(stow=StowSettings(port=port, senders=senders)),
        "hl7": lambda: ReceiverSettings(
            hl7=Hl7Settings(port=port, senders={"ris": Hl7Sender(application="RIS")})
        ),
        "folder": lambda: ReceiverSettings(folder=WatchedFolder(path=folder, every_s=0.05)),
    }
    return settings[name]()


def services(receiver: ReceiverSettings, folder: Path, ledger: SqlLedger) -> ReceiverServices:
    intake = Intake(FileSpool(folder), ledger)
    outcomes = SqlOutcomes(SqlLedger.database_in(folder), FakeClock())
    settings = Settings(receiver=receiver, state_dir=folder)
    return ReceiverServices(settings, intake, outcomes=outcomes)


@pytest.mark.parametrize("kind", RECEIVERS, ids=lambda kind: kind.name)
def test_a_receiver_starts_with_its_settings_and_leaves_no_thread_or_port(
    kind: ReceiverKind, tmp_path: Path, ledger: SqlLedger
) -> None:
    port, before = find_free_port(), set(threading.enumerate())
    parts = services(configure(kind.name, port, tmp_path), tmp_path, ledger)
    settings = attrgetter(kind.settings_key)(parts.settings)
    running = kind.start(parts, settings)
    assert set(threading.enumerate()) > before
    assert listens(port) == (kind.name != "folder")
    assert running.is_alive()
    running.end()
    assert not running.is_alive()
    assert set(threading.enumerate()) == before
    assert not listens(port)


def test_only_the_configured_receivers_are_run_and_all_of_them_are_ended(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    ports, before = [find_free_port(), find_free_port()], set(threading.enumerate())
    receiver = ReceiverSettings(
        port=ports[0], stow=configure("stow", ports[1], tmp_path).stow, folder=None
    )
    with run_receivers(services(receiver, tmp_path, ledger)) as are_receiving:
        assert are_receiving()
        assert all(map(listens, ports))
        assert "folder" not in {thread.name for thread in threading.enumerate()}
    assert not any(map(listens, ports))
    assert set(threading.enumerate()) == before


def test_a_receiver_that_cannot_start_ends_those_before_it(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    port, before = find_free_port(), set(threading.enumerate())
    receiver = ReceiverSettings(port=port, stow=configure("stow", port, tmp_path).stow)
    with (
        pytest.raises(Exception, match=f"cannot listen on {HOST}:{port}"),
        run_receivers(services(receiver, tmp_path, ledger)),
    ):
        pass
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("kind", RECEIVERS, ids=lambda kind: kind.name)
def test_the_settings_of_a_receiver_are_in_the_example(kind: ReceiverKind) -> None:
    text = (ROOT / "deploy" / "triage.yaml").read_text(encoding="utf-8")
    section = text[text.index("\nreceiver:\n") :]
    section = section[: re.search(r"\n[a-z_]+:", section[1:]).end()]  # type: ignore[union-attr]
    _, _, key = kind.settings_key.partition(".")
    assert not key or re.search(rf"^  #?{key}:$", section, re.MULTILINE)


def test_every_receiver_is_a_package_and_every_package_is_in_the_registry() -> None:
    packages = {path.parent.name for path in (ROOT / "receivers").glob("*/__init__.py")}
    assert packages == {kind.name for kind in RECEIVERS}
