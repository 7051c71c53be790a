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

from triage.cases.past import Past
from triage.domain.assessment import (
    Answer,
    Assessment,
    Disclosure,
    Flag,
    MissingView,
    ModelIdentity,
    SimilarCase,
    SourceImage,
    UnusedStack,
    UsedView,
)
from triage.domain.delivery import Product, routes
from triage.domain.errors import BrokerUnavailable, DamagedInstance, StudyDeclined
from triage.domain.finding import FindingSet
from triage.domain.study import Event, StudyRevision
from triage.imaging.clip import Origin, heart_centre, join, origins, view_frames
from triage.imaging.header import is_image_class, read_header
from triage.imaging.images import Image
from triage.imaging.rules import Rules, load_rules
from triage.imaging.series import Chosen, select_views, why_declined
from triage.key_frames import Pictures, key_frames, pictures
from triage.lease import kept_alive
from triage.model.bundle import Bundle
from triage.model.familiarity import familiarity
from triage.model.prompts import PromptEmbeddings
from triage.model.relevance import Occluded, makers, occlude
from triage.model.scoring import answer
from triage.ports import Embedding, Encoder, Frames, Ledger, Queue, Spool
from triage.reconcile import give_up
from triage.reports import products
from triage.reports.equipment import Equipment
from triage.reports.header import refuse_two_patients
from triage.reports.key_images import KIND as KEY_IMAGES
from triage.reports.reporting import Reporting
from triage.reports.structured_report import KIND as STRUCTURED_REPORT

log = structlog.get_logger(__name__)
SUMMARY = TypeAdapter(Assessment)


@dataclass(frozen=True)
class Model:
    """A bundle, ready to answer."""

    bundle: Bundle
    encoder: Encoder
    findings: FindingSet
    prompts: PromptEmbeddings

    @property
    def identity(self) -> ModelIdentity:
        """Which model speaks."""
        manifest = self.bundle.manifest
        return ModelIdentity(
            name=manifest.name,
            version=manifest.version,
            digest=self.bundle.digest,
            trained=manifest.trained,
            intended_use=manifest.intended_use,
            execution_provider=self.encoder.execution_provider,
        )


