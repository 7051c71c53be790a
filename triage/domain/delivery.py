"""Products, and one delivery per product and destination.

Rule: a delivery is DELIVERED on the destination's own word, PENDING until then, and FAILED only
after `max_attempts`; its last answer is always kept.
"""

from dataclasses import dataclass
from enum import StrEnum

DICOM = "application/dicom"


class DeliveryState(StrEnum):
    """Where one delivery stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"  #: a later assessment of the same revision made it needless


@dataclass(frozen=True)
class Product:
    """What the worker made of a study. Stored as bytes, sent as those bytes, never rebuilt."""

    kind: str  #: the report's name in its registry, e.g. "structured_report"
    sop_class_uid: str  #: "" for what is no DICOM object
    sop_instance_uid: str  #: what it is known by, also where it is no DICOM object
    content: bytes  #: a DICOM Part 10 file, or a message
    media_type: str = DICOM


@dataclass(frozen=True)
class Delivery:
    """One product on its way to one destination."""

    id: int
    study_uid: str
    revision: int
    destination: str
    state: DeliveryState
    attempts: int
    last_answer: str
    due_at: float  #: seconds since the epoch; not tried before
    product: Product


@dataclass(frozen=True)
class Acknowledgement:
    """A destination's word that it has taken a product."""

    answer: str  #: e.g. "0x0000 Success", or a warning status that is worth keeping


def backoff_s(attempts: int, first_s: float = 5.0, ceiling_s: float = 300.0) -> float:
    """Return the seconds to wait after the given number of failed attempts (1 or more)."""
    return float(min(first_s * 2.0 ** (attempts - 1), ceiling_s))
