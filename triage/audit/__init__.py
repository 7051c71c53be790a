"""The audit trail (DICOM PS3.15 A.5): told to a file, or to an audit repository over syslog.

    message   an event as XML, and as a line of syslog
    spool     what waits to be sent, on disk
    file      lines in a file
    syslog    TLS, or TCP to this machine
    sender    one of all processes sends
    peers     destinations, as messages name them

Rule: an event is on disk before it is done with; a repository that is away holds nothing up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.audit.file import LineFile
from triage.audit.message import Author
from triage.audit.sender import Transport
from triage.audit.spool import FileTrail
from triage.audit.syslog import Syslog
from triage.config import AuditSettings
from triage.domain.audit import started, stopped
from triage.ports.audit import AuditTrail
from triage.ports.clock import Clock

FOLDER = "audit"  #: of the state folder


def spool_in(state_dir: Path, settings: AuditSettings, ae_title: str, clock: Clock) -> FileTrail:
    """Open the messages that wait in a state folder."""
    author = Author(settings.source, settings.site, ae_title)
    return FileTrail(state_dir / FOLDER, author, clock, settings.waiting_messages)


def transport_of(settings: AuditSettings) -> Transport:
    """Return the way to the repository; nothing is connected yet."""
    if settings.syslog is not None:
        return Syslog(settings.syslog)
    assert settings.file is not None  # noqa: S101 - the settings have one of the two
    return LineFile(settings.file)


@contextmanager
def activity(audit: AuditTrail, name: str) -> Iterator[None]:
    """Tell that a service starts, and that it ends."""
    audit.record(started(name))
    try:
        yield
    finally:
        audit.record(stopped(name))
