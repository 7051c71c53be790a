"""What the receiving process does once a second, though one thing cannot be done now."""

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from triage.commit import Committer
from triage.domain.errors import LedgerUnavailable, SpoolFull
from triage.intake import Intake
from triage.receive import _keep_up
from triage.reconcile import Reconciler
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


@pytest.mark.parametrize("error", [SpoolFull("full"), LedgerUnavailable("busy"), OSError("I/O")])
def test_8_a_recovery_without_room_ends_no_receiver_and_holds_up_nothing_else(
    tmp_path: Path, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    intake, ended, done = Intake(FileSpool(tmp_path), ledger), threading.Event(), list[str]()
    intake.behind = True

    def fails() -> int:
        raise error

    class Duty:
        def __init__(self, name: str) -> None:
            self.name = name

        def tick(self) -> None:
            done.append(self.name)
            if self.name == "committer":
                ended.set()

    monkeypatch.setattr(intake, "recover", fails)
    monkeypatch.setattr(intake, "watch_pressure", lambda: done.append("pressure"))
    reconciler: Any = Duty("reconciler")
    committer: Any = Duty("committer")
    _keep_up(intake, cast(Reconciler, reconciler), cast(Committer, committer), ended)
    assert done == ["reconciler", "pressure", "committer"]
