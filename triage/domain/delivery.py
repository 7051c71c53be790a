"""Products, and one delivery per product and destination.

Rule: a delivery is DELIVERED on the destination's own word, PENDING until then (STORED where an
archive has taken it, and has not said yet that it keeps it), and FAILED only after `max_attempts`;
its last answer is always kept. Of a product and its alternatives, which say the same in older SOP
classes, a destination gets one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

DICOM = "application/dicom"
HL7 = "application/hl7-v2+er7"
JSON = "application/json"
TEXT = "text/plain"  #: UTF-8

LONGEST_WAIT_S = 300.0  #: of anything that is tried again, and of any lease


class DeliveryState(StrEnum):
    """Where one delivery stands."""

    PENDING = "PENDING"
    STORED = "STORED"  #: taken, and the archive's word that it keeps it is outstanding
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    #: a later assessment of the same revision made it needless, or a message of a later revision
    SUPERSEDED = "SUPERSEDED"


UNFINISHED = (DeliveryState.PENDING, DeliveryState.STORED)  #: what is not done yet


@dataclass(frozen=True)
class Product:
    """What the worker made of a study. Stored as bytes, sent as those bytes, never rebuilt."""

    kind: str  #: the report's name in its registry, e.g. "structured_report"
    sop_class_uid: str  #: "" for what is no DICOM object
    sop_instance_uid: str  #: what it is known by, also where it is no DICOM object
    content: bytes  #: a DICOM Part 10 file, or a message
    media_type: str = DICOM
    #: the UID of the product in whose place this one goes, where that is not taken
    alternative_to: str = ""


Route = tuple[Product, str]  #: a product, and the name of the destination that it goes to


def plan_routes(
    products: Sequence[Product], destinations: Mapping[str, Collection[str]]
) -> Sequence[Route]:
    """Return which product goes where; `destinations` are the media types taken, by name."""
    return [
        (product, name)
        for product in products
        if not product.alternative_to
        for name, taken in destinations.items()
        if product.media_type in taken
    ]


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
    alternatives: tuple[Product, ...] = ()  #: what may go in its place, the best first

    @property
    def offers(self) -> tuple[Product, ...]:
        """What the destination may choose from, the best first."""
        return (self.product, *self.alternatives)

    @property
    def has_warning(self) -> bool:
        """Whether it was taken with a remark: a warning of C-STORE is 0xBxxx (PS3.4 B.2.3)."""
        return self.state is DeliveryState.DELIVERED and self.last_answer.startswith("0xB")


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that is not tried any more."""

    id: int
    study_uid: str
    revision: int
    destination: str
    kind: str  #: of the product
    attempts: int
    last_answer: str
    at: float  #: seconds since the epoch


@dataclass(frozen=True)
class Acknowledgement:
    """A destination's word that it has taken a product."""

    answer: str  #: e.g. "0x0000 Success", or a warning status that is worth keeping


@dataclass(frozen=True)
class Outage:
    """A destination that does not answer: one delivery at a time is tried, the others wait."""

    destination: str
    since: float  #: seconds since the epoch
    last_answer: str
    again_at: float  #: when it is tried next
    waiting: int  #: deliveries to it that are due or not, the one that is tried among them


#: By how much of itself a pause may be shorter, so that not all come at the same moment.
SPREAD = 0.1


def jitter_s(seconds: float, chance: float) -> float:
    """Return a pause made shorter by chance, which is from 0 to 1; 0 leaves it."""
    return seconds * (1 - SPREAD * chance)


def backoff_s(attempts: int, first_s: float = 5.0, ceiling_s: float = LONGEST_WAIT_S) -> float:
    """Return the seconds to wait after the given number of failed attempts (1 or more)."""
    return float(min(first_s * 2.0 ** (attempts - 1), ceiling_s))
