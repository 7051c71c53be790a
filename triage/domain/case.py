"""A past case: the data of a past study that new studies are compared with.

A case does not identify the patient: `patient` only shows whether two cases are of one patient.
"""

from dataclasses import dataclass

from triage.domain.assessment import SourceImage


@dataclass(frozen=True)
class Case:
    """The data of one past study."""

    study_uid: str
    patient: str  #: the same for studies of one patient; a keyed digest, no identifier
    study_date: str = ""  #: YYYYMMDD
    vendor: str = ""  #: Manufacturer (0008,0070), in lower case
    views: tuple[str, ...] = ()  #: the view slots that it filled
    flagged: tuple[str, ...] = ()  #: ids of the findings that were flagged
    confirmed: tuple[str, ...] = ()  #: ids of those that a radiologist confirmed
    labelled: bool = False  #: whether it is known which findings are confirmed, even if none is
    impression: str = ""  #: of the radiologist's report, de-identified
    images: tuple[SourceImage, ...] = ()  #: one of each view, to refer to


@dataclass(frozen=True)
class Filter:
    """A filter for cases; an empty value excludes none."""

    since: str = ""  #: first study date, YYYYMMDD
    until: str = ""  #: last study date, YYYYMMDD
    vendor: str = ""
    finding: str = ""  #: flagged or confirmed
    confirmed_only: bool = False  #: the finding, or any if none is named, was confirmed
    patient: str = ""  #: only cases of this patient
    other_than: str = ""  #: only cases of other patients


@dataclass(frozen=True)
class Neighbour:
    """A case with its similarity to the query."""

    case: Case
    similarity: float  #: cosine, -1 to 1


NO_FILTER = Filter()  #: excludes none
