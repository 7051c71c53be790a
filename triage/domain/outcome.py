"""Outcomes: the statements of the radiologist's report about each finding.

Not mentioned is never absent: a report that does not name a finding has no outcome for it.
"""

from dataclasses import dataclass
from enum import StrEnum


class OutcomeStatus(StrEnum):
    """The statement of a report about a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_MENTIONED = "not mentioned"


@dataclass(frozen=True)
class FindingOutcome:
    """The statement of a report about one finding, with its sentence."""

    finding_id: str
    status: OutcomeStatus
    #: The sentence that states it, which may name the patient: kept in the ledger, never logged.
    sentence: str = ""
