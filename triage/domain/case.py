"""A past study, kept so that a new one can be compared with it.

Rule: a case says nothing of who the patient is. `patient` only tells whether two cases are of one.
"""

from dataclasses import dataclass

from triage.domain.assessment import SourceImage


@dataclass(frozen=True)
class Case:
    """What is known of one past study."""

    study_uid: str
    patient: str  #: the same for studies of one patient; a keyed digest, no identifier
    study_date: str = ""  #: YYYYMMDD
    vendor: str = ""  #: Manufacturer (0008,0070), in lower case
    views: tuple[str, ...] = ()  #: the view slots that it filled
    flagged: tuple[str, ...] = ()  #: ids of the findings that were flagged
    confirmed: tuple[str, ...] = ()  #: ids of those that a radiologist confirmed
    labelled: bool = False  #: whether somebody said which are confirmed, if only that none is
    impression: str = ""  #: of the radiologist's report, de-identified
    images: tuple[SourceImage, ...] = ()  #: one of each view, to refer to


@dataclass(frozen=True)
class Filter:
    """Which cases are asked for; what is left blank excludes none."""

    since: str = ""  #: first study date, YYYYMMDD
    until: str = ""  #: last study date, YYYYMMDD
    vendor: str = ""
    finding: str = ""  #: flagged or confirmed
    confirmed_only: bool = False  #: the finding, or any if none is named, was confirmed
    patient: str = ""  #: of this patient alone
    other_than: str = ""  #: of any patient but this one


@dataclass(frozen=True)
class Neighbour:
    """A case near to what was asked."""

    case: Case
    similarity: float  #: cosine, -1 to 1


NO_FILTER = Filter()  #: excludes none
