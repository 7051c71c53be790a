"""Which images of a study fill which view of the bundle, and why not the others.

    images -> frames (images.py) -> stacks (stacks.py) -> sequence (recognition.py, rules.py)
           -> view (views.py) -> slots of the bundle (here)

Rule: attributes before names, geometry before both where it can tell, and every decision carries
its evidence in words: what is used, what is missing, and every other image of the study. The
order of the images, the series they came in and what these are called change nothing that the
images themselves can tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset

from triage.domain.assessment import MissingView, UnusedStack
from triage.domain.errors import DamagedInstance
from triage.imaging.geometry import read_number, read_plane
from triage.imaging.images import READ, Image, split_frames
from triage.imaging.recognition import recognise_stack, separation_key
from triage.imaging.rules import SequenceType as Kind
from triage.imaging.rules import SeriesRules, Variant, View, load_rules, read_text, series_name
from triage.imaging.stacks import Slice, group_stacks
from triage.imaging.views import (
    STACK_SLICES,
    TURNS_DEG,
    StackView,
    VentriclePosition,
    find_views,
    nearest_slice,
    order_from_base,
    short_axis_slices,
    turn_key,
)

__all__ = ["ChosenView", "Image", "Selection", "select_views"]

#: What the names of slots are made of: a sequence, perhaps a variant, a plane.
SEQUENCES = {
    "cine": Kind.CINE,
    "lge": Kind.LGE,
    "perfusion": Kind.PERFUSION,
    "t1map": Kind.T1_MAP,
    "t2map": Kind.T2_MAP,
    "t2starmap": Kind.T2_STAR_MAP,
    "t2w": Kind.T2W,
    "flow": Kind.FLOW,
}
PLANES = {
    "sa": View.SAX,
    "lax": View.FOUR_CHAMBER,
    "4ch": View.FOUR_CHAMBER,
    "2ch": View.TWO_CHAMBER,
    "3ch": View.THREE_CHAMBER,
}
#: Sequences of which a slot takes all times of one slice; of the others, one image a slice.
IN_TIME = {Kind.CINE, Kind.PERFUSION, Kind.FLOW}
IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


class ChosenView(NamedTuple):
    """The images of a view, in the order of the clip, with the evidence for the choice."""

    view: str
    why: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Selection:
    """What of a study the model will look at, and what not."""

    used: tuple[ChosenView, ...]
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]
    seen: tuple[StackView, ...] = ()  #: every stack, with its sequence, view and evidence


class WantedView(NamedTuple):
    """What a slot of the bundle wants."""

    kind: Kind
    plane: View
    variant: Variant | None
    any_long_axis: bool  #: whether another long-axis plane will do where the plane is missing


def select_views(
    images: Sequence[Image], views: Sequence[str], rules: SeriesRules | None = None
) -> Selection:
    """Choose the images of every view in `views` (slot names of the bundle's manifest).

    Args:
        images: Headers of a study's instances, in any order.
        views: Slot names, as in "cine_sa", "lge_2ch" or "perfusion_stress_sa".
        rules: The table of what series are; the shipped one unless given.
    """
    rules = rules or load_rules()
    frames, left_out = _readable(images)
    stacks = group_stacks(frames, lambda image: separation_key(image, rules))
    known = [recognise_stack(stack, rules) for stack in stacks]
    seen, heart = find_views(known)
    filled: dict[str, ChosenView] = {}
    missing = []
    for view in views:
        found = _fill(view, seen, heart)
        if isinstance(found, ChosenView):
            filled[view] = found
        else:
            missing.append(found)
    used = tuple(filled.values())
    return Selection(used, tuple(missing), _unused(left_out, seen, used), tuple(seen))


# -- what can be read at all


def _readable(images: Sequence[Image]) -> tuple[list[Image], dict[tuple[str, str, str], int]]:
    """Return the frames that have a plane, and how many of each series do not serve, and why."""
    frames: dict[tuple[str, int | None], Image] = {}
    left_out: dict[tuple[str, str, str], int] = defaultdict(int)
    for image in sorted(images, key=lambda each: each.path):
        header = image.header
        series = read_text(header, "SeriesInstanceUID"), series_name(header)
        try:
            _refuse(header)
            own = split_frames(image)
        except DamagedInstance as reason:
            left_out[*series, str(reason)] += 1
            continue
        for frame in own:
            key = str(header.SOPInstanceUID), frame.frame
            if key in frames:
                left_out[*series, "the same instance again"] += 1
            elif read_plane(frame.header) is None:
                left_out[*series, "its position in the patient is not given"] += 1
            else:
                frames[key] = frame
    return list(frames.values()), left_out


def _refuse(header: Dataset) -> None:
    """Raise DamagedInstance for what is no image of ours."""
    modality = read_text(header, "Modality") or "unknown"
    if modality != "MR":
        raise DamagedInstance(f"modality {modality}, not MR")
    for keyword in IDENTIFIERS:
        if not read_text(header, keyword):
            raise DamagedInstance(f"{keyword} is missing")
    if header.SOPClassUID not in READ:
        raise DamagedInstance(f"{header.SOPClassUID.name} is not read")
    if header.SOPClassUID == READ[0] and (read_number(header, "NumberOfFrames") or 1) > 1:
        raise DamagedInstance("several frames in an image of a class that describes one")


# -- slots


def _slot(view: str) -> WantedView | None:
    sequence, *variants, plane = view.split("_") if "_" in view else (view, "")
    kind, shown = SEQUENCES.get(sequence), PLANES.get(plane)
    if kind is None or shown is None or len(variants) > 1:
        return None
    try:
        variant = Variant(variants[0]) if variants else None
    except ValueError:
        return None
    return WantedView(kind, shown, variant, any_long_axis=kind is Kind.CINE and plane == "lax")


def _fill(
    view: str, seen: Sequence[StackView], heart: VentriclePosition | None
) -> ChosenView | MissingView:
    slot = _slot(view)
    if slot is None:
        return MissingView(view, "this worker knows no view of that name")
    of_kind = [each for each in seen if each.known.sequence is slot.kind]
    if slot.variant is not None:
        of_kind = [each for each in of_kind if each.known.variant is slot.variant]
    shown = [each for each in of_kind if each.view is slot.plane]
    if shown and slot.plane is View.SAX:
        return _short_axis(view, slot, shown, heart)
    if shown:
        return _long_axis(view, slot, max(shown, key=_rank), heart)
    others = [each for each in of_kind if each.view in TURNS_DEG or each.turn_deg is not None]
    if others and slot.any_long_axis:
        return _long_axis(view, slot, min(others, key=turn_key(slot.plane)), heart)
    planes = f"{len(of_kind)} of its planes" if of_kind else "none at all"
    return MissingView(view, f"no {slot.kind.label} shows this view ({planes})")


def _rank(seen: StackView) -> tuple[int, bool, int, float, str]:
    """Prefer more slices, phase-sensitive images, more phases, and the later series."""
    first = seen.stack.first.header
    return (
        len(seen.stack.slices),
        seen.known.variant is Variant.PSIR,
        len(seen.stack.fullest.images),
        read_number(first, "SeriesNumber") or 0.0,
        str(first.SOPInstanceUID),
    )


def _short_axis(
    view: str, slot: WantedView, shown: Sequence[StackView], heart: VentriclePosition | None
) -> ChosenView:
    best = max(shown, key=_rank)
    alone = len(best.stack.slices) >= STACK_SLICES
    slices = short_axis_slices([each.stack for each in ([best] if alone else shown)])
    how = "" if heart is None else f" (by {heart.axis.why})"
    if slot.kind not in IN_TIME:
        why = f"{best.known.why}; {len(slices)} slices; {best.why}{how}"
        return ChosenView(view, why, tuple(one.images[0] for one in slices))
    if slot.kind is Kind.CINE:
        slices = [one for one in slices if one.beats]
    middle = slices[len(slices) // 2]
    place = order_from_base(slices).index(middle) + 1
    why = (
        f"{_evidence(best, middle)}; slice {place} of {len(slices)} from the base; {best.why}{how}"
    )
    return ChosenView(view, why, middle.images)


def _long_axis(
    view: str, slot: WantedView, seen: StackView, heart: VentriclePosition | None
) -> ChosenView:
    one = nearest_slice(seen.stack, None if heart is None else heart.middle)
    instead = "" if seen.view is slot.plane else f", for want of {slot.plane}"
    images = one.images if slot.kind in IN_TIME else one.images[:1]
    return ChosenView(view, f"{_evidence(seen, one)}; {seen.why}{instead}", images)


def _evidence(seen: StackView, one: Slice) -> str:
    if seen.known.sequence is not Kind.CINE:
        return seen.known.why
    first, last = one.times_ms[0], one.times_ms[-1]
    return f"cine: {len(one.times_ms)} phases over {first:.0f}-{last:.0f} ms at one position"


# -- what is not used


def _unused(
    left_out: dict[tuple[str, str, str], int], seen: Iterable[StackView], used: Sequence[ChosenView]
) -> tuple[UnusedStack, ...]:
    """Return every image that no view took, by series, with the reason."""
    counts = dict(left_out)
    taken = {(image.path, image.frame) for chosen in used for image in chosen.images}
    for each in seen:
        reason = explain_unused(each, used)
        for image in each.stack.images:
            if (image.path, image.frame) in taken:
                continue
            header = image.header
            key = str(header.SeriesInstanceUID), series_name(header), reason
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        UnusedStack(uid, name, count, reason)
        for (uid, name, reason), count in sorted(counts.items())
    )


def explain_unused(seen: StackView, used: Iterable[ChosenView]) -> str:
    """Say why a stack, or what is left of it, fills no view."""
    kind = seen.known.sequence
    wanted = {slot.kind for chosen in used if (slot := _slot(chosen.view))}
    if kind is None or kind not in {Kind.CINE, Kind.LGE, *wanted}:
        return seen.known.why
    if seen.view is View.SAX:
        return f"{kind.label} along the short axis, but not the slices that the model looks at"
    if seen.view in TURNS_DEG:
        return f"{kind.label}, {seen.why}; no slot takes it, or another one fills the view"
    return f"{kind.label}, {seen.why}"


def explain_declined(images: Sequence[Image], selection: Selection) -> str | None:
    """Return why a study without any view is none for the worker; None where it has one."""
    if selection.used:
        return None
    if not images:
        return "no instance has a header that parses"
    modalities = sorted({read_text(image.header, "Modality") or "unknown" for image in images})
    if "MR" not in modalities:
        return f"no MR images, only {', '.join(modalities)}"
    seen = sorted({stack.reason for stack in selection.unused})
    return "no cardiac view found: " + "; ".join(seen[:5])
