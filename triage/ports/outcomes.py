"""Outcomes: what radiologists' reports state about the findings of studies."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.instance import Source
from triage.domain.outcome import FindingOutcome, RecordedMessage, ReportedOutcomes, ReportResult


class Outcomes(Protocol):
    """The outcomes of studies. Raises LedgerUnavailable."""

    def record_message(
        self, source: Source, control_id: str, reports: Sequence[ReportedOutcomes | ReportResult]
    ) -> RecordedMessage:
        """Record the reports of a message in one transaction.

        A message whose sender (`source.calling_ae`) and control ID are known is not recorded
        again. A report that was not read has its result in its place. A report without its study
        is an incident.
        """

    def report_refused(self, why: str, source: Source) -> None:
        """Record a message that was not accepted, as an incident; `why` names no patient."""

    def list_outcomes(self, study_uid: str) -> Sequence[FindingOutcome]:
        """Return the outcomes of a study, by finding."""
