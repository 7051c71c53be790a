"""Collects the evidence that an arriving study is complete.

How a study that arrives over two associations is judged complete:

1. Intake notes each stored instance with its association, so the study has two open associations
   (`OpenAssociations`). They are forgotten when the receiver restarts; the reconciler then waits
   for the quiet time again. Once a second the reconciler asks `EvidenceCollector` for
   evidence and passes it to `triage.domain.completeness.find_completion`.
2. While instances arrive, nothing is collected except the number of open associations: a study may
   have thousands of images, and no evidence counts before it has settled.
3. After `settle_s` seconds without a new instance, the collector starts the expensive queries in
   the background: which views are filled (reads headers) and how many instances the archive has
   (C-FIND). The answers are used at a later tick. If all announced instances, or as many as the
   archive has, have arrived, the study is complete although an association may still be open. If
   all views are filled, it is complete once no association is open. While announced instances are
   missing or a step is in progress, the other evidence does not count.
4. Without such evidence the study is complete after `quiet_s` seconds without a new instance, once
   both associations have ended or turned to another study. A new instance starts the quiet time
   again, and makes the answers of step 3 void.
5. At the hard limit `limit_s` after its first instance the study is complete in any case, even if
   an association stays open and keeps sending.

An instance that arrives later opens the next revision of the study. A query that is running or has
failed is no evidence. A study is queried at most once in half its quiet time.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

import structlog

from triage.domain.announcement import AnnouncedStudy
from triage.domain.completeness import (
    ArchiveCount,
    CompletenessPolicy,
    Evidence,
    EvidenceKind,
    ViewCount,
    combine_policies,
    has_settled,
    is_past_limit,
    select_queries,
)
from triage.domain.errors import TriageError
from triage.domain.study import StudyRevision
from triage.pipeline.open_associations import OpenAssociations
from triage.ports.announcements import Announcements
from triage.ports.instances import InstanceLedger

log = structlog.get_logger(__name__)

#: Answers a question about a study; an exception is no answer.
Query = Callable[[StudyRevision], ViewCount | ArchiveCount]
Key = tuple[str, int, EvidenceKind]  #: Study Instance UID, revision, kind


@dataclass(frozen=True)
class _PendingQuery:
    """A query that was started, and the state of the study at that time."""

    at: float
    last_instance_at: float
    answer: Future[ViewCount | ArchiveCount | None]


@dataclass
class EvidenceCollector:
    """Selects the policy for a study by its sources, and collects evidence about it."""

    ledger: InstanceLedger
    associations: OpenAssociations
    default_policy: CompletenessPolicy
    policies_by_source: Mapping[str, CompletenessPolicy]  #: by calling AE title
    queries: Mapping[EvidenceKind, Query]
    executor: Executor  #: runs queries, so that no tick waits for them
    announcements: Announcements | None = None  #: None: announcements are not received
    _pending: dict[Key, _PendingQuery] = field(default_factory=dict)

    def select_policy(self, study: StudyRevision) -> CompletenessPolicy:
        """Return the policy for a study, combined from those of all its sources."""
        if not self.policies_by_source:
            return self.default_policy
        titles = self.ledger.list_sources(study.study_uid, study.revision) or {""}
        return combine_policies(
            self.policies_by_source.get(title, self.default_policy) for title in titles
        )

    def collect(self, study: StudyRevision, policy: CompletenessPolicy, now: float) -> Evidence:
        """Return the evidence that is known now, and start queries for more."""
        if not (has_settled(study, now, policy) or is_past_limit(study, now, policy)):
            return Evidence(associations=self.associations.count_sending(study.study_uid))
        wants_views = EvidenceKind.VIEWS in policy.accepted_evidence
        stacks = self.ledger.list_stacks(study.study_uid, study.revision) if wants_views else ()
        for kind in select_queries(study, now, policy, stacks):
            self._start_query(kind, study, policy.quiet_s / 2, now)
        views = self._find_answer(EvidenceKind.VIEWS, study, policy)
        count = self._find_answer(EvidenceKind.COUNT, study, policy)
        return Evidence(
            associations=self.associations.count_sending(study.study_uid),
            stacks=stacks,
            views=views if isinstance(views, ViewCount) else None,
            count=count if isinstance(count, ArchiveCount) else None,
            announced=self._find_announced(study, policy),
        )

    def _find_announced(
        self, study: StudyRevision, policy: CompletenessPolicy
    ) -> AnnouncedStudy | None:
        if self.announcements is None or EvidenceKind.ANNOUNCED not in policy.accepted_evidence:
            return None
        return self.announcements.find_by_study(study.study_uid)

    def forget_except(self, studies: Iterable[StudyRevision]) -> None:
        """Drop the queries about studies that are not among those still arriving."""
        arriving = {(study.study_uid, study.revision) for study in studies}
        self._pending = {key: query for key, query in self._pending.items() if key[:2] in arriving}

    def _start_query(
        self, kind: EvidenceKind, study: StudyRevision, every_s: float, now: float
    ) -> None:
        key = (study.study_uid, study.revision, kind)
        last = self._pending.get(key)
        if last is not None and (not last.answer.done() or 0 <= now - last.at < every_s):
            return
        if kind is EvidenceKind.VIEWS and last is not None and _is_valid(last, study):
            return  # the same headers would give the same answer
        answer = self.executor.submit(_run_query, self.queries[kind], kind, study)
        self._pending[key] = _PendingQuery(now, study.last_instance_at, answer)

    def _find_answer(
        self, kind: EvidenceKind, study: StudyRevision, policy: CompletenessPolicy
    ) -> ViewCount | ArchiveCount | None:
        query = self._pending.get((study.study_uid, study.revision, kind))
        if kind not in policy.accepted_evidence or query is None:
            return None
        is_usable = query.answer.done() and _is_valid(query, study)
        return query.answer.result() if is_usable else None


def _is_valid(query: _PendingQuery, study: StudyRevision) -> bool:
    """Return whether nothing has arrived since the query was started."""
    return query.last_instance_at == study.last_instance_at


def _run_query(
    query: Query, kind: EvidenceKind, study: StudyRevision
) -> ViewCount | ArchiveCount | None:
    try:
        return query(study)
    except (TriageError, OSError) as error:
        log.warning("no evidence", evidence=str(kind), study_uid=study.study_uid, why=str(error))
    except Exception:  # a defect, or a PACS that answers nonsense: it must not end the receiver
        log.exception("no evidence", evidence=str(kind), study_uid=study.study_uid)
    return None
