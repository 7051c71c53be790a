"""The audit trail (PS3.15 A.5)."""

from typing import Protocol

from triage.domain.audit import AuditEvent


class AuditTrail(Protocol):
    """Who did what, for an audit repository (PS3.15 A.5). Safe in any thread."""

    def record(self, event: AuditEvent) -> None:
        """Keep an event durably, to be sent in its turn; what fails is logged and raises nothing.

        Record it before what it tells of is done with: a crash may then repeat, never lose it.
        """
