"""Outcomes: the statements of the radiologist's report about each finding.

Not mentioned is never absent: a report that does not name a finding has no outcome for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


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


class ReportRank(IntEnum):
    """The standing of a report; one of a lower rank never replaces one of a higher rank."""

    FINAL = 1
    CORRECTED = 2


@dataclass(frozen=True)
class ReportedOutcomes:
    """The outcomes of one report on one study."""

    study_uid: str  #: "": the report names none
    accessions: Sequence[str]  #: numbers under which the study may be known, best first
    outcomes: Sequence[FindingOutcome]  #: without those that the report does not mention
    rank: ReportRank = ReportRank.FINAL
    moment: str = ""  #: time of the report, digits from the year on
    is_withdrawn: bool = False  #: the outcomes of the study are removed


class ReportResult(StrEnum):
    """The fate of a report; the values are in the ledger and in metrics: never change one."""

    STORED = "stored"
    REPLACED = "replaced an earlier report"
    WITHDRAWN = "withdrawn"
    OUTDATED = "older than the stored report"
    NO_STUDY = "no such study"
    SEVERAL_STUDIES = "several studies have this number"
    PRELIMINARY = "preliminary"
    NOTHING_STATED = "no finding stated"
    NO_IMPRESSION = "no impression"
    OWN = "written by this program"


@dataclass(frozen=True)
class RecordedMessage:
    """The fate of each report of a message."""

    results: Sequence[ReportResult]
    is_repeated: bool = False  #: the message was recorded before, and nothing was changed


#: Results of reports that a PACS administrator must see: their study is not found.
WITHOUT_STUDY = (ReportResult.NO_STUDY, ReportResult.SEVERAL_STUDIES)
