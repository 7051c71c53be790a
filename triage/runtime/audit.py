"""Opens the audit trail of a site and its sender."""

from collections.abc import Iterator
from contextlib import contextmanager

from triage.audit import open_audit_spool, open_audit_transport, record_activity
from triage.audit.sender import AuditSender
from triage.config import Settings
from triage.domain.audit import NoAuditTrail
from triage.pipeline.audit_events import StudyTrail
from triage.ports.audit import AuditTrail
from triage.ports.spool import Spool
from triage.runtime.clock import SystemClock
from triage.runtime.destinations import audit_peers
from triage.runtime.paths import state_folder
from triage.store.ledger import SqlLedger

LAST_AUDIT_S = 5.0  #: to send the last audit messages; the next start sends the rest


def open_audit(settings: Settings) -> AuditTrail:
    """Open the audit trail of a site; without `audit` settings events are discarded."""
    if settings.audit is None:
        return NoAuditTrail()
    ae_title = settings.receiver.ae_title
    return open_audit_spool(state_folder(settings), settings.audit, ae_title, SystemClock())


def open_study_trail(settings: Settings, ledger: SqlLedger, spool: Spool) -> StudyTrail | None:
    """Return the audit trail of studies; None if the site keeps none."""
    if settings.audit is None:
        return None
    return StudyTrail(open_audit(settings), ledger, spool, audit_peers(settings))


def open_audit_sender(settings: Settings) -> AuditSender | None:
    """Return the sender of the audit trail; None if the site keeps none."""
    if settings.audit is None:
        return None
    ae_title = settings.receiver.ae_title
    spool = open_audit_spool(state_folder(settings), settings.audit, ae_title, SystemClock())
    return AuditSender(spool, open_audit_transport(settings.audit))


def count_audit_backlog(settings: Settings) -> tuple[int, int]:
    """Return how many audit messages wait for the repository, and how many events were lost."""
    if settings.audit is None:
        return 0, 0
    spool = open_audit_spool(settings.state_dir, settings.audit, "", SystemClock())
    return spool.waiting(), spool.missed()


@contextmanager
def audit_service(settings: Settings, audit: AuditTrail, name: str) -> Iterator[None]:
    """Record the start and the end of a service, and send the audit trail in between.

    Every service of a machine has a sender, and a lock lets one of them send at a time: a machine
    that only runs workers has no receiver to send for it.
    """
    sender = open_audit_sender(settings)
    if sender is not None:
        sender.start()
    try:
        with record_activity(audit, name):
            yield
    finally:
        if sender is not None:
            sender.end(LAST_AUDIT_S)
