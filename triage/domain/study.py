"""The state machine of a study, as data.

Each revision of a study is in exactly one state. `TRANSITIONS` contains every transition; the
ledger applies it with compare-and-set, and the diagram in the documentation is generated from it.
To add a state or an event, change the table and nothing else here.
"""

from dataclasses import dataclass
from enum import StrEnum

from triage.domain.assessment import Flag, Priority, suggest_priority


class State(StrEnum):
    """The state of one revision of a study."""

    RECEIVING = "RECEIVING"  #: instances arrive
    READY = "READY"  #: judged complete, waits for a worker
    ASSESSING = "ASSESSING"  #: a worker has its lease
    ASSESSED = "ASSESSED"  #: products are stored, deliveries are due
    DELIVERED = "DELIVERED"  #: every destination acknowledged every product
    DECLINED = "DECLINED"  #: not to be assessed, with the reason
    FAILED = "FAILED"  #: set aside, with the reason


class Event(StrEnum):
    """Events of one revision of a study."""

    INSTANCE_RECEIVED = "instance received"
    JUDGED_COMPLETE = "judged complete"
    CLAIMED = "claimed by a worker"
    RELEASED = "released for another try"
    ORPHANED = "left by a worker that fell silent"
    ASSESSED = "assessed"
    DECLINED = "declined"
    SET_ASIDE = "set aside"
    ACKNOWLEDGED = "acknowledged by every destination"
    UNDELIVERABLE = "given up by a destination"
    REPLAYED = "replayed by a person"
    RESENT = "deliveries replayed by a person"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RECEIVING, Event.INSTANCE_RECEIVED): State.RECEIVING,
    (State.RECEIVING, Event.JUDGED_COMPLETE): State.READY,
    (State.READY, Event.INSTANCE_RECEIVED): State.RECEIVING,
    (State.READY, Event.CLAIMED): State.ASSESSING,
    (State.ASSESSING, Event.RELEASED): State.READY,
    (State.ASSESSING, Event.ORPHANED): State.READY,
    (State.ASSESSING, Event.ASSESSED): State.ASSESSED,
    (State.ASSESSING, Event.DECLINED): State.DECLINED,
    (State.ASSESSING, Event.SET_ASIDE): State.FAILED,
    (State.ASSESSED, Event.ACKNOWLEDGED): State.DELIVERED,
    (State.ASSESSED, Event.UNDELIVERABLE): State.FAILED,
    (State.FAILED, Event.REPLAYED): State.READY,
    (State.FAILED, Event.RESENT): State.ASSESSED,
    (State.ASSESSED, Event.RESENT): State.ASSESSED,
    (State.DELIVERED, Event.RESENT): State.ASSESSED,
    (State.DECLINED, Event.REPLAYED): State.READY,
}

#: States in which another instance still joins this revision; in any other it opens the next one.
OPEN = frozenset(s for s, e in TRANSITIONS if e is Event.INSTANCE_RECEIVED)
#: End states: no automatic step follows.
ENDED = frozenset({State.DELIVERED, State.DECLINED, State.FAILED})


class IllegalTransition(ValueError):
    """An event that cannot happen in this state: a defect in the caller."""


def advance(state: State, event: Event) -> State:
    """Return the state that `event` leads to; raise IllegalTransition if there is none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} cannot happen to a study that is {state}") from None


@dataclass(frozen=True)
class StudyRevision:
    """One revision of a study as the ledger knows it; times are seconds since the epoch."""

    study_uid: str
    revision: int
    state: State
    reason: str  #: the reason for this state, as text for `triage status`
    first_instance_at: float
    last_instance_at: float
    instances: int
    attempts: int  #: how often a worker has claimed it
    changed_at: float
    holder: str  #: the worker with its lease; empty without one
    orphaned: int = 0  #: how often its worker fell silent
    pruned_at: float = 0.0  #: when retention removed its images; 0.0: not removed
    accession_number: str = ""  #: as the first instance of the study states it
    flag: Flag | None = None  #: the root flag of its last assessment; None: not assessed

    @property
    def priority(self) -> Priority | None:
        """The suggested reading priority; None: not assessed."""
        return None if self.flag is None else suggest_priority(self.flag)


def draw_diagram() -> str:
    """Return the state machine as a Mermaid diagram, for the documentation."""
    lines = [f"    {a} --> {b}: {event}" for (a, event), b in TRANSITIONS.items()]
    ends = [f"    {state} --> [*]" for state in State if state in ENDED]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.RECEIVING}", *lines, *ends])
