"""What the model sees of a study: images become views, a clip and its embedding.

Rule: assessing and indexing see the same. What is not for us is declined, with the reason; a view
or a header that does not decode is told of, and does not stop the others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom import Dataset

from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.header import is_image_class, read_header
from triage.dicom.patient import refuse_two_patients
from triage.domain.assessment import (
    Answer,
    MissingView,
    ModelIdentity,
    SourceImage,
    UnusedStack,
    UsedView,
)
from triage.domain.errors import DamagedInstance, StudyDeclined
from triage.domain.finding import FindingSet
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.geometry import Vector
from triage.imaging.images import Image
from triage.imaging.rules import SeriesRules
from triage.imaging.series import ChosenView, explain_declined, select_views
from triage.model.bundle import Bundle, ClipForm
from triage.model.questions import Questions
from triage.model.scoring import answer_finding
from triage.ports.encoder import Embedding, Encoder, Frames

Read = Callable[[str], bytes]  #: returns the Part 10 file at a path


@dataclass(frozen=True)
class LoadedModel:
    """A bundle, ready to answer."""

    bundle: Bundle
    encoder: Encoder
    findings: FindingSet
    questions: Questions

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
class ModelInput:
    """A study as the model sees it."""

    images: Sequence[Image]  #: all pictures of the study
    documents: Sequence[Dataset]  #: all else, reports among it
    stacks: Sequence[tuple[ChosenView, UsedView]]  #: what each filled view slot shows
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]
    frames: Mapping[str, Frames]  #: by view
    heart: Vector | None  #: where the heart lies
    clip: Frames
    embedding: Embedding

    @property
    def used_views(self) -> tuple[UsedView, ...]:
        """The view slots that are filled."""
        return tuple(view for _, view in self.stacks)

    @cached_property
    def evidence(self) -> Sequence[Dataset]:
        """The headers of all images that the model looked at."""
        headers = [image.header for chosen, _ in self.stacks for image in chosen.images]
        return list({str(header.SOPInstanceUID): header for header in headers}.values())


def build_model_input(
    study_uid: str, paths: Iterable[str], read: Read, model: LoadedModel, rules: SeriesRules
) -> ModelInput:
    """Return what the model sees of the study whose files are at `paths`.

    Raises StudyDeclined where that is nothing, or not of one patient.
    """
    images, unreadable = _images(paths, read)
    form = model.bundle.manifest.clip
    shown = [image for image in images if _is_picture(image)]
    refuse_two_patients([image.header for image in shown], study_uid)
    selection = select_views(images, [slot.view for slot in form.layout], rules)
    if (why := explain_declined(images, selection)) is not None:
        raise StudyDeclined(why)
    heart = find_heart_centre(selection.used)
    frames, undecodable = _frames(selection.used, form, heart, read)
    if not frames:
        raise StudyDeclined("no view can be decoded: " + "; ".join(m.reason for m in undecodable))
    clip = join_views(frames, form)
    mark_reached(CrashPoint.READ)
    return ModelInput(
        images=shown,
        documents=[each.header for each in images if not _is_picture(each)],
        stacks=[(chosen, _used_view(chosen)) for chosen in selection.used if chosen.view in frames],
        missing=(*selection.missing, *undecodable),
        unused=(*selection.unused, *unreadable),
        frames=frames,
        heart=heart,
        clip=clip,
        embedding=model.encoder.encode_clip(clip),
    )


def answer_findings(seen: ModelInput, model: LoadedModel) -> tuple[Answer, ...]:
    """Return the answer for every finding."""
    return tuple(
        answer_finding(
            finding, model.questions[finding.id], model.bundle, seen.frames, seen.embedding
        )
        for finding in model.findings.findings
    )


def _images(paths: Iterable[str], read: Read) -> tuple[list[Image], list[UnusedStack]]:
    """Read the headers; an instance whose header does not parse does not stop the others."""
    images, damaged = [], 0
    for path in paths:
        try:
            images.append(Image(path, read_header(read(path))))
        except DamagedInstance:
            damaged += 1
    reason = "the header does not parse"
    return images, [UnusedStack("", "", damaged, reason)] if damaged else []


def _is_picture(image: Image) -> bool:
    return is_image_class(image.header.SOPClassUID)


def _frames(
    used: Sequence[ChosenView], form: ClipForm, heart: Vector | None, read: Read
) -> tuple[Mapping[str, Frames], list[MissingView]]:
    """Decode the views; one whose pixels do not decode is missing, and says why."""
    frames: dict[str, Frames] = {}
    missing = []
    for chosen in used:
        try:
            frames[chosen.view] = prepare_view(chosen, form, heart, read)
        except DamagedInstance as error:
            missing.append(MissingView(chosen.view, str(error)))
    return frames, missing


def _used_view(chosen: ChosenView) -> UsedView:
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
