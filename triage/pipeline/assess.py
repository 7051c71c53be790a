"""Use case: a ready study becomes an assessment and its products.

Rule: a study leaves here in a named state with a reason. What is not for us is declined; what
cannot be finished is released for another try and set aside after the last one; a worker whose
lease was lost changes nothing any more.
"""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from pydantic import TypeAdapter
from pydicom import Dataset

from triage.cases.past_cases import PastCases, SimilarStudies
from triage.crash_points import CrashPoint, mark_reached
from triage.domain.assessment import (
    Answer,
    Assessment,
    Disclosure,
    Flag,
    UsedView,
)
from triage.domain.delivery import Product, plan_routes
from triage.domain.errors import (
    BrokerUnavailable,
    LedgerUnavailable,
    SpoolUnavailable,
    StudyDeclined,
)
from triage.domain.study import Event, StudyRevision
from triage.imaging.clip import FrameSource, trace_frames
from triage.imaging.images import Image
from triage.imaging.rules import SeriesRules, load_rules
from triage.model.out_of_distribution import measure_familiarity
from triage.model.relevance import OccludedClip, choose_relevant_frames, occlude
from triage.pipeline.key_frames import Pictures, key_frames, pictures
from triage.pipeline.leases import keep_alive
from triage.pipeline.model_input import LoadedModel, ModelInput, answer_findings, build_model_input
from triage.pipeline.reconciler import give_up
from triage.ports.encoder import Embedding
from triage.ports.ledger import Ledger
from triage.ports.queue import Queue
from triage.ports.spool import Spool
from triage.reports import build_products
from triage.reports.equipment import Equipment
from triage.reports.key_images import KIND as KEY_IMAGES
from triage.reports.reporting import Reporting
from triage.reports.structured_report import KIND as STRUCTURED_REPORT

log = structlog.get_logger(__name__)
#: A part of a study would be answered with Not Evaluated, in place of a report on all of it.
REMAINS = (
    "{} of {} instances came again after retention had removed them: the report on all of them "
    "stands; send the whole study for another"
)
SUMMARY = TypeAdapter(Assessment)
AWAY_S = 10.0  #: how long a study rests whose images cannot be read now


@dataclass(frozen=True)
class AssessedStudy:
    """What was found out about a study, and what it was found in."""

    assessment: Assessment
    evidence: Sequence[Dataset]  #: headers of all images that the model looked at
    pictures: Pictures
    embedding: Embedding


