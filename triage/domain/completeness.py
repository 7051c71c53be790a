"""When is a study complete? Evidence plus elapsed time, never the release of an association.

`RULES` is asked in order and the first answer wins. An answer is the evidence, in words that
`triage status` shows. Quiet time is the floor: before it, only whole evidence counts; after it, a
study waits on while an association that brings it is open; never longer than the hard limit. What
was announced and is not here makes no study wait longer than that, for it may never be sent to us;
but until then no other sign is believed against it. To add a rule, write one function and put it
into the tuple.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from triage.domain.announcement import AnnouncedStudy
from triage.domain.study import StudyRevision


class EvidenceKind(StrEnum):
    """What may show before quiet time that a study is whole."""

    VIEWS = "views"  #: every view of the model is there, and every cine stack is full
    COUNT = "count"  #: as many instances are here as the PACS has
    ANNOUNCED = "announced"  #: all instances that the scanner or PACS announced are here


@dataclass(frozen=True)
class CompletenessPolicy:
    """How long to wait, in seconds, and for what."""

    quiet_s: float
    settle_s: float = 3.0  #: signs count only when nothing arrived for so long
    limit_s: float = inf  #: after the first instance of a revision it is complete in any case
    accepted_evidence: frozenset[EvidenceKind] = frozenset()


@dataclass(frozen=True)
class StackCount:
    """The images of a series at one place that say of how many they are."""

    images: int
    expected: int  #: CardiacNumberOfImages (0018,1090)

    @property
    def is_full(self) -> bool:
        """Magnitude and phase, or a repeated scan, fill a place more than once."""
        return self.images % self.expected == 0


@dataclass(frozen=True)
class ViewCount:
    """How many views of the model a study fills."""

    filled: int
    missing: int


@dataclass(frozen=True)
class ArchiveCount:
    """How many instances of a study a PACS has, asked when no more were arriving here."""

    instances: int
    ae_title: str


@dataclass(frozen=True)
class Evidence:
    """What is known of a study beside its times; None: nobody looked, or no answer came."""

    associations: int = 0  #: that brought instances of it and may bring more
    stacks: Sequence[StackCount] = ()
    views: ViewCount | None = None
    count: ArchiveCount | None = None
    announced: AnnouncedStudy | None = None

    @property
    def has_missing_instances(self) -> bool:
        """Tell whether something is announced that is not here."""
        said = self.announced
        return said is not None and (said.in_progress or said.here < said.instances)


NO_EVIDENCE = Evidence()
Rule = Callable[[StudyRevision, float, CompletenessPolicy, Evidence], str | None]


def overdue(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence
) -> str | None:
    """Complete when the hard limit is reached, whatever is still going on."""
    age_s = now - study.first_instance_at
    if 0 <= age_s < patience.limit_s:  # below 0: the clock was set back, do not wait for it
        return None
    if age_s < 0:
        return quiet(study, now, patience, NO_EVIDENCE)
    held = f"; {_still_open(known)}" if known.associations else ""
    return (
        f"at the limit of {patience.limit_s:g} s after its first instance, "
        f"with {study.instances} instances{held}{_announced_otherwise(known)}"
    )


def announced(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence
) -> str | None:
    """Complete when all that was announced is here, and nothing else; and no step is in progress.

    Where more has come than was announced, the announcement did not know of all that is sent.
    """
    said = known.announced
    if (
        EvidenceKind.ANNOUNCED not in patience.accepted_evidence
        or said is None
        or not has_settled(study, now, patience)
    ):
        return None
    if known.has_missing_instances or not 0 < study.instances <= said.instances:
        return None
    broken_off = "; a procedure step was discontinued" if said.discontinued else ""
    return f"all {said.instances} announced instances are here{broken_off}"


def counted(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence
) -> str | None:
    """Complete when as many instances are here as the PACS has."""
    count = known.count
    if (
        EvidenceKind.COUNT not in patience.accepted_evidence
        or count is None
        or not has_settled(study, now, patience)
    ):
        return None
    if not 0 < count.instances <= study.instances or known.has_missing_instances:
        return None
    return f"all {count.instances} instances that {count.ae_title} has are here"


def viewed(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence
) -> str | None:
    """Complete when every view is filled, every stack is full, and nobody is about to send more."""
    views, stacks = known.views, known.stacks
    if (
        EvidenceKind.VIEWS not in patience.accepted_evidence
        or views is None
        or not has_settled(study, now, patience)
    ):
        return None
    if views.missing or not views.filled or known.associations or not are_full(stacks):
        return None
    if known.has_missing_instances:
        return None
    return (
        f"all {views.filled} views are there and all {len(stacks)} cine stacks are full, "
        f"after {study.instances} instances"
    )


def quiet(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence
) -> str | None:
    """Complete when no instance arrived for `quiet_s` seconds and none is about to."""
    if not _silent(study, now, patience.quiet_s) or known.associations:
        return None
    why = f"quiet for {patience.quiet_s:g} s after {study.instances} instances"
    why += _announced_otherwise(known)
    if known.count is not None and known.count.instances > study.instances:
        return f"{why}, though {known.count.ae_title} has {known.count.instances}"
    return why


RULES: tuple[Rule, ...] = (overdue, announced, counted, viewed, quiet)


def evidence(
    study: StudyRevision, now: float, patience: CompletenessPolicy, known: Evidence = NO_EVIDENCE
) -> str | None:
    """Return why the study is complete, or None while it is not."""
    return next((why for rule in RULES if (why := rule(study, now, patience, known))), None)


def is_past_limit(study: StudyRevision, now: float, patience: CompletenessPolicy) -> bool:
    """Tell whether the study has to be taken as it is, even while it grows."""
    return now - study.first_instance_at >= patience.limit_s


def select_queries(
    study: StudyRevision, now: float, patience: CompletenessPolicy, stacks: Sequence[StackCount]
) -> frozenset[EvidenceKind]:
    """Return the signs that are worth a question now, of those that are dear to ask for."""
    if not has_settled(study, now, patience):
        return frozenset()
    asked = patience.accepted_evidence & {EvidenceKind.VIEWS, EvidenceKind.COUNT}
    return asked if are_full(stacks) else asked - {EvidenceKind.VIEWS}


def are_full(stacks: Sequence[StackCount]) -> bool:
    """Tell whether there are stacks that say how many images they have, and all have them."""
    return bool(stacks) and all(stack.is_full for stack in stacks)


def combine_policies(patiences: Iterable[CompletenessPolicy]) -> CompletenessPolicy:
    """Return the patience with a study of several sources: the longest times, the signs of all."""
    every = list(patiences)
    return CompletenessPolicy(
        quiet_s=max(each.quiet_s for each in every),
        settle_s=max(each.settle_s for each in every),
        limit_s=max(each.limit_s for each in every),
        accepted_evidence=frozenset.intersection(*(each.accepted_evidence for each in every)),
    )


def _silent(study: StudyRevision, now: float, seconds: float) -> bool:
    return not 0 <= now - study.last_instance_at < seconds  # below 0: the clock was set back


def has_settled(study: StudyRevision, now: float, patience: CompletenessPolicy) -> bool:
    """Tell whether nothing has arrived for long enough that evidence counts."""
    return _silent(study, now, min(patience.settle_s, patience.quiet_s))


def _still_open(known: Evidence) -> str:
    return f"{known.associations} association(s) that brought some still open"


def _announced_otherwise(known: Evidence) -> str:
    """Return what was announced, where that is not what is here."""
    said = known.announced
    if said is None:
        return ""
    words = [f"{said.here} of {said.instances} announced are here"] * (said.here < said.instances)
    words += ["a procedure step is in progress"] * said.in_progress
    words += ["a procedure step was discontinued"] * said.discontinued
    return "".join(f"; {each}" for each in words)
