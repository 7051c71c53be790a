"""Decides when a study is complete: evidence plus elapsed time.

The release of an association is no evidence, because senders split a study over associations and
keep associations open. `RULES` is evaluated in order; the first rule that returns a reason decides:

    judge_by_limit          the hard limit is reached, whatever else is going on
    judge_by_announcement   every announced instance has arrived, and nothing else
    judge_by_count          as many instances have arrived as an archive has
    judge_by_views          all views of the model are filled, and every cine stack is full
    judge_by_quiet_time     no instance arrived for `quiet_s` seconds

The middle three complete a study before its quiet time ends; each applies only if the policy
accepts its evidence and no instance arrived for `settle_s` seconds. The last two never apply while
an association that sent instances of the study is open. An announcement that is not fulfilled
vetoes the other evidence, but it never extends the wait beyond quiet time, because announced
instances may never be sent to this worker. To add a rule, write a function and add it to `RULES`.
`triage.pipeline.completeness` collects the evidence.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from triage.domain.announcement import AnnouncedStudy
from triage.domain.reasons import Reason, ReasonCode, because
from triage.domain.study import StudyRevision


class EvidenceKind(StrEnum):
    """Evidence that can show before quiet time that a study is complete."""

    VIEWS = "views"  #: every view of the model is filled, and every cine stack is full
    COUNT = "count"  #: as many instances have arrived as the archive has
    ANNOUNCED = "announced"  #: all instances that a modality or PACS announced have arrived


@dataclass(frozen=True)
class CompletenessPolicy:
    """How long to wait for a study, and which evidence can end the wait."""

    quiet_s: float
    settle_s: float = 3.0  #: evidence counts only if nothing arrived for this time
    limit_s: float = inf  #: the hard limit, after the first instance of a revision
    accepted_evidence: frozenset[EvidenceKind] = frozenset()


@dataclass(frozen=True)
class StackCount:
    """How many images of a series at one position have arrived, and how many it should have."""

    images: int
    expected: int  #: the number of phases that its images state

    @property
    def is_full(self) -> bool:
        """Magnitude and phase images, or a repeated scan, fill a position more than once."""
        return self.images % self.expected == 0


@dataclass(frozen=True)
class ViewCount:
    """How many views of the model a study fills."""

    filled: int
    missing: int


@dataclass(frozen=True)
class ArchiveCount:
    """How many instances of a study an archive has, asked when no more were arriving here."""

    instances: int
    ae_title: str


@dataclass(frozen=True)
class Evidence:
    """Facts about a study besides its times; None if not asked for or not answered."""

    associations: int = 0  #: open associations that sent instances of the study
    stacks: Sequence[StackCount] = ()
    views: ViewCount | None = None
    count: ArchiveCount | None = None
    announced: AnnouncedStudy | None = None

    @property
    def has_missing_instances(self) -> bool:
        """Whether an announced instance has not arrived, or may still be announced."""
        announced = self.announced
        if announced is None:
            return False
        return announced.in_progress or announced.here < announced.instances


NO_EVIDENCE = Evidence()
Rule = Callable[[StudyRevision, float, CompletenessPolicy, Evidence], Reason | None]


def judge_by_limit(
    study: StudyRevision, now: float, policy: CompletenessPolicy, evidence: Evidence
) -> Reason | None:
    """Complete a study at the hard limit."""
    age_s = now - study.first_instance_at
    if 0 <= age_s < policy.limit_s:
        return None
    if age_s < 0:  # the clock was set back; do not wait for it to catch up
        return judge_by_quiet_time(study, now, policy, NO_EVIDENCE)
    remarks = _announcement_remarks(evidence)
    if evidence.associations:
        is_open = because(ReasonCode.ASSOCIATIONS_OPEN, associations=evidence.associations)
        remarks = (is_open, *remarks)
    return because(
        ReasonCode.HARD_LIMIT, *remarks, limit_s=policy.limit_s, instances=study.instances
    )


def judge_by_announcement(
    study: StudyRevision, now: float, policy: CompletenessPolicy, evidence: Evidence
) -> Reason | None:
    """Complete a study with exactly the announced instances, and no step in progress.

    If more instances arrived than were announced, the announcement does not cover the study.
    """
    announced = evidence.announced
    if announced is None or not _accepts(EvidenceKind.ANNOUNCED, study, now, policy):
        return None
    if evidence.has_missing_instances or not 0 < study.instances <= announced.instances:
        return None
    broken_off = (because(ReasonCode.STEP_DISCONTINUED),) if announced.discontinued else ()
    return because(ReasonCode.ALL_ANNOUNCED, *broken_off, announced=announced.instances)


def judge_by_count(
    study: StudyRevision, now: float, policy: CompletenessPolicy, evidence: Evidence
) -> Reason | None:
    """Complete a study with as many instances as the archive has."""
    count = evidence.count
    if count is None or not _accepts(EvidenceKind.COUNT, study, now, policy):
        return None
    if not 0 < count.instances <= study.instances or evidence.has_missing_instances:
        return None
    return because(ReasonCode.ARCHIVE_COUNT, instances=count.instances, archive=count.ae_title)


def judge_by_views(
    study: StudyRevision, now: float, policy: CompletenessPolicy, evidence: Evidence
) -> Reason | None:
    """Complete a study with all views and full cine stacks, if no sender is still connected."""
    views, stacks = evidence.views, evidence.stacks
    if views is None or not _accepts(EvidenceKind.VIEWS, study, now, policy):
        return None
    if views.missing or not views.filled or evidence.associations or not are_full(stacks):
        return None
    if evidence.has_missing_instances:
        return None
    return because(
        ReasonCode.ALL_VIEWS, views=views.filled, stacks=len(stacks), instances=study.instances
    )


def judge_by_quiet_time(
    study: StudyRevision, now: float, policy: CompletenessPolicy, evidence: Evidence
) -> Reason | None:
    """Complete a study if no instance arrived for `quiet_s` seconds and no sender is connected."""
    if not _is_quiet(study, now, policy.quiet_s) or evidence.associations:
        return None
    remarks = _announcement_remarks(evidence)
    count = evidence.count
    if count is not None and count.instances > study.instances:
        has_more = because(
            ReasonCode.ARCHIVE_HAS_MORE, archive=count.ae_title, instances=count.instances
        )
        remarks = (*remarks, has_more)
    return because(
        ReasonCode.QUIET_TIME, *remarks, quiet_s=policy.quiet_s, instances=study.instances
    )


RULES: tuple[Rule, ...] = (
    judge_by_limit,
    judge_by_announcement,
    judge_by_count,
    judge_by_views,
    judge_by_quiet_time,
)


def find_completion(
    study: StudyRevision,
    now: float,
    policy: CompletenessPolicy,
    evidence: Evidence = NO_EVIDENCE,
) -> Reason | None:
    """Return why the study is complete, or None while it is not."""
    reasons = (rule(study, now, policy, evidence) for rule in RULES)
    return next((reason for reason in reasons if reason is not None), None)


def is_past_limit(study: StudyRevision, now: float, policy: CompletenessPolicy) -> bool:
    """Return whether the hard limit is reached, so that the study is taken while it grows."""
    return now - study.first_instance_at >= policy.limit_s


def select_queries(
    study: StudyRevision, now: float, policy: CompletenessPolicy, stacks: Sequence[StackCount]
) -> frozenset[EvidenceKind]:
    """Return the expensive evidence that is worth collecting now.

    Filled views need headers of the whole study, and a count needs a query to an archive.
    """
    if not has_settled(study, now, policy):
        return frozenset()
    expensive = policy.accepted_evidence & {EvidenceKind.VIEWS, EvidenceKind.COUNT}
    return expensive if are_full(stacks) else expensive - {EvidenceKind.VIEWS}


def are_full(stacks: Sequence[StackCount]) -> bool:
    """Return whether there are stacks with a stated number of images, and all are full."""
    return bool(stacks) and all(stack.is_full for stack in stacks)


def combine_policies(policies: Iterable[CompletenessPolicy]) -> CompletenessPolicy:
    """Return the policy for a study of several sources: longest times, evidence of all."""
    every = list(policies)
    return CompletenessPolicy(
        quiet_s=max(policy.quiet_s for policy in every),
        settle_s=max(policy.settle_s for policy in every),
        limit_s=max(policy.limit_s for policy in every),
        accepted_evidence=frozenset.intersection(*(policy.accepted_evidence for policy in every)),
    )


def has_settled(study: StudyRevision, now: float, policy: CompletenessPolicy) -> bool:
    """Return whether nothing has arrived for long enough that evidence counts."""
    return _is_quiet(study, now, min(policy.settle_s, policy.quiet_s))


def _accepts(
    kind: EvidenceKind, study: StudyRevision, now: float, policy: CompletenessPolicy
) -> bool:
    return kind in policy.accepted_evidence and has_settled(study, now, policy)


def _is_quiet(study: StudyRevision, now: float, seconds: float) -> bool:
    return not 0 <= now - study.last_instance_at < seconds  # below 0: the clock was set back


def _announcement_remarks(evidence: Evidence) -> tuple[Reason, ...]:
    """Return how the announcement differs from what has arrived."""
    announced = evidence.announced
    if announced is None:
        return ()
    remarks = []
    if announced.here < announced.instances:
        missing = because(
            ReasonCode.ANNOUNCED_MISSING, received=announced.here, announced=announced.instances
        )
        remarks.append(missing)
    if announced.in_progress:
        remarks.append(because(ReasonCode.STEP_IN_PROGRESS))
    if announced.discontinued:
        remarks.append(because(ReasonCode.STEP_DISCONTINUED))
    return tuple(remarks)