@dataclass(frozen=True)
class Assessor:
    """Everything that one worker needs to assess studies."""

    spool: Spool
    ledger: Ledger
    queue: Queue
    model: LoadedModel
    equipment: Equipment
    destinations: Mapping[str, Collection[str]]  #: the media types that each takes, by name
    holder: str  #: names this worker process
    lease_s: float
    max_attempts: int
    reports: Sequence[str] = (STRUCTURED_REPORT, KEY_IMAGES)  #: of `REPORTS`
    similar_cases: Disclosure = Disclosure.OPAQUE  #: what reports tell of other patients' cases
    key_frames: int = 3  #: of a flagged finding, at most
    past: PastCases | None = None  #: None: nothing is compared, and nothing kept to compare with
    rules: SeriesRules = field(
        default_factory=load_rules
    )  #: what series are, with the site's own lines

    def assess(self, study_uid: str, revision: int) -> None:
        """Assess a ready study and send its deliveries; a study that is taken is left alone."""
        study = self.ledger.claim(study_uid, revision, self.holder, self.lease_s)
        if study is None:
            log.info("nothing to assess, the work is taken")
            return
        log.info("assessing", instances=study.instances, attempt=study.attempts)
        with keep_alive(lambda: self._renew(study), self.lease_s / 3):
            try:
                looked = self._looked(study)
                reporting = Reporting(
                    looked.assessment,
                    looked.evidence,
                    self.equipment,
                    pictures=looked.pictures,
                    replaced=self.ledger.list_products(study_uid, revision),
                    similar_cases=self.similar_cases,
                )
                made = list(build_products(reporting, self.reports))
            except (
                SpoolUnavailable
            ) as why:  # however long it lasts: nothing is wrong with the study
                self.ledger.move(study, Event.RELEASED, str(why), self.holder, AWAY_S)
                log.warning("released, its images cannot be read", why=str(why))
                return
            except StudyDeclined as why:
                self.ledger.move(study, Event.DECLINED, str(why), self.holder)
                log.info("declined", why=str(why))
                return
            mark_reached(CrashPoint.REPORTED)
            self._finish(study, reporting.assessment, made)
            self._keep(looked)

    def handle_error(self, study_uid: str, revision: int, error: BaseException) -> None:
        """Release a study whose assessment ended with an unforeseen error, or set it aside."""
        study = self.ledger.get_study(study_uid, revision)
        if study is not None:
            why = f"the assessment broke with {type(error).__name__}: {error}"
            give_up(self.ledger, study, why, self.max_attempts, self.holder)

    def _looked(self, study: StudyRevision) -> AssessedStudy:
        model = self.model
        before = self.ledger.count_removed_instances(study.study_uid)
        if study.instances < before:
            raise StudyDeclined(REMAINS.format(study.instances, before))
        paths = self.ledger.list_paths(study.study_uid, study.revision)
        seen = build_model_input(study.study_uid, paths, self.spool.read, model, self.rules)
        # Key frames may be looked for elsewhere: where memory is short, on the fallback.
        identity = model.identity
        answered = self._answers(seen)
        similar = self._similar(study, seen.evidence[0], seen.embedding)
        assessment = Assessment(
            study_uid=study.study_uid,
            revision=study.revision,
            model=identity,
            findings_digest=model.findings.digest,
            inputs_digest=_inputs_digest(seen.images),
            used=seen.used_views,
            missing=seen.missing,
            unused=seen.unused,
            answers=answered,
            similar=similar.cases,
            why_none_similar=similar.why_none,
            familiarity=measure_familiarity(seen.clip, seen.frames, model.bundle),
        )
        form = model.bundle.manifest.clip
        shown = pictures(answered, seen.stacks, form, seen.heart, self.spool.read)
        return AssessedStudy(assessment, seen.evidence, shown, seen.embedding)

    def _similar(
        self, study: StudyRevision, header: Dataset, embedding: Embedding
    ) -> SimilarStudies:
        """Compare with the past; a library elsewhere that is down holds no report up."""
        if self.past is None:
            return SimilarStudies((), "")
        try:
            return self.past.find_similar(study.study_uid, header, embedding)
        except LedgerUnavailable as error:
            log.warning("case library unavailable, reporting without", error=str(error))
            return SimilarStudies((), "not looked for, the case library did not answer")

    def _keep(self, looked: AssessedStudy) -> None:
        """Make the study a case; where that fails, `triage index --spool` does it later."""
        if self.past is None:
            return
        said = looked.assessment
        try:
            self.past.add_study(looked.evidence[0], said.used, said.answers, looked.embedding)
        except LedgerUnavailable as error:
            log.warning("case library unavailable, the study is no case yet", error=str(error))

    def _answers(self, seen: ModelInput) -> tuple[Answer, ...]:
        """Score every finding, and look for the images that made the flags."""
        model, form = self.model, self.model.bundle.manifest.clip
        scored = answer_findings(seen, model)
        if self.key_frames == 0 or all(each.flag is not Flag.YES for each in scored):
            return scored
        began = time.monotonic()
        whence = trace_frames({view: len(each) for view, each in seen.frames.items()}, form)
        away = form.preprocessing.missing
        occluded = occlude(seen.clip, whence, seen.embedding, model.encoder, away)
        log.info("looked for key frames", seconds=round(time.monotonic() - began, 2))
        return tuple(
            self._explained(each, occluded, whence, seen.used_views)
            if each.flag is Flag.YES
            else each
            for each in scored
        )

    def _explained(
        self,
        flagged: Answer,
        occluded: OccludedClip,
        whence: Sequence[FrameSource | None],
        used: Sequence[UsedView],
    ) -> Answer:
        scores = self.model.questions[flagged.finding.id].scores
        found = choose_relevant_frames(occluded, scores, self.key_frames) if scores else []
        return replace(flagged, key_frames=key_frames(found, whence, used))

    def _finish(self, study: StudyRevision, assessment: Assessment, made: list[Product]) -> None:
        summary = SUMMARY.dump_json(assessment).decode()
        due = self.ledger.finish(
            study, self.holder, summary, made, plan_routes(made, self.destinations)
        )
        if due is None:
            log.warning("the lease was lost, another worker has the study")
            return
        flags = {a.finding.id: str(a.flag) for a in assessment.answers}
        log.info(
            "assessed",
            priority=str(assessment.priority),
            flags=flags,
            unfamiliar=assessment.is_unfamiliar,
        )
        self._send(due)

    def _send(self, due: Sequence[int]) -> None:
        """Send after the commit; what the broker does not take, the reconciler sends."""
        mark_reached(CrashPoint.STORED)
        try:
            for delivery_id in due:
                self.queue.enqueue_delivery(delivery_id)
                mark_reached(CrashPoint.DELIVERY_SENT)
                self.ledger.mark_delivery_queued(delivery_id)
        except BrokerUnavailable as error:
            log.warning("broker unavailable, deliveries wait in the ledger", error=str(error))

    def _renew(self, study: StudyRevision) -> None:
        self.ledger.renew(study.study_uid, study.revision, self.holder, self.lease_s)


def read_summary(summary: str) -> Assessment:
    """Return the assessment that the ledger keeps as JSON."""
    return SUMMARY.validate_json(summary)


def _inputs_digest(pictures: Sequence[Image]) -> str:
    """Return the digest of what was there to look at; reports beside the images do not count."""
    uids = sorted(str(image.header.SOPInstanceUID) for image in pictures)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()
