"""What is known of a study that is arriving, gathered without holding anybody up.

Rule: what takes long (reading headers, asking a PACS) is done aside, and nobody waits for it. A
question is asked of a study at most once in half its quiet time; its answer holds only while
nothing more arrives. A question that is under way, or that failed, is no evidence.
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
from triage.ports.ledger import Ledger

log = structlog.get_logger(__name__)

#: Answers a question about a study; an error is no answer.
Look = Callable[[StudyRevision], ViewCount | ArchiveCount]
Key = tuple[str, int, EvidenceKind]


@dataclass(frozen=True)
class _PendingQuery:
    """A question: when it was asked, and what the study was then."""

    at: float
    last_instance_at: float
    answer: Future[ViewCount | ArchiveCount | None]


@dataclass
class EvidenceCollector:
    """Patience by source, and what is known of a study."""

    ledger: Ledger
    associations: OpenAssociations
    default_policy: CompletenessPolicy
    policies_by_source: Mapping[
        str, CompletenessPolicy
    ]  #: by calling AE title, where it is another one
    queries: Mapping[EvidenceKind, Look]
    executor: Executor
    announcements: Announcements | None = None  #: None: nobody can announce anything
    _asked: dict[Key, _PendingQuery] = field(default_factory=dict)

    def select_policy(self, study: StudyRevision) -> CompletenessPolicy:
        """Return how long to wait for a study, by who sent it."""
        if not self.policies_by_source:
            return self.default_policy
        titles = self.ledger.list_sources(study.study_uid, study.revision)
        return combine_policies(
            self.policies_by_source.get(title, self.default_policy) for title in titles or {""}
        )

    def collect(self, study: StudyRevision, patience: CompletenessPolicy, now: float) -> Evidence:
        """Return what is known of a study now; ask for what may show that it is whole.

        While it grows nothing of it counts, so nothing is looked at: a study may have thousands of
        images, and this is asked every second.
        """
        if not (has_settled(study, now, patience) or is_past_limit(study, now, patience)):
            return Evidence(associations=self.associations.count_sending(study.study_uid))
        views, count = (
            EvidenceKind.VIEWS in patience.accepted_evidence,
            EvidenceKind.COUNT in patience.accepted_evidence,
        )
        stacks = self.ledger.list_stacks(study.study_uid, study.revision) if views else ()
        for sign in select_queries(study, now, patience, stacks):
            self._ask(sign, study, patience.quiet_s / 2, now)
        seen = self._answer(EvidenceKind.VIEWS, study) if views else None
        counted = self._answer(EvidenceKind.COUNT, study) if count else None
        return Evidence(
            associations=self.associations.count_sending(study.study_uid),
            stacks=stacks,
            views=seen if isinstance(seen, ViewCount) else None,
            count=counted if isinstance(counted, ArchiveCount) else None,
            announced=self._announced(study, patience),
        )

    def _announced(
        self, study: StudyRevision, patience: CompletenessPolicy
    ) -> AnnouncedStudy | None:
        if self.announcements is None or EvidenceKind.ANNOUNCED not in patience.accepted_evidence:
            return None
        return self.announcements.find_by_study(study.study_uid)

    def forget_except(self, studies: Iterable[StudyRevision]) -> None:
        """Drop the answers about studies that do not arrive any more."""
        arriving = {(each.study_uid, each.revision) for each in studies}
        self._asked = {key: each for key, each in self._asked.items() if key[:2] in arriving}

    def _ask(self, sign: EvidenceKind, study: StudyRevision, every_s: float, now: float) -> None:
        key = (study.study_uid, study.revision, sign)
        last = self._asked.get(key)
        if last is not None and (not last.answer.done() or 0 <= now - last.at < every_s):
            return
        if sign is EvidenceKind.VIEWS and last is not None and _holds(last, study):
            return  # the same headers say the same again
        answer = self.executor.submit(_looked, self.queries[sign], sign, study)
        self._asked[key] = _PendingQuery(now, study.last_instance_at, answer)

    def _answer(self, sign: EvidenceKind, study: StudyRevision) -> ViewCount | ArchiveCount | None:
        asked = self._asked.get((study.study_uid, study.revision, sign))
        if asked is None or not asked.answer.done() or not _holds(asked, study):
            return None
        return asked.answer.result()


def _holds(asked: _PendingQuery, study: StudyRevision) -> bool:
    return asked.last_instance_at == study.last_instance_at


def _looked(
    look: Look, sign: EvidenceKind, study: StudyRevision
) -> ViewCount | ArchiveCount | None:
    try:
        return look(study)
    except (TriageError, OSError) as error:
        log.warning("no evidence", sign=str(sign), study_uid=study.study_uid, why=str(error))
    except Exception:  # a defect, or a PACS that answers nonsense: it must not end the receiver
        log.exception("no evidence", sign=str(sign), study_uid=study.study_uid)
    return None
