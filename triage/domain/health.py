"""The health of a site: its parts, what each reports, and from which limits on it is ill.

WELL means that the part does its work, DEGRADED that work waits or comes late, and ILL that studies
are refused, or wait until a person helps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from triage.domain.incident import IncidentKind

BEAT_S = 5.0  #: between two heartbeats of a process
LATE_S = 60.0  #: age of the last heartbeat from which on a process is missing
FORGOTTEN_S = 86_400.0  #: age at which the record of a missing process is removed
WAITING_LONG_S = 1800.0  #: age of the oldest study in the queue
UNDELIVERED_LONG_S = 3600.0  #: age of the oldest report that is not delivered
CLOCK_BEHIND_S = 60.0  #: by which the clock of this machine may be behind the ledger
FEW_FLOORS = 2  #: the disk is short below so many times the floor of back-pressure


class Condition(StrEnum):
    """How a part is, from best to worst."""

    WELL = "well"
    DEGRADED = "degraded"
    ILL = "ill"


class HungReason(StrEnum):
    """Why a process that runs counts as hung and is killed.

    The values are labels of the metric `triage_processes_killed`; never change one.
    """

    SILENT = "no sign of life"  #: it is stopped, or one call holds the interpreter lock
    STALLED = "no progress"  #: the thread that does its work
    LISTENER_ENDED = "a listener has ended"

    @property
    def incident(self) -> IncidentKind:
        """Return the kind of the incident that is reported for this reason."""
        return HANGS[self]


HANGS = {
    HungReason.SILENT: IncidentKind.PROCESS_SILENT,
    HungReason.STALLED: IncidentKind.PROCESS_STALLED,
    HungReason.LISTENER_ENDED: IncidentKind.LISTENER_ENDED,
}


class Role(StrEnum):
    """The work of a process."""

    RECEIVE = "receive"
    ASSESS = "assess"
    DELIVER = "deliver"
    BOTH = "assess and deliver"
    WEB = "web"


@dataclass(frozen=True)
class Heartbeat:
    """The last report of a process; times are seconds since the epoch."""

    machine: str
    pid: int
    role: Role
    started_at: float
    beat_at: float
    listening_since: float = 0.0  #: 0.0: it does not receive


@dataclass(frozen=True)
class PartHealth:
    """The health of one part."""

    part: str
    condition: Condition
    detail: str  #: one sentence for a person
    facts: Mapping[str, object] = field(default_factory=dict)  #: the same for a program


def find_worst(parts: Sequence[PartHealth]) -> Condition:
    """Return the worst condition among the parts."""
    order = list(Condition)
    return max((part.condition for part in parts), key=order.index, default=Condition.WELL)


def is_missing(beat: Heartbeat, others: Sequence[Heartbeat], now: float) -> bool:
    """Return whether a process is late and no process of its role has started since.

    A process that was killed is replaced by its supervisor under another process id.
    """
    if now - beat.beat_at <= LATE_S:
        return False
    return not any(o.role is beat.role and o.started_at > beat.beat_at for o in others)


def list_roles(beats: Sequence[Heartbeat], now: float) -> set[Role]:
    """Return the kinds of work that a process does at present."""
    found = {beat.role for beat in beats if now - beat.beat_at <= LATE_S}
    return found | {Role.ASSESS, Role.DELIVER} if Role.BOTH in found else found
