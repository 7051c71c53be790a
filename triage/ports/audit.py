"""The audit trail (PS3.15 A.5)."""

from typing import Protocol

from triage.domain.audit import AuditEvent


class AuditTrail(Protocol):
    """Audit events for an audit repository (PS3.15 A.5). Thread-safe."""

    def record(self, event: AuditEvent) -> None:
        """Store an event durably, to be sent later; a failure is logged and not raised.

        Record an event before its action is completed: a crash may then repeat the event, but
        never lose it.
        """
