"""Incidents for the PACS administrator."""

from typing import Protocol

from triage.domain.incident import IncidentKind
from triage.domain.instance import Source


class IncidentLedger(Protocol):
    """Incidents that a PACS administrator must be able to see.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def report_incident(
        self, kind: IncidentKind, detail: str, source: Source, path: str = ""
    ) -> None:
        """Record an incident."""

    def report_repeated(
        self, kind: IncidentKind, detail: str, source: Source, times: int = 1, path: str = ""
    ) -> None:
        """Record a repeated incident: one per day, with a count."""
