"""The input of the model: the images of a study become views, a clip and its embedding.

Assessing and indexing build the same input. A study that is not for this worker is declined with a
reason. A header or a view that cannot be decoded is reported as unused or missing, and does not
stop the others.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pydicom import Dataset

from triage.crash_points import CrashPoint, mark_reached
from triage.dicom.header import is_image_class
from triage.dicom.patient import refuse_two_patients
from triage.domain.assessment import (
    MissingView,
    ModelIdentity,
    SourceImage,
    UnusedStack,
    UsedView,
)
from triage.domain.errors import DamagedInstance, StudyDeclined
from triage.domain.finding import FindingSet
from triage.domain.reasons import Reason, ReasonCode, because
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.geometry import Vector
from triage.imaging.images import Image, explain_dropped, open_image
from triage.imaging.pixels import UndecodableImages
from triage.imaging.rules import SeriesRules
from triage.imaging.series import ChosenView, Selection, explain_declined, select_views
from triage.model.bundle import Bundle, ClipForm
from triage.model.questions import Questions
from triage.ports.encoder import Embedding, Encoder, Frames
from triage.telemetry.progress import note_progress

Read = Callable[[str], bytes]  #: returns the Part 10 file at a path
CHOICES = 3  #: how often views are chosen, if images of them cannot be decoded


@dataclass(frozen=True)
class FindingTrial:
    """The silent findings with their questions: scored in every study, and in no report."""

    findings: FindingSet
    questions: Questions


@dataclass(frozen=True)
class LoadedModel:
    """A loaded bundle with the findings and their questions."""

    bundle: Bundle
    encoder: Encoder
    findings: FindingSet
    questions: Questions
    mark_unfamiliar: str = ""  #: reason for flags on out-of-distribution studies; empty: no flags
    trial: FindingTrial | None = None  #: None: no finding is silent

    @property
    def identity(self) -> ModelIdentity:
        """Identity of the model, as reports state it."""
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
    """A study as it is given to the model."""

    images: Sequence[Image]  #: all images of the study
    documents: Sequence[Dataset]  #: headers of all other instances, e.g. reports
    stacks: Sequence[tuple[ChosenView, UsedView]]  #: the images of each filled view slot
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]
    frames: Mapping[str, Frames]  #: (frames, H, W) by view
    heart: Vector | None  #: centre of the heart in mm, patient coordinates; None if not found
    clip: Frames  #: (frames, H, W)
    embedding: Embedding
    remarks: tuple[Reason, ...] = ()  #: what of the study could not be read

    @property
    def used_views(self) -> tuple[UsedView, ...]:
        """The filled view slots."""
        return tuple(view for _, view in self.stacks)

    @cached_property
    def evidence(self) -> Sequence[Dataset]:
        """The headers of all images in filled view slots, each once."""
        headers = [image.header for chosen, _ in self.stacks for image in chosen.images]
        return list({str(header.SOPInstanceUID): header for header in headers}.values())


@dataclass(frozen=True)
class _DecodedViews:
    """The chosen views after decoding."""

    frames: Mapping[str, Frames]  #: (frames, H, W) by view
    missing: Sequence[MissingView]
    lost: Mapping[str, str]  #: why images cannot be decoded, by the paths of their files
    is_improvable: bool  #: True if a missing view has images that can be decoded

    def explain_lost(self) -> list[Reason]:
        """Return a remark for each reason why images were lost, with their number."""
        return _explain_lost(self.lost)


def build_model_input(
    study_uid: str, paths: Iterable[str], read: Read, model: LoadedModel, rules: SeriesRules
) -> ModelInput:
    """Build the model's input from the files of a study at `paths`.

    Raises StudyDeclined if the study has no usable view or images of several patients; its reason
    has the remarks on what could not be read.
    """
    images, damaged = _read_images(paths, read)
    remarks = (*explain_damaged(damaged), *explain_dropped(images))
    try:
        found = _build(study_uid, images, read, model, rules)
    except StudyDeclined as error:
        reason = error.reason
        raise StudyDeclined(replace(reason, remarks=(*reason.remarks, *remarks))) from None
    unreadable = (UnusedStack("", "", count, why) for why, count in damaged.items())
    return replace(found, unused=(*found.unused, *unreadable), remarks=(*remarks, *found.remarks))


def _build(
    study_uid: str, images: Sequence[Image], read: Read, model: LoadedModel, rules: SeriesRules
) -> ModelInput:
    """Build the model's input from the images of a study."""
    form = model.bundle.manifest.clip
    shown = [image for image in images if _is_picture(image)]
    refuse_two_patients([image.header for image in shown], study_uid)
    selection, heart, decoded = _choose_and_decode(images, form, rules, read)
    frames, undecodable, remarks = decoded.frames, decoded.missing, decoded.explain_lost()
    if not frames:
        errors = "; ".join(view.reason for view in undecodable)
        raise StudyDeclined(because(ReasonCode.NO_DECODABLE_VIEW, *remarks, errors=errors))
    clip = join_views(frames, form)
    mark_reached(CrashPoint.READ)
    return ModelInput(
        images=shown,
        documents=[image.header for image in images if not _is_picture(image)],
        stacks=[
            (chosen, _describe_view(chosen)) for chosen in selection.used if chosen.view in frames
        ],
        missing=(*selection.missing, *undecodable),
        unused=selection.unused,
        frames=frames,
        heart=heart,
        clip=clip,
        embedding=model.encoder.encode_clip(clip),
        remarks=tuple(remarks),
    )


