"""The duties of the receiving process, and their independence of each other."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.fakes import FakeClock
from triage.config import RetentionSettings, Settings
from triage.domain.errors import (
    ConfigurationError,
    LedgerUnavailable,
    SpoolFull,
    SpoolUnavailable,
)
from triage.domain.health import Role
from triage.domain.incident import IncidentKind
from triage.pipeline.intake import Intake
from triage.pipeline.reconciler import Reconciler
from triage.pipeline.storage_commitment_scp import CommitmentScp
from triage.runtime.heartbeat import Pulse
from triage.runtime.receiver import _run_duties, _run_retention, _serve_metrics
from triage.runtime.service_manager import ServiceManager
from triage.runtime.services import Services
from triage.store.heartbeats import SqlHeartbeats
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


@pytest.mark.parametrize("error", [SpoolFull("full"), LedgerUnavailable("busy"), OSError("I/O")])
def test_a_duty_that_fails_does_not_delay_the_others(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    intake, ended, done = Intake(FileSpool(tmp_path), ledger), threading.Event(), list[str]()
    intake.needs_recovery = True

    def fails() -> int:
        raise error

    class Duty:
        def __init__(self, name: str) -> None:
            self.name = name

        def tick(self) -> None:
            done.append(self.name)
            if self.name == "commitment_scp":
                ended.set()

    monkeypatch.setattr(intake, "recover", fails)
    monkeypatch.setattr(intake, "update_load", lambda: done.append("pressure"))
    reconciler: Any = Duty("reconciler")
    commitment_scp: Any = Duty("commitment_scp")
    _run_duties(intake, cast(Reconciler, reconciler), cast(CommitmentScp, commitment_scp), ended)
    assert done == ["reconciler", "pressure", "commitment_scp"]


def test_retention_continues_when_a_store_is_down_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A case library or an object store is down and comes back."""
    ended, removed = threading.Event(), threading.Event()
    answers: list[Exception | None] = [LedgerUnavailable("away"), None]
    fails = iter([SpoolUnavailable("away")])

    class Removing:
        def prune(self, _is_ended: Callable[[], bool]) -> None:
            for error in fails:
                raise error
            removed.set()

    def opened(_self: Services) -> Removing:
        if (error := answers.pop(0)) is not None:
            raise error
        return Removing()

    monkeypatch.setattr(Services, "build_retention_runner", opened)
    services = Services(Settings(retention=RetentionSettings(every_s=0.01)), "")
    with capture_logs() as logs, _run_retention(services, ended):
        assert removed.wait(60)
    assert answers == []  # what is open stays open
    assert [each["log_level"] for each in logs] == ["warning", "warning"]


def test_retention_uses_the_database_of_the_process(tmp_path: Path) -> None:
    services = Services(Settings(state_dir=tmp_path), "")
    retention: Any = services.build_retention_runner().ledger
    assert retention._database is services.database
    services.database.close()


def test_a_taken_port_of_the_metrics_is_shown_and_stops_nothing(
    ledger: SqlLedger, clock: FakeClock
) -> None:
    class WithoutMetrics:
        def __init__(self) -> None:
            self.ledger = ledger

        def serve_metrics(self, _pulse: Pulse) -> Callable[[], None]:
            raise ConfigurationError("cannot listen on 127.0.0.1:9100 for metrics: taken")

    received = []
    pulse = Pulse(SqlHeartbeats(ledger._database), clock, Role.RECEIVE, ServiceManager(None))
    with _serve_metrics(cast(Services, WithoutMetrics()), pulse):
        received.append("study")
    assert received == ["study"]
    (incident,) = ledger.incidents()
    assert incident.kind == IncidentKind.METRICS_NOT_SERVED
    assert "127.0.0.1:9100" in incident.detail
