"""The images that fill each view slot of the model, and the reason why all others are not used.

    images -> frames (images.py) -> stacks (stacks.py) -> sequence (recognition.py, rules.py)
           -> view (views.py) -> view slots of the bundle (this module)

Attributes come before names, and geometry before both where it can decide. Every decision carries
its evidence as text: for each view that is filled or missing, and for every image that is not used.
The order of the images, their division into series and the series names have no influence where the
images themselves decide.

Invariants: tests/unit/imaging/test_invariance.py checks that the order of arrival, duplicates,
split, joined and renamed series do not change the frames.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset

from triage.domain.assessment import MissingView, UnusedStack
from triage.domain.errors import DamagedInstance
from triage.domain.reasons import Reason, ReasonCode, because
from triage.imaging.acquisitions import choose_acquisition, find_latest
from triage.imaging.flow import find_flow_magnitudes, image_id
from triage.imaging.geometry import read_number, read_plane
from triage.imaging.images import READ, Image, split_frames
from triage.imaging.recognition import RecognisedStack, recognise_stack, separation_key
from triage.imaging.rules import (
    SequenceType,
    SeriesRules,
    Variant,
    View,
    load_rules,
    read_text,
    series_name,
)
from triage.imaging.stacks import Slice, group_stacks
from triage.imaging.views import (
    ROTATIONS_DEG,
    STACK_SLICES,
    StackView,
    VentriclePosition,
    find_views,
    nearest_slice,
    order_from_base,
    rotation_key,
    short_axis_slices,
)

__all__ = ["ChosenView", "Image", "Selection", "select_views"]

#: The parts of a slot's name: a sequence, an optional variant, and a plane.
SEQUENCES = {
    "cine": SequenceType.CINE,
    "lge": SequenceType.LGE,
    "perfusion": SequenceType.PERFUSION,
    "t1map": SequenceType.T1_MAP,
    "t2map": SequenceType.T2_MAP,
    "t2starmap": SequenceType.T2_STAR_MAP,
    "t2w": SequenceType.T2W,
    "flow": SequenceType.FLOW,
}
PLANES = {
    "sa": View.SAX,
    "lax": View.FOUR_CHAMBER,
    "4ch": View.FOUR_CHAMBER,
    "2ch": View.TWO_CHAMBER,
    "3ch": View.THREE_CHAMBER,
}
#: A slot of these sequences takes all times of one slice; of the others, one image per slice.
IN_TIME = {SequenceType.CINE, SequenceType.PERFUSION, SequenceType.FLOW}
IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
#: Reasons listed at most if a study has no view at all.
REASONS_MOST = 5

ReasonCounts = dict[tuple[str, str, str], int]  #: images by (series UID, series name, reason)


class ChosenView(NamedTuple):
    """The images of a view, in the order of the clip, with the evidence for the choice."""

    view: str  #: name of the slot
    why: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Selection:
    """The images of a study that the model uses, and those that it does not."""

    used: tuple[ChosenView, ...]
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]  #: all images that no view uses, by series and reason
    stacks: tuple[StackView, ...] = ()  #: every stack, with its sequence, view and evidence
    unstacked: tuple[UnusedStack, ...] = ()  #: those in `unused` that belong to no stack


class WantedView(NamedTuple):
    """The images that a slot of the bundle takes."""

    kind: SequenceType
    plane: View
    variant: Variant | None
    any_long_axis: bool  #: whether another long-axis plane is used if the plane is missing

    @property
    def label(self) -> str:
        """Return the kind of image that people read, as in "stress perfusion"."""
        return f"{self.variant} {self.kind.label}" if self.variant else self.kind.label


def select_views(
    images: Sequence[Image], views: Sequence[str], rules: SeriesRules | None = None
) -> Selection:
    """Choose the images of every view in `views` (slot names of the bundle's manifest).

    Args:
        images: Headers of a study's instances, in any order.
        views: Slot names, for example "cine_sa", "lge_2ch" or "perfusion_stress_sa".
        rules: The rules for series names and attributes; the shipped ones if None.
    """
    rules = rules or load_rules()
    frames, left_out = _split_readable(images)
    stack_views, heart = find_views(_recognise(frames, rules))
    filled = [_fill(view, stack_views, heart) for view in dict.fromkeys(views)]
    used = tuple(view for view in filled if isinstance(view, ChosenView))
    return Selection(
        used,
        tuple(view for view in filled if isinstance(view, MissingView)),
        _unused(left_out, stack_views, used),
        tuple(stack_views),
        _as_unused(left_out),
    )


def _recognise(frames: Sequence[Image], rules: SeriesRules) -> list[RecognisedStack]:
    """Return the stacks of all frames; magnitudes of flow never share a stack with others."""
    flow = find_flow_magnitudes(frames)
    others = [frame for frame in frames if image_id(frame) not in flow] if flow else frames
    found = []
    for group, is_flow in ((others, False), ([f for f in frames if image_id(f) in flow], True)):
        stacks = group_stacks(group, lambda image: separation_key(image, rules))
        found += [recognise_stack(each, rules, has_phase_images=is_flow) for each in stacks]
    return found


# -- readable images


def _split_readable(images: Sequence[Image]) -> tuple[list[Image], ReasonCounts]:
    """Return the frames that have a plane, and the number of unusable images by reason."""
    frames: dict[tuple[str, int | None], Image] = {}
    left_out: ReasonCounts = defaultdict(int)
    for image in sorted(images, key=lambda image: image.path):
        header = image.header
        series = read_text(header, "SeriesInstanceUID"), series_name(header)
        try:
            _check_supported(header)
            own = split_frames(image)
        except DamagedInstance as reason:
            left_out[*series, str(reason)] += 1
            continue
        for frame in own:
            key = str(header.SOPInstanceUID), frame.frame
            if key in frames:
                left_out[*series, "a duplicate of another instance"] += 1
            elif read_plane(frame.header) is None:
                left_out[*series, "its header states no usable position and orientation"] += 1
            else:
                frames[key] = frame
    return list(frames.values()), left_out


def _check_supported(header: Dataset) -> None:
    """Raise DamagedInstance if an instance is not an MR image that can be read."""
    modality = read_text(header, "Modality") or "unknown"
    if modality != "MR":
        raise DamagedInstance(f"modality {modality}, not MR")
    for keyword in IDENTIFIERS:
        if not read_text(header, keyword):
            raise DamagedInstance(f"{keyword} is missing")
    if header.SOPClassUID not in READ:
        raise DamagedInstance(f"SOP class {header.SOPClassUID.name} is not supported")
    if header.SOPClassUID == READ[0] and (read_number(header, "NumberOfFrames") or 1) > 1:
        raise DamagedInstance("several frames, but its SOP class has a single frame")


# -- slots


def _parse_slot(view: str) -> WantedView | None:
    sequence, *variants, plane = view.split("_") if "_" in view else (view, "")
    kind, shown = SEQUENCES.get(sequence), PLANES.get(plane)
    if kind is None or shown is None or len(variants) > 1:
        return None
    try:
        variant = Variant(variants[0]) if variants else None
    except ValueError:
        return None
    any_long_axis = kind is SequenceType.CINE and plane == "lax"
    return WantedView(kind, shown, variant, any_long_axis)


def _fill(
    view: str, stack_views: Sequence[StackView], heart: VentriclePosition | None
) -> ChosenView | MissingView:
    slot = _parse_slot(view)
    if slot is None:
        return MissingView(view, "the model asks for a view that this worker does not know")
    of_kind = [seen for seen in stack_views if _is_of_kind(seen, slot) and not seen.stack.replaced]
    shown = [seen for seen in of_kind if seen.view is slot.plane]
    if shown and slot.plane is View.SAX:
        return _choose_short_axis(view, slot, shown, heart)
    if shown:
        return _choose_long_axis(view, slot, _choose_best(shown), heart)
    others = [s for s in of_kind if s.view in ROTATIONS_DEG or s.rotation_deg is not None]
    if others and slot.any_long_axis:
        return _choose_long_axis(view, slot, min(others, key=rotation_key(slot.plane)), heart)
    return MissingView(view, _explain_missing(slot, of_kind, stack_views))


def _explain_missing(
    slot: WantedView, of_kind: Sequence[StackView], stack_views: Sequence[StackView]
) -> str:
    """Return why no stack fills a slot; of a cine, also why stacks with many phases are none."""
    refusals = {str(seen.recognised.refusal) for seen in stack_views if seen.recognised.refusal}
    listed = sorted(refusals)[:REASONS_MOST] if slot.kind is SequenceType.CINE else []
    planes = f"{len(of_kind)} {slot.label} stack{'s' * (len(of_kind) != 1)}"
    missing = (
        f"no {slot.plane} view among {planes}" if of_kind else f"the study has no {slot.label}"
    )
    return "; ".join([missing, *listed])


def _is_of_kind(seen: StackView, slot: WantedView) -> bool:
    has_variant = slot.variant is None or seen.recognised.variant is slot.variant
    return seen.recognised.sequence is slot.kind and has_variant


def _choose_best(shown: Sequence[StackView]) -> StackView:
    """Prefer more slices, then phase-sensitive images, then the latest whole stack."""
    largest = max(map(_size, shown))
    best = sorted((seen for seen in shown if _size(seen) == largest), key=_series_order)
    return best[choose_acquisition([seen.stack.fullest.coverage for seen in best])]


def _size(seen: StackView) -> tuple[int, bool]:
    return len(seen.stack.slices), seen.recognised.variant is Variant.PSIR


def _series_order(seen: StackView) -> tuple[float, str]:
    first = seen.stack.first.header
    return read_number(first, "SeriesNumber") or 0.0, str(first.SOPInstanceUID)


def _choose_short_axis(
    view: str, slot: WantedView, shown: Sequence[StackView], heart: VentriclePosition | None
) -> ChosenView:
    best = _choose_best(shown)
    is_large = len(best.stack.slices) >= STACK_SLICES
    slices = short_axis_slices([seen.stack for seen in ([best] if is_large else shown)])
    source = "" if heart is None else f" (long axis from {heart.axis.why})"
    if slot.kind not in IN_TIME:
        count = f"{len(slices)} slices{_describe_repeats(slices)}"
        why = f"{best.recognised.why}; {count}; {best.why}{source}"
        return ChosenView(view, why, tuple(find_latest(part.images) for part in slices))
    if slot.kind is SequenceType.CINE:
        slices = [part for part in slices if part.has_beat]
    middle = slices[len(slices) // 2]
    number = order_from_base(slices).index(middle) + 1
    place = f"slice {number} of {len(slices)} from the base"
    evidence = f"{_evidence(best, middle)}{_describe_repeats([middle])}"
    why = f"{evidence}; {place}; {best.why}{source}"
    return ChosenView(view, why, _images_in_time(slot, middle))


def _choose_long_axis(
    view: str, slot: WantedView, seen: StackView, heart: VentriclePosition | None
) -> ChosenView:
    stack = seen.stack.beating if slot.kind is SequenceType.CINE else seen.stack
    part = nearest_slice(stack, None if heart is None else heart.middle)
    is_substitute = seen.view is not slot.plane
    note = f"; used because the study has no {slot.plane}" if is_substitute else ""
    is_in_time = slot.kind in IN_TIME
    images = _images_in_time(slot, part) if is_in_time else (find_latest(part.images),)
    evidence = f"{_evidence(seen, part)}{_describe_repeats([part])}"
    return ChosenView(view, f"{evidence}; {seen.why}{note}", images)


def _evidence(seen: StackView, part: Slice) -> str:
    if seen.recognised.sequence is not SequenceType.CINE:
        return seen.recognised.why
    return f"cine: {part.beat.describe()}"


def _images_in_time(slot: WantedView, part: Slice) -> tuple[Image, ...]:
    """Return all images of a slice in time, of a cine those of one heartbeat."""
    return part.beat.images if slot.kind is SequenceType.CINE else part.images


def _describe_repeats(slices: Sequence[Slice]) -> str:
    """Return how often planes were taken, and which acquisition is used; empty for once."""
    again = [part for part in slices if part.taken > 1]
    if not again:
        return ""
    is_stated = all(part.is_order_stated for part in again)
    which = "the last whole one is used" if is_stated else "in no stated order, and one is used"
    if len(slices) == 1:
        return f"; taken {again[0].taken} times, {which}"
    return f"; {len(again)} of them taken several times, {which}"


# -- unused images


def _unused(
    left_out: ReasonCounts, stack_views: Iterable[StackView], used: Sequence[ChosenView]
) -> tuple[UnusedStack, ...]:
    """Return every image that no view uses, by series and reason."""
    counts = dict(left_out)
    taken = {(image.path, image.frame) for chosen in used for image in chosen.images}
    for seen in stack_views:
        reason = explain_unused(seen, used)
        for part in seen.stack.slices:
            left = [image for image in part.images if (image.path, image.frame) not in taken]
            is_cut = 0 < len(left) < len(part.images) and part.has_beat
            for image in left:
                why = f"{seen.recognised.why}; the model uses one beat of it" if is_cut else reason
                key = str(image.header.SeriesInstanceUID), series_name(image.header), why
                counts[key] = counts.get(key, 0) + 1
    return _as_unused(counts)


def _as_unused(counts: Mapping[tuple[str, str, str], int]) -> tuple[UnusedStack, ...]:
    return tuple(
        UnusedStack(uid, name, count, reason)
        for (uid, name, reason), count in sorted(counts.items())
    )


def explain_unused(seen: StackView, used: Iterable[ChosenView]) -> str:
    """Return why a stack, or the part of it that no view uses, fills no view."""
    kind = seen.recognised.sequence
    slots = [slot for chosen in used if (slot := _parse_slot(chosen.view))]
    if kind is None or kind not in {SequenceType.CINE, SequenceType.LGE, *(s.kind for s in slots)}:
        return seen.recognised.why
    if seen.stack.replaced is not None:
        return f"{kind.label}, {seen.why}; {seen.stack.replaced}"
    is_filled = any(slot.kind is kind and slot.plane is seen.view for slot in slots)
    if seen.view is View.SAX and is_filled:
        return f"{kind.label}, short axis; the model uses other slices"
    if seen.view in {View.SAX, *ROTATIONS_DEG}:
        reason = (
            "the model uses other images of this view"
            if is_filled
            else "the model does not use this view"
        )
        return f"{kind.label}, {seen.why}; {reason}"
    return f"{kind.label}, {seen.why}"


def explain_declined(images: Sequence[Image], selection: Selection) -> Reason | None:
    """Return why a study without any view cannot be assessed; None if it has a view."""
    if selection.used:
        return None
    if not images:
        return because(ReasonCode.NO_READABLE_HEADER)
    modalities = sorted({read_text(image.header, "Modality") or "unknown" for image in images})
    if "MR" not in modalities:
        return because(ReasonCode.NO_MR_IMAGES, modalities=", ".join(modalities))
    reasons = sorted({stack.reason for stack in selection.unused})
    return because(ReasonCode.NO_CARDIAC_VIEW, seen="; ".join(reasons[:REASONS_MOST]))