def _read_images(paths: Iterable[str], read: Read) -> tuple[list[Image], Mapping[str, int]]:
    """Read the headers; count the instances whose header cannot be read, by what is wrong."""
    images: list[Image] = []
    damaged: Counter[str] = Counter()
    for path in paths:
        note_progress()
        try:
            images.append(open_image(path, read(path)))
        except DamagedInstance as error:
            damaged[str(error)] += 1
    return images, damaged


def explain_damaged(damaged: Mapping[str, int]) -> list[Reason]:
    """Return a remark for each reason why instances are not used, with their number."""
    return [
        because(ReasonCode.UNREADABLE_INSTANCES, instances=count, error=error)
        for error, count in damaged.items()
    ]


def _is_picture(image: Image) -> bool:
    return is_image_class(image.header.SOPClassUID)


def _choose_and_decode(
    images: Sequence[Image], form: ClipForm, rules: SeriesRules, read: Read
) -> tuple[Selection, Vector | None, _DecodedViews]:
    """Choose the views and decode them; an image that cannot be decoded is left out.

    The views are chosen again without such an image, unless no image of its view can be decoded.
    """
    views = [slot.view for slot in form.layout]
    lost: dict[str, str] = {}
    for is_last in (False,) * (CHOICES - 1) + (True,):
        selection = select_views(
            [image for image in images if image.path not in lost], views, rules
        )
        if (reason := explain_declined(images, selection)) is not None:
            raise StudyDeclined(replace(reason, remarks=(*reason.remarks, *_explain_lost(lost))))
        heart = find_heart_centre(selection.used)
        decoded = _decode_views(selection.used, form, heart, read)
        lost |= decoded.lost
        if is_last or not decoded.is_improvable:
            break
    return selection, heart, replace(decoded, lost=lost)


def _decode_views(
    used: Sequence[ChosenView], form: ClipForm, heart: Vector | None, read: Read
) -> _DecodedViews:
    """Decode the views; one that cannot be decoded becomes a missing view with the reason."""
    frames: dict[str, Frames] = {}
    missing: list[MissingView] = []
    lost: dict[str, str] = {}
    is_improvable = False
    for chosen in used:
        try:
            frames[chosen.view] = prepare_view(chosen, form, heart, read)
        except UndecodableImages as error:
            missing.append(MissingView(chosen.view, str(error)))
            lost |= error.lost
            is_improvable = is_improvable or not error.is_all
    return _DecodedViews(frames, missing, lost, is_improvable=is_improvable)


def _explain_lost(lost: Mapping[str, str]) -> list[Reason]:
    """Return a remark for each reason why images could not be decoded, with their number."""
    return [
        because(ReasonCode.UNDECODABLE_IMAGES, images=count, error=error)
        for error, count in Counter(lost.values()).items()
    ]


def _describe_view(chosen: ChosenView) -> UsedView:
    first = chosen.images[0].header
    return UsedView(
        view=chosen.view,
        series_uid=str(first.SeriesInstanceUID),
        series_description=str(first.get("SeriesDescription") or "").strip(),
        why=chosen.why,
        images=tuple(_refer_to(image) for image in chosen.images),
    )


def _refer_to(image: Image) -> SourceImage:
    header = image.header
    return SourceImage(
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        series_uid=str(header.SeriesInstanceUID),
        frame=image.frame,
    )
