"""One DICOM instance, as far as intake needs to know it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Identity:
    """The identifiers that an instance carries in its own header (PS3.3 C.12.1)."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str  #: empty where the header does not say
    is_image: bool  #: a report, a presentation state and the like are none
    cardiac_images: int = 0  #: how many the cine at its place has (0018,1090); 0: it does not say
    place: str = ""  #: ImagePositionPatient as it was written; empty where there is none


@dataclass(frozen=True)
class Source:
    """Who sent an instance."""

    calling_ae: str
    address: str
    association: int = 0  #: tells associations that are open apart; 0: it came over none


class ReceiptOutcome(StrEnum):
    """What the spool did with an instance."""

    NEW = "new"
    DUPLICATE = "duplicate"  #: the same bytes were there already
    CONFLICT = "conflict"  #: other bytes under the same UID; kept apart, the first copy stays


@dataclass(frozen=True)
class Receipt:
    """The worker's promise that an instance lies on disk."""

    identity: Identity
    path: str  #: relative to the spool's root
    digest: str  #: SHA-256 of the Part 10 file, in hexadecimal
    outcome: ReceiptOutcome
