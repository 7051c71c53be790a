"""Opens the audit trail of a site and what sends it."""

from collections.abc import Iterator
from contextlib import contextmanager

from triage.audit import open_audit_spool, open_audit_transport, record_activity
from triage.audit.peers import peers
from triage.audit.sender import AuditSender
from triage.config import Settings
from triage.domain.audit import NoAuditTrail
from triage.pipeline.audit_events import StudyTrail
from triage.ports.audit import AuditTrail
from triage.ports.spool import Spool
from triage.runtime.clock import SystemClock
from triage.runtime.paths import state_folder
from triage.store.ledger import SqlLedger

LAST_AUDIT_S = 5.0  #: for the audit messages of the end; else the next start sends them


def open_audit(settings: Settings) -> AuditTrail:
    """Open the audit trail of a site; one that keeps none is told all the same."""
    if settings.audit is None:
        return NoAuditTrail()
    ae_title = settings.receiver.ae_title
    return open_audit_spool(state_folder(settings), settings.audit, ae_title, SystemClock())


def open_study_trail(settings: Settings, ledger: SqlLedger, spool: Spool) -> StudyTrail | None:
    """Return what is told of studies, where a site keeps a trail."""
    if settings.audit is None:
        return None
    return StudyTrail(open_audit(settings), ledger, spool, peers(settings.destinations))


def open_audit_sender(settings: Settings) -> AuditSender | None:
    """Return what sends the audit trail of a site, where it keeps one."""
    if settings.audit is None:
        return None
    ae_title = settings.receiver.ae_title
    spool = open_audit_spool(state_folder(settings), settings.audit, ae_title, SystemClock())
    return AuditSender(spool, open_audit_transport(settings.audit))


@contextmanager
def audit_service(settings: Settings, audit: AuditTrail, name: str) -> Iterator[None]:
    """Tell the audit trail that a service starts, and that it ends; send the trail meanwhile.

    Every service of a machine has a sender, of which one sends at a time: a machine that only works
    has no receiver to do it.
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
