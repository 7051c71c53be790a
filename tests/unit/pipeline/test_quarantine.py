"""The quota of the quarantine."""

import os
from pathlib import Path

import pytest
import structlog

from tests.contract.ledgers import SOURCE
from triage.domain.errors import DamagedInstance, SpoolUnavailable
from triage.pipeline.intake import Intake
from triage.pipeline.quarantine import QuarantineLimits
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool
from triage.telemetry.metrics import Metrics

BYTES, FILES = 10_000, 20


def refuse(intake: Intake, number: int, size: int = 100) -> None:
    with pytest.raises(DamagedInstance):
        intake.accept(f"{number:06}".encode().ljust(size, b"x"), SOURCE)


def quarantined(folder: Path) -> list[Path]:
    """Return the quarantined files, made older by an hour than the next."""
    files = sorted((folder / "quarantine").iterdir(), key=lambda path: path.stat().st_mtime)
    for age, path in enumerate(reversed(files)):
        os.utime(path, (1e9 - 3600 * age, 1e9 - 3600 * age))
    return files


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def intake(tmp_path: Path, ledger: SqlLedger, metrics: Metrics) -> Intake:
    limits = QuarantineLimits(BYTES, FILES)
    return Intake(FileSpool(tmp_path), ledger, metrics=metrics, quarantine=limits)


def removed(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("triage_quarantine_removed_total")


def test_the_oldest_files_are_removed_when_there_are_too_many(
    intake: Intake, tmp_path: Path, metrics: Metrics
) -> None:
    for number in range(FILES):
        refuse(intake, number)
    first = quarantined(tmp_path)[0]
    assert len(quarantined(tmp_path)) == FILES
    assert removed(metrics) == 0
    with structlog.testing.capture_logs() as lines:
        refuse(intake, FILES)
    left = quarantined(tmp_path)
    assert len(left) == FILES * 9 // 10
    assert first not in left
    assert any(path.read_bytes().startswith(b"000020") for path in left)
    assert removed(metrics) == 3
    assert [line["files"] for line in lines if "quarantine is full" in line["event"]] == [3]


def test_the_bytes_of_the_quarantine_are_bounded(
    intake: Intake, tmp_path: Path, metrics: Metrics
) -> None:
    for number in range(60):
        refuse(intake, number, size=2000)
        assert sum(path.stat().st_size for path in quarantined(tmp_path)) <= BYTES
    assert (removed(metrics) or 0) > 50


def test_files_of_an_earlier_process_count(
    intake: Intake, tmp_path: Path, ledger: SqlLedger, metrics: Metrics
) -> None:
    for number in range(FILES):
        refuse(intake, number)
    quarantined(tmp_path)
    limits = QuarantineLimits(BYTES, FILES)
    later = Intake(FileSpool(tmp_path), ledger, metrics=metrics, quarantine=limits)
    refuse(later, FILES)
    assert len(quarantined(tmp_path)) == FILES * 9 // 10


def test_a_store_that_does_not_list_its_quarantine_refuses_the_instance_all_the_same(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def away(_spool: FileSpool) -> None:
        raise SpoolUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileSpool, "list_quarantined", away)
        for number in range(FILES + 5):
            refuse(intake, number)
    refuse(intake, FILES + 5)
    assert len(quarantined(tmp_path)) == FILES * 9 // 10
