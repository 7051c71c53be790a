"""How much is where, as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from triage.domain.delivery import DeliveryState
from triage.domain.health import HungReason
from triage.domain.study import State


@dataclass(frozen=True)
class Census:
    """The ledger in numbers: what is not there is 0."""

    studies: Mapping[State, int]
    deliveries: Mapping[DeliveryState, int]
    waiting_since: float | None  #: last instance of the READY study that waits longest; None: none
    undelivered_since: float | None = None  #: when the oldest undelivered report was made
    arriving_since: float | None = None  #: first instance of the oldest study that still arrives
    changed_at: float | None = None  #: the newest change of a study; None: there is no study
    #: processes that were killed because they hung, by reason
    killed: Mapping[HungReason, int] = field(default_factory=dict)
