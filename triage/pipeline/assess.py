"""Use case: turn a READY study into an assessment and its products.

Every attempt ends in a named state with a reason. A study that is not for this worker is DECLINED;
an unforeseen error releases it for another attempt, and the last one sets it aside
(`triage.pipeline.attempts`). A worker that has lost its lease changes nothing.
"""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol

import structlog
from pydantic import TypeAdapter
from pydicom import Dataset

from triage.cases.past_cases import PastCases, SimilarStudies
from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.patient import list_spellings
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
    ImagesMissing,
    LedgerUnavailable,
    SpoolUnavailable,
    StudyDeclined,
)
from triage.domain.reasons import Reason, ReasonCode, because
from triage.domain.study import Event, StudyRevision
from triage.imaging.clip import FrameSource, trace_frames
from triage.imaging.images import Image
from triage.imaging.rules import SeriesRules, load_rules
from triage.model.relevance import OccludedClip, choose_relevant_frames, occlude
from triage.pipeline.answers import answer_findings
from triage.pipeline.attempts import give_up
from triage.pipeline.key_frames import Pictures, illustrate, list_key_frames, render_key_frames
from triage.pipeline.leases import keep_alive
from triage.pipeline.model_input import LoadedModel, ModelInput, build_model_input
from triage.ports.clock import Clock
from triage.ports.deliveries import DeliveryLedger
from triage.ports.encoder import Embedding
from triage.ports.instances import InstanceLedger
from triage.ports.queue import Queue
from triage.ports.spool import Spool
from triage.ports.studies import StudyLedger
from triage.reports import build_products
from triage.reports.equipment import Equipment
from triage.reports.key_images import KIND as KEY_IMAGES
from triage.reports.reporting import Reporting
from triage.reports.structured_report import KIND as STRUCTURED_REPORT
from triage.telemetry.progress import note_progress

log = structlog.get_logger(__name__)

SUMMARY = TypeAdapter(Assessment)  #: the form in which the ledger stores an assessment, as JSON
AWAY_S = 10.0  #: pause before another attempt while the object store is unavailable


class AssessorLedger(InstanceLedger, StudyLedger, DeliveryLedger, Protocol):
    """The ports of the ledger that assessing needs."""


@dataclass(frozen=True)
class AssessedStudy:
    """An assessment with the material for its reports."""

    assessment: Assessment
    evidence: Sequence[Dataset]  #: headers of all images that the model was given
    pictures: Pictures
    embedding: Embedding
    remarks: tuple[Reason, ...] = ()  #: for the history of the study