@dataclass(frozen=True)
class Looked:
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
    model: Model
    equipment: Equipment
    destinations: Mapping[str, Collection[str]]  #: the media types that each takes, by name
    holder: str  #: names this worker process
    lease_s: float
    max_attempts: int
    reports: Sequence[str] = (STRUCTURED_REPORT, KEY_IMAGES)  #: of `REPORTS`
    similar_cases: Disclosure = Disclosure.OPAQUE  #: what reports tell of other patients' cases
    key_frames: int = 3  #: of a flagged finding, at most
    past: Past | None = None  #: None: nothing is compared, and nothing kept to compare with
    rules: Rules = field(default_factory=load_rules)  #: what series are, with the site's own lines

    def assess(self, study_uid: str, revision: int) -> None:
        """Assess a ready study and send its deliveries; a study that is taken is left alone."""
        study = self.ledger.claim(study_uid, revision, self.holder, self.lease_s)
        if study is None:
            log.info("nothing to assess, the work is taken")
            return
        log.info("assessing", instances=study.instances, attempt=study.attempts)
        with kept_alive(lambda: self._renew(study), self.lease_s / 3):
            try:
                looked = self._looked(study)
                reporting = Reporting(
                    looked.assessment,
                    looked.evidence,
                    self.equipment,
                    pictures=looked.pictures,
                    replaced=self.ledger.products(study_uid, revision),
                    similar_cases=self.similar_cases,
                )
                made = list(products(reporting, self.reports))
            except StudyDeclined as why:
                self.ledger.move(study, Event.DECLINED, str(why), self.holder)
                log.info("declined", why=str(why))
                return
            if self.past is not None:
                self.past.keep(looked.assessment, looked.evidence[0], looked.embedding)
            self._finish(study, reporting.assessment, made)

    def broke(self, study_uid: str, revision: int, error: BaseException) -> None:
        """Release a study whose assessment ended with an unforeseen error, or set it aside."""
        study = self.ledger.study(study_uid, revision)
        if study is not None:
            why = f"the assessment broke with {type(error).__name__}: {error}"
            give_up(self.ledger, study, why, self.max_attempts, self.holder)

    def _looked(self, study: StudyRevision) -> Looked:
        images, unreadable = self._images(study)
        views = [slot.view for slot in self.model.bundle.manifest.layout]
        refuse_two_patients([image.header for image in _pictures(images)], study.study_uid)
        selection = select_views(images, views, self.rules)
        if (why := why_declined(images, selection)) is not None:
            raise StudyDeclined(why)
        frames, undecodable = self._frames(selection.used)
        used = tuple(chosen for chosen in selection.used if chosen.view in frames)
        if not used:
            raise StudyDeclined(
                "no view can be decoded: " + "; ".join(m.reason for m in undecodable)
            )
        views_used = tuple(_used_view(chosen) for chosen in used)
        form, heart = self.model.bundle.manifest.clip, heart_centre(selection.used)
        clip = join(frames, form)
        embedding = self.model.encoder.encode_clip(clip)
        answers = self._answers(frames, clip, embedding, views_used)
        evidence = {
            str(image.header.SOPInstanceUID): image.header
            for chosen in used
            for image in chosen.images
        }
        assessment = Assessment(
            study_uid=study.study_uid,
            revision=study.revision,
            model=self.model.identity,
            findings_digest=self.model.findings.digest,
            inputs_digest=_inputs_digest(images),
            used=views_used,
            missing=(*selection.missing, *undecodable),
            unused=(*selection.unused, *unreadable),
            answers=answers,
            similar=self._similar(study, next(iter(evidence.values())), embedding),
            familiarity=familiarity(clip, frames, self.model.bundle),
        )
        stacks = list(zip(used, views_used, strict=True))
        shown = pictures(answers, stacks, form, heart, self.spool.read)
        return Looked(assessment, list(evidence.values()), shown, embedding)

    def _similar(
        self, study: StudyRevision, header: Dataset, embedding: Embedding
    ) -> tuple[SimilarCase, ...]:
        if self.past is None:
            return ()
        return self.past.similar_to(study.study_uid, header, embedding)

    def _answers(
        self,
        frames: Mapping[str, Frames],
        clip: Frames,
        embedding: Embedding,
        used: Sequence[UsedView],
    ) -> tuple[Answer, ...]:
        """Score every finding, and look for the images that made the flags."""
        model, form = self.model, self.model.bundle.manifest.clip
        answers = tuple(
            answer(finding, model.bundle, frames, embedding, model.prompts[finding.id])
            for finding in model.findings.findings
        )
        if self.key_frames == 0 or all(each.flag is not Flag.YES for each in answers):
            return answers
        began = time.monotonic()
        whence = origins({view: len(each) for view, each in frames.items()}, form)
        occluded = occlude(clip, whence, embedding, model.encoder, form.preprocessing.missing)
        log.info("looked for key frames", seconds=round(time.monotonic() - began, 2))
        return tuple(
            self._explained(each, occluded, whence, used) if each.flag is Flag.YES else each
            for each in answers
        )

    def _explained(
        self,
        flagged: Answer,
        occluded: Occluded,
        whence: Sequence[Origin | None],
        used: Sequence[UsedView],
    ) -> Answer:
        found = makers(occluded, self.model.prompts[flagged.finding.id], self.key_frames)
        return replace(flagged, key_frames=key_frames(found, whence, used))

    def _images(self, study: StudyRevision) -> tuple[list[Image], list[UnusedStack]]:
        """Read the headers; an instance whose header does not parse does not stop the others."""
        images, damaged = [], 0
        for path in self.ledger.paths(study.study_uid, study.revision):
            try:
                images.append(Image(path, read_header(self.spool.read(path))))
            except DamagedInstance:
                damaged += 1
        reason = "the header does not parse"
        return images, [UnusedStack("", "", damaged, reason)] if damaged else []

    def _frames(self, used: Sequence[Chosen]) -> tuple[Mapping[str, Frames], list[MissingView]]:
        """Decode the views; one whose pixels do not decode is missing, and says why."""
        frames: dict[str, Frames] = {}
        missing = []
        form, heart = self.model.bundle.manifest.clip, heart_centre(used)
        for chosen in used:
            try:
                frames[chosen.view] = view_frames(chosen, form, heart, self.spool.read)
            except DamagedInstance as error:
                missing.append(MissingView(chosen.view, str(error)))
        return frames, missing

    def _finish(self, study: StudyRevision, assessment: Assessment, made: list[Product]) -> None:
        summary = SUMMARY.dump_json(assessment).decode()
        due = self.ledger.finish(study, self.holder, summary, made, routes(made, self.destinations))
        if due is None:
            log.warning("the lease was lost, another worker has the study")
            return
        flags = {a.finding.id: str(a.flag) for a in assessment.answers}
        log.info(
            "assessed",
            priority=str(assessment.priority),
            flags=flags,
            unfamiliar=assessment.unfamiliar,
        )
        self._send(due)

    def _send(self, due: Sequence[int]) -> None:
        """Send after the commit; what the broker does not take, the reconciler sends."""
        try:
            for delivery_id in due:
                self.queue.deliver(delivery_id)
                self.ledger.queued_delivery(delivery_id)
        except BrokerUnavailable as error:
            log.warning("broker unavailable, deliveries wait in the ledger", error=str(error))

    def _renew(self, study: StudyRevision) -> None:
        self.ledger.renew(study.study_uid, study.revision, self.holder, self.lease_s)


def read_summary(summary: str) -> Assessment:
    """Return the assessment that the ledger keeps as JSON."""
    return SUMMARY.validate_json(summary)


def _pictures(images: Sequence[Image]) -> list[Image]:
    return [image for image in images if is_image_class(image.header.SOPClassUID)]


def _inputs_digest(images: Sequence[Image]) -> str:
    """Return the digest of what was there to look at; reports beside the images do not count."""
    uids = sorted(str(image.header.SOPInstanceUID) for image in _pictures(images))
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


def _used_view(chosen: Chosen) -> UsedView:
    first = chosen.images[0].header
    return UsedView(
        view=chosen.view,
        series_uid=str(first.SeriesInstanceUID),
        series_description=str(first.get("SeriesDescription") or "").strip(),
        why=chosen.why,
        images=tuple(_source(image) for image in chosen.images),
    )


def _source(image: Image) -> SourceImage:
    header = image.header
    return SourceImage(
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        series_uid=str(header.SeriesInstanceUID),
        frame=image.frame,
    )
