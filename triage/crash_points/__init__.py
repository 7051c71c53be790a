"""The named steps of a study's way, where a crash would part two things that belong together.

Rule: `mark_reached` stands between such two, and does nothing by itself; a test watches, and ends the
process there, or its surroundings. The crash matrix takes its list from here and from the events
of the state machine, so that a new step cannot be forgotten.
"""

from collections.abc import Callable
from enum import StrEnum

from triage.domain.study import Event


class CrashPoint(StrEnum):
    """What is done, and what is not yet."""

    WRITTEN = "an instance is written, and not durable"
    DURABLE = "an instance is durable, and has no name"
    NAMED = "an instance has its name, and that is not durable"
    KEPT = "an instance is kept, and not in the ledger"
    RECORDED = "an instance is in the ledger, and not answered"
    STUDY_SENT = "a study is in the broker, and the ledger does not know"
    READ = "a study is read, and the model has not looked"
    REPORTED = "reports are made, and not stored"
    STORED = "reports are stored, and no delivery is in the broker"
    DELIVERY_SENT = "a delivery is in the broker, and the ledger does not know"
    DELIVERY_TAKEN = "a delivery is taken, and nothing is sent"
    PRODUCT_SENT = "a product is at its destination, and the ledger does not know"
    COMMITMENT_OWED = "the ledger waits for an archive's word, and the archive is not asked"
    COMMITMENT_ASKED = "an archive is asked for its word, and the ledger does not know"
    COMMITMENT_TOLD = "an archive's word has come, and the ledger does not know"
    DELIVERED = "a delivery is acknowledged, and its task is not"


#: Where an event stands in its transaction, that is not committed yet; or a step.
Moment = CrashPoint | Event

_watchers: list[Callable[[Moment], None]] = []


def watch(watcher: Callable[[Moment], None]) -> None:
    """Have somebody called at every moment, in the thread that reaches it."""
    _watchers.append(watcher)


def mark_reached(moment: Moment) -> None:
    """Tell those who watch."""
    for watcher in _watchers:
        watcher(moment)
