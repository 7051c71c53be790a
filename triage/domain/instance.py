"""A DICOM instance, with the attributes that intake needs."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Identity:
    """The identifiers in the header of an instance (PS3.3 C.12.1)."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str  #: empty if the header has none
    is_image: bool  #: False for reports, presentation states and the like
    cardiac_images: int = 0  #: number of phases of a cine; 0: not stated
    place: str = ""  #: ImagePositionPatient as text; empty if missing
    accession_number: str = ""  #: as stated; empty if missing


@dataclass(frozen=True)
class Source:
    """The sender of an instance."""

    calling_ae: str
    address: str
    association: int = 0  #: number of the open association; 0: not received over one


class ReceiptOutcome(StrEnum):
    """The result of storing an instance in the spool."""

    NEW = "new"
    DUPLICATE = "duplicate"  #: the same bytes were already stored
    CONFLICT = (
        "conflict"  #: other bytes under the same UID; stored separately, the first copy stays
    )


class CorrectedStudy(StrEnum):
    """What happens to other content under a known SOP Instance UID of the same study.

    A PACS that corrects a study, e.g. its PatientID, may send it again under the same UIDs.
    """

    REPORT = "report"  #: the first content is assessed; the later one is kept and reported
    REVISE = "revise"  #: the content that came last is assessed, in a new revision


@dataclass(frozen=True)
class Receipt:
    """The confirmation that an instance is durably stored."""

    identity: Identity
    path: str  #: relative to the spool's root
    digest: str  #: SHA-256 of the Part 10 file, in hexadecimal
    outcome: ReceiptOutcome
