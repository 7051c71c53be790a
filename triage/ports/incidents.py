"""Incidents for the PACS administrator."""

from typing import Protocol

from triage.domain.instance import Source


class IncidentLedger(Protocol):
    """What a PACS administrator must be able to see.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def report_incident(self, kind: str, detail: str, source: Source, path: str = "") -> None:
        """Remember an incident that a PACS administrator must be able to see."""

    def report_repeated(
        self, kind: str, detail: str, source: Source, times: int = 1, path: str = ""
    ) -> None:
        """Remember that the same happened again: one incident a day, with how often."""
