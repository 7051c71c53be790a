"""The audit trail (DICOM PS3.15 A.5), written to a file or sent to an audit repository.

    message   an event as XML, and as a line of syslog
    spool     messages on disk that wait to be sent
    file      transport: lines appended to a file
    syslog    transport: syslog over TLS, or over TCP to this machine
    sender    the thread that sends; one process of a site sends at a time

An event is durable in the spool before the action that it describes continues, so a repository
that is down delays nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.audit.file import FileTransport
from triage.audit.message import AuditAuthor
from triage.audit.sender import AuditTransport
from triage.audit.spool import SpooledAuditTrail
from triage.audit.syslog import SyslogTransport
from triage.config import AuditSettings
from triage.domain.audit import build_start_event, build_stop_event
from triage.ports.audit import AuditTrail
from triage.ports.clock import Clock

FOLDER = "audit"  #: subfolder of the state folder


def open_audit_spool(
    state_dir: Path, settings: AuditSettings, ae_title: str, clock: Clock
) -> SpooledAuditTrail:
    """Open the spool of audit messages in a state folder."""
    author = AuditAuthor(settings.source, settings.site, ae_title)
    return SpooledAuditTrail(state_dir / FOLDER, author, clock, settings.waiting_messages)


def open_audit_transport(settings: AuditSettings) -> AuditTransport:
    """Return the configured transport to the audit repository; it is not connected yet."""
    if settings.syslog is not None:
        return SyslogTransport(settings.syslog)
    assert settings.file is not None  # noqa: S101 - the settings have one of the two
    return FileTransport(settings.file)


@contextmanager
def record_activity(audit: AuditTrail, name: str) -> Iterator[None]:
    """Record the start of a service on entry and its end on exit (PS3.15 A.5.3.1)."""
    audit.record(build_start_event(name))
    try:
        yield
    finally:
        audit.record(build_stop_event(name))
