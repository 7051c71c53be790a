"""Named points of a study's way at which a crash separates two steps that belong together.

`mark_reached` is called between two such steps and does nothing by itself. A test registers a
watcher and stops the process, or breaks its surroundings, at that point. The crash matrix
(tests/acceptance/crashes) takes its rows from `CrashPoint` and from the events of the state
machine, so a new point cannot be forgotten there.
"""

from collections.abc import Callable
from enum import StrEnum

from triage.domain.study import Event


class CrashPoint(StrEnum):
    """The step that is done, and the step that is not done yet."""

    WRITTEN = "an instance is written, and not durable"
    DURABLE = "an instance is durable, and has no name"
    NAMED = "an instance has its name, and that is not durable"
    KEPT = "an instance is kept, and not in the ledger"
    RECORDED = "an instance is in the ledger, and not answered"
    STUDY_SENT = "a study is in the broker, and the ledger does not know"
    READ = "a study is read, and the model has not run"
    REPORTED = "reports are made, and not stored"
    STORED = "reports are stored, and no delivery is in the broker"
    DELIVERY_SENT = "a delivery is in the broker, and the ledger does not know"
    DELIVERY_TAKEN = "a delivery is taken, and nothing is sent"
    PRODUCT_SENT = "a product is at its destination, and the ledger does not know"
    COMMITMENT_OWED = "the ledger waits for storage commitment, and the archive is not asked"
    COMMITMENT_ASKED = "an archive is asked for storage commitment, and the ledger does not know"
    COMMITMENT_REPORTED = "an archive has reported on commitment, and the ledger does not know"
    DELIVERED = "a delivery is acknowledged, and its task is not"


class ChangePoint(StrEnum):
    """The same for a change of findings; tests/integration/test_finding_crashes.py has each."""

    AUDITED = "a change is in the audit trail, and not in the ledger"
    WRITTEN = "a version of a change is written, and not committed"
    COMMITTED = "a change is committed, and the command has not ended"


class ReportPoint(StrEnum):
    """The same for a report of a radiologist; tests/integration/hl7_receiver has each."""

    READ = "a report is read, and not in the ledger"
    RECORDED = "a report is in the ledger, and not acknowledged"


#: A crash point, or an event of the state machine before its transaction is committed.
Moment = CrashPoint | Event | ChangePoint | ReportPoint

_watchers: list[Callable[[Moment], None]] = []


def watch(watcher: Callable[[Moment], None]) -> None:
    """Call `watcher` at every moment, in the thread that reaches it."""
    _watchers.append(watcher)


def mark_reached(moment: Moment) -> None:
    """Call every watcher with this moment; without watchers nothing happens."""
    for watcher in _watchers:
        watcher(moment)