@dataclass(frozen=True)
class Assessor:
    """Assesses studies for one worker."""

    spool: Spool
    ledger: AssessorLedger
    queue: Queue
    clock: Clock
    model: LoadedModel
    equipment: Equipment
    destinations: Mapping[str, Collection[str]]  #: accepted media types by destination
    holder: str  #: identifies this worker process in leases
    lease_s: float
    max_attempts: int
    reports: Sequence[str] = (STRUCTURED_REPORT, KEY_IMAGES)  #: names in the report registry
    similar_cases: Disclosure = Disclosure.OPAQUE  #: what reports disclose of other patients' cases
    key_frames: int = 3  #: most key frames of a flagged finding
    past: PastCases | None = None  #: None: no case library
    #: how series are recognised, including the site's own rules
    rules: SeriesRules = field(default_factory=load_rules)
    zone: tzinfo = UTC  #: time zone of the site, in which reports state their times

    def assess(self, study_uid: str, revision: int) -> None:
        """Assess a READY study and send its deliveries; do nothing if it is leased."""
        study = self.ledger.claim(study_uid, revision, self.holder, self.lease_s)
        if study is None:
            log.info("nothing to assess, the work is taken")
            return
        log.info("assessing", instances=study.instances, attempt=study.attempts)
        with keep_alive(lambda: self._renew(study), self.lease_s / 3):
            try:
                assessed = self._assess_images(study)
                reporting = self._prepare_reports(study, assessed)
                made = list(build_products(reporting, self.reports))
            except SpoolUnavailable as error:  # the study itself is fine
                self._release(study, error)
                return
            except StudyDeclined as error:
                self.ledger.move(study, Event.DECLINED, str(error.reason), self.holder)
                log.info("declined", code=error.reason.code, why=str(error.reason))
                return
            mark_reached(CrashPoint.REPORTED)
            self._finish(study, reporting.assessment, made, assessed.remarks)
            self._add_case(assessed)

    def handle_error(self, study_uid: str, revision: int, error: BaseException) -> None:
        """Release a study after an unforeseen error, or set it aside after the last attempt."""
        study = self.ledger.get_study(study_uid, revision)
        if study is not None:
            what = f"{type(error).__name__}: {error}"
            give_up(self.ledger, study, what, self.max_attempts, self.holder)

    def _release(self, study: StudyRevision, error: SpoolUnavailable) -> None:
        reason = because(ReasonCode.IMAGES_UNAVAILABLE, error=error)
        self.ledger.move(study, Event.RELEASED, str(reason), self.holder, AWAY_S)
        log.warning("released, its images cannot be read", why=str(error))

    def _assess_images(self, study: StudyRevision) -> AssessedStudy:
        model = self.model
        self._decline_remainder(study)
        paths = self.ledger.list_paths(study.study_uid, study.revision)
        seen = build_model_input(study.study_uid, paths, self._read_image, model, self.rules)
        # Before the key frames, which may run on another execution provider if memory is short.
        identity = model.identity
        judged = answer_findings(seen, model)
        answers = self._find_key_frames(judged.answers, seen)
        similar = self._find_similar(study, seen.evidence[0], seen.embedding)
        assessment = Assessment(
            study_uid=study.study_uid,
            revision=study.revision,
            model=identity,
            findings_digest=model.findings.digest,
            inputs_digest=_digest_inputs(seen.images),
            used=seen.used_views,
            missing=seen.missing,
            unused=seen.unused,
            answers=answers,
            similar=similar.cases,
            why_none_similar=similar.why_none,
            familiarity=judged.familiarity,
            silence=judged.silence,
            mark=model.mark_unfamiliar,
            trial=judged.trial,
        )
        form = model.bundle.manifest.clip
        pictures = render_key_frames(answers, seen.stacks, form, seen.heart, self._read_image)
        remarks = (*_name_remarks(seen.evidence), *seen.remarks)
        return AssessedStudy(assessment, seen.evidence, pictures, seen.embedding, remarks)

    def _read_image(self, path: str) -> bytes:
        try:
            return self.spool.read(path)
        except FileNotFoundError:
            raise ImagesMissing(
                f"{path} is not in the spool any more: send the whole study again, then replay it"
            ) from None

    def _decline_remainder(self, study: StudyRevision) -> None:
        """Decline a part of a study that retention removed and that was sent again.

        Its report would state Not Evaluated and replace the report on the whole study.
        """
        before = self.ledger.count_removed_instances(study.study_uid)
        if study.instances < before:
            raise StudyDeclined(
                because(ReasonCode.MOSTLY_REMOVED, instances=study.instances, before=before)
            )

    def _prepare_reports(self, study: StudyRevision, assessed: AssessedStudy) -> Reporting:
        """Return what the reports are built from; its assessment discloses what the site allows."""
        note_progress()
        return Reporting(
            assessed.assessment,
            assessed.evidence,
            self.equipment,
            pictures=assessed.pictures,
            replaced=self.ledger.list_products(study.study_uid, study.revision),
            similar_cases=self.similar_cases,
            made_at=datetime.fromtimestamp(self.clock.now(), self.zone),
        )

    def _find_similar(
        self, study: StudyRevision, header: Dataset, embedding: Embedding
    ) -> SimilarStudies:
        """Compare with past cases; a case library that is down does not delay the report."""
        if self.past is None:
            return SimilarStudies((), "")
        try:
            return self.past.find_similar(study.study_uid, header, embedding)
        except LedgerUnavailable as error:
            log.warning("case library unavailable, reporting without", error=str(error))
            return SimilarStudies((), "not searched: the case library did not answer")

    def _add_case(self, assessed: AssessedStudy) -> None:
        """Add the study to the case library; if that fails, `triage index --spool` can later."""
        if self.past is None:
            return
        used, answers = assessed.assessment.used, assessed.assessment.answers
        try:
            self.past.add_study(assessed.evidence[0], used, answers, assessed.embedding)
        except LedgerUnavailable as error:
            log.warning("case library unavailable, the study is no case yet", error=str(error))

    def _find_key_frames(self, answers: tuple[Answer, ...], seen: ModelInput) -> tuple[Answer, ...]:
        """Return the answers with the key frames of those that are flagged."""
        model, form = self.model, self.model.bundle.manifest.clip
        if self.key_frames == 0 or all(answer.flag is not Flag.YES for answer in answers):
            return answers
        began = time.monotonic()
        origins = trace_frames({view: len(frames) for view, frames in seen.frames.items()}, form)
        missing = form.preprocessing.missing
        occluded = occlude(seen.clip, origins, seen.embedding, model.encoder, missing)
        log.info("key frames found", seconds=round(time.monotonic() - began, 2))
        return tuple(
            self._add_key_frames(answer, occluded, origins, seen.used_views)
            if answer.flag is Flag.YES
            else answer
            for answer in answers
        )

    def _add_key_frames(
        self,
        flagged: Answer,
        occluded: OccludedClip,
        origins: Sequence[FrameSource | None],
        used: Sequence[UsedView],
    ) -> Answer:
        scores, own = self.model.questions[flagged.finding.id].scores, flagged.views
        found = choose_relevant_frames(occluded, scores, own, self.key_frames) if scores else []
        return illustrate(flagged, list_key_frames(found, origins, used))

    def _finish(
        self,
        study: StudyRevision,
        assessment: Assessment,
        made: list[Product],
        remarks: Sequence[Reason],
    ) -> None:
        summary = SUMMARY.dump_json(assessment).decode()
        routes = plan_routes(made, self.destinations)
        due = self.ledger.finish(
            study, self.holder, summary, made, routes, assessment.flag, remarks
        )
        if due is None:
            log.warning("the lease was lost, another worker has the study")
            return
        log.info(
            "assessed",
            priority=str(assessment.priority),
            flags={answer.finding.id: str(answer.flag) for answer in assessment.answers},
            unfamiliar=assessment.is_unfamiliar,
        )
        self._send_deliveries(due)

    def _send_deliveries(self, due: Sequence[int]) -> None:
        """Send tasks after the commit; the reconciler sends those that the broker did not take."""
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
    """Return the assessment that the ledger stores as JSON."""
    return SUMMARY.validate_json(summary)


def _name_remarks(evidence: Sequence[Dataset]) -> list[Reason]:
    """Return a remark if one patient's name is spelled in several ways, without naming anyone."""
    spellings = len(list_spellings(evidence))
    return [because(ReasonCode.SPELLINGS, spellings=spellings)] if spellings > 1 else []


def _digest_inputs(images: Sequence[Image]) -> str:
    """Return the SHA-256 over the sorted SOP Instance UIDs of all images of a study."""
    uids = sorted(str(image.header.SOPInstanceUID) for image in images)
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()
