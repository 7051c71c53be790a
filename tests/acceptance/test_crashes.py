"""The crash matrix in short; tests/benchmarks/test_crashes.py runs all of it."""

from pathlib import Path

import pytest

from tests.acceptance.crashes.faults import FAULTS
from tests.acceptance.crashes.matrix import MOMENTS, cells, every, table
from triage.crash_points import CrashPoint
from triage.domain.study import Event

#: A significant fault of each step; at a new step every process is killed.
TELLING = {
    CrashPoint.WRITTEN: "disk full",
    CrashPoint.DURABLE: "receiver killed",
    CrashPoint.NAMED: "network cut",
    CrashPoint.RECORDED: "receiver killed",
    CrashPoint.STUDY_SENT: "Redis killed, its data gone",
    CrashPoint.READ: "assessing worker killed",
    CrashPoint.REPORTED: "database killed",
    CrashPoint.STORED: "clock an hour back",
    CrashPoint.DELIVERY_SENT: "Redis killed, its data gone",
    CrashPoint.DELIVERY_TAKEN: "delivering worker killed",
    CrashPoint.PRODUCT_SENT: "delivering worker killed",
    CrashPoint.DELIVERED: "tasks doubled",
    Event.INSTANCE_RECEIVED: "clock a day ahead",
    Event.JUDGED_COMPLETE: "receiver killed",
    Event.CLAIMED: "tasks doubled",
    Event.RELEASED: "assessing worker killed",
    Event.ORPHANED: "receiver killed",
    Event.ASSESSED: "disk full",
    Event.DECLINED: "assessing worker killed",
    Event.ACKNOWLEDGED: "archive killed",
    Event.UNDELIVERABLE: "delivering worker killed",
    Event.REPLAYED: "it is killed",
    Event.RESENT: "it is killed",
}
A_FEW = [(moment, TELLING.get(moment, "everything killed")) for moment in MOMENTS]


def test_the_short_form_has_every_step_and_every_fault() -> None:
    assert set(A_FEW) <= set(cells())
    assert {fault for _, fault in A_FEW} == set(FAULTS)


@pytest.mark.timeout(1800)
def test_no_fault_loses_or_doubles_a_report(short_folder: Path) -> None:
    done = every(short_folder, A_FEW)
    print(table(done))
    assert not [str(each) for each in done if not each.holds]
