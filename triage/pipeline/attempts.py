"""Release a study for another attempt after a failed assessment, or set it aside."""

import structlog

from triage.domain.delivery import backoff_s
from triage.domain.reasons import ReasonCode, because
from triage.domain.study import Event, StudyRevision
from triage.ports.studies import StudyLedger

log = structlog.get_logger(__name__)

#: A study that lost this many workers is set aside: it may have ended them.
ORPHANED_AT_MOST = 2


def give_up(
    ledger: StudyLedger,
    study: StudyRevision,
    error: str,
    max_attempts: int,
    holder: str | None = None,
) -> None:
    """Release a study for another attempt, or set it aside after the last one."""
    is_last = study.attempts >= max_attempts
    event = Event.SET_ASIDE if is_last else Event.RELEASED
    reason = because(
        ReasonCode.ASSESSMENT_FAILED,
        error=error,
        attempt=study.attempts,
        max_attempts=max_attempts,
    )
    if ledger.move(study, event, str(reason), holder, _pause_s(study)):
        log.warning("assessment ended unfinished", study_uid=study.study_uid, outcome=str(event))


def release_orphan(ledger: StudyLedger, study: StudyRevision, max_attempts: int) -> None:
    """Release a study whose worker stopped renewing its lease, or set it aside.

    Another worker tries it once, so a study that ends its worker cannot end them all.
    """
    tries_again = study.orphaned + 1 < ORPHANED_AT_MOST and study.attempts < max_attempts
    event = Event.ORPHANED if tries_again else Event.SET_ASIDE
    reason = because(
        ReasonCode.WORKER_LOST if tries_again else ReasonCode.WORKER_LOST_AGAIN,
        holder=study.holder,
        attempt=study.attempts,
        max_attempts=max_attempts,
    )
    if ledger.move(study, event, str(reason), study.holder, _pause_s(study)):
        log.warning("worker lost", study_uid=study.study_uid, outcome=str(event))


def _pause_s(study: StudyRevision) -> float:
    return backoff_s(max(1, study.attempts))
