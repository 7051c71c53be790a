"""The ledger of a site."""

from pathlib import Path

import pytest

from triage.runtime.clock import SystemClock
from triage.store.ledger import SqlLedger


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    (tmp_path / "state").mkdir()
    return SqlLedger.in_folder(tmp_path / "state", SystemClock())
