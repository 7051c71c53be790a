"""Products, and one delivery for each product and destination.

A delivery is PENDING until its destination acknowledges the product, then DELIVERED. If the
destination is an archive that is asked for storage commitment, the delivery is STORED after the
C-STORE and DELIVERED once the archive has confirmed commitment. A delivery is FAILED after
`max_attempts` attempts, after UNCLEAR_ATTEMPTS_MAX that the destination may have accepted, or at
once if the destination refused the product for good. The ledger keeps the last answer in any case.
A product may have alternatives with the same content in older SOP classes; a destination gets one
of them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

DICOM = "application/dicom"
HL7 = "application/hl7-v2+er7"
JSON = "application/json"
TEXT = "text/plain"  #: UTF-8

LONGEST_WAIT_S = 300.0  #: longest pause between two attempts, and longest lease
#: Attempts of one delivery that the destination may have accepted, before it is given up.
UNCLEAR_ATTEMPTS_MAX = 5
#: First pause after such an attempt, in seconds: they last longer than the restart of a receiver.
UNCLEAR_PAUSE_S = 30.0


class DeliveryState(StrEnum):
    """The state of one delivery."""

    PENDING = "PENDING"
    STORED = "STORED"  #: stored by an archive that has not confirmed storage commitment yet
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    #: not needed any more: the revision was assessed again, or a later revision sent a message
    SUPERSEDED = "SUPERSEDED"


UNFINISHED = (DeliveryState.PENDING, DeliveryState.STORED)


@dataclass(frozen=True)
class Product:
    """A report on a study. Stored as bytes and sent as those bytes; never built again."""

    kind: str  #: the report's name in its registry, e.g. "structured_report"
    sop_class_uid: str  #: empty if it is no DICOM object
    sop_instance_uid: str  #: identifies it, also if it is no DICOM object
    content: bytes  #: a DICOM Part 10 file, or a message
    media_type: str = DICOM
    #: UID of the product that this one replaces at a destination that does not accept it
    alternative_to: str = ""
    #: when it was made, as its content states, in seconds since the epoch; None: not stored yet
    made_at: float | None = field(default=None, compare=False)


Route = tuple[Product, str]  #: a product, and the name of its destination


def plan_routes(
    products: Sequence[Product], destinations: Mapping[str, Collection[str]]
) -> Sequence[Route]:
    """Return which product goes where; `destinations` maps a name to its media types."""
    return [
        (product, name)
        for product in products
        if not product.alternative_to
        for name, media_types in destinations.items()
        if product.media_type in media_types
    ]


#: Statuses of the class Warning beside 0xBxxx (PS3.7 C.4): optional attributes are not supported,
#: an attribute list error, an attribute value out of range.
WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
WARNING = 0xB000  #: the fixed digit of all other warnings


def is_warning_status(status: int) -> bool:
    """Return whether a DIMSE status is of the class Warning (PS3.7 C.4): stored, with a remark."""
    return status in WARNINGS or status & 0xF000 == WARNING


@dataclass(frozen=True)
class DestinationAnswer:
    """An answer in the form that the ledger stores: `0xHHHH TEXT; COMMITMENT`.

    This class alone writes and reads the form. Only C-STORE gives a status; only an archive that is
    asked for storage commitment gives the last part.
    """

    text: str
    status: int | None = None  #: DIMSE status (PS3.7 annex C)
    commitment: str = ""

    @classmethod
    def parse(cls, stored: str) -> Self:
        """Return the parts of a stored answer."""
        first, _, commitment = stored.partition(";")
        code, _, text = first.partition(" ")
        if re.fullmatch(r"0x[0-9A-F]{4}", code):
            return cls(text, int(code, 16), commitment.strip())
        return cls(first, None, commitment.strip())

    def __str__(self) -> str:
        """Return the stored form."""
        status = [] if self.status is None else [f"0x{self.status:04X}"]
        answer = " ".join([*status, *filter(None, [self.text])])
        return "; ".join(filter(None, [answer, self.commitment]))

    @property
    def is_warning(self) -> bool:
        """Whether the status is of the class Warning (PS3.7 C.4)."""
        return self.status is not None and is_warning_status(self.status)


@dataclass(frozen=True)
class Delivery:
    """One product for one destination."""

    id: int
    study_uid: str
    revision: int
    destination: str
    state: DeliveryState
    attempts: int
    last_answer: str  #: in the form of `DestinationAnswer`, or the message of a failure
    due_at: float  #: seconds since the epoch; not tried before
    product: Product
    alternatives: tuple[Product, ...] = ()  #: may be sent in its place, the best first
    unclear_attempts: int = 0  #: attempts that the destination may have accepted

    @property
    def offers(self) -> tuple[Product, ...]:
        """The products that the destination may choose from, the best first."""
        return (self.product, *self.alternatives)

    @property
    def has_warning(self) -> bool:
        """Whether it was delivered with a warning status."""
        answer = DestinationAnswer.parse(self.last_answer)
        return self.state is DeliveryState.DELIVERED and answer.is_warning


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up."""

    id: int
    study_uid: str
    revision: int
    destination: str
    kind: str  #: of the product
    attempts: int
    last_answer: str
    at: float  #: seconds since the epoch


@dataclass(frozen=True)
class SentDelivery:
    """A delivery that a person may have sent again."""

    id: int
    revision: int
    destination: str
    is_kept: bool  #: False: retention has removed its content


@dataclass(frozen=True)
class ReportedRevision:
    """The latest revision of a study that has reports."""

    study_uid: str
    revision: int
    products: tuple[Product, ...]  #: one of each kind; without content: removed by retention


@dataclass(frozen=True)
class Acknowledgement:
    """A destination's confirmation that it has taken a product."""

    answer: str  #: e.g. "0x0000 Success", or a warning status


@dataclass(frozen=True)
class Outage:
    """A destination that does not answer; one delivery at a time is tried, the others wait."""

    destination: str
    since: float  #: seconds since the epoch
    last_answer: str
    again_at: float  #: time of the next attempt, seconds since the epoch
    waiting: int  #: deliveries to it, including the one that is tried


#: Largest part of a pause that jitter removes, so that not all attempts come at the same moment.
SPREAD = 0.1


def jitter_s(seconds: float, chance: float) -> float:
    """Return a pause shortened by up to 10 %; `chance` is 0 (unchanged) to 1."""
    return seconds * (1 - SPREAD * chance)


def backoff_s(attempts: int, first_s: float = 5.0, ceiling_s: float = LONGEST_WAIT_S) -> float:
    """Return the seconds to wait after the given number of failed attempts (1 or more)."""
    return float(min(first_s * 2.0 ** (attempts - 1), ceiling_s))
