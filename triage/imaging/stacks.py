"""Stacks from the images of a study: parallel slices of one anatomy, each with its phases.

The images decide, not the series that contain them. Images of one contrast whose planes are
parallel and stand next to each other form a stack, whether they came as one series per slice, in a
single series, or split at random, and whatever their matrix, pixel spacing, field of view and
remaining image type are. A plane that was taken again is used once (acquisitions.py); what it
replaces becomes a stack of its own. Phases follow the attribute that states them (phases.py), and a
cine is one beat (beats.py). Series names matter only as far as the caller's `separation_key` uses
them.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from triage.imaging.acquisitions import (
    Coverage,
    Frame,
    Replaced,
    choose_acquisition,
    find_acquisitions,
    group_by,
    is_order_stated,
    measure_coverage,
)
from triage.imaging.beats import Beat, find_beat, refuse_moved
from triage.imaging.flow import PHASE_VALUES
from triage.imaging.geometry import Plane, Vector, read_centre, read_number, read_plane
from triage.imaging.images import Image
from triage.imaging.phases import CINE_PHASES, TRIGGER, order_phases, read_moment
from triage.imaging.planes import (
    SAME_POSITION_MM,
    Direction,
    find_directions,
    find_positions,
    split_at_gaps,
)
from triage.imaging.rules import read_text

#: Values of ImageType that are not the magnitude: a stack has one component (PS3.3 C.8.3.1.1.1).
COMPONENTS = PHASE_VALUES | {"PHASE SUBTRACT", "R", "REAL", "I", "IMAGINARY"}
#: ScanningSequence: an inversion pulse or a spin echo makes another contrast.
CONTRASTS = frozenset(("IR", "SE"))
#: Attributes that tell images of one series, plane and time apart.
WITHIN_SERIES = ("ImageType", "EchoTime")


@dataclass(frozen=True, eq=False)
class Slice:
    """The images at one position, by phase."""

    plane: Plane
    images: tuple[Image, ...]
    times_ms: tuple[float, ...]  #: distinct times, rising; empty if none is stated
    beat: Beat  #: the images of one heartbeat
    centre: Vector  #: of the image, mm
    taken: int = 1  #: how often its plane was acquired
    is_order_stated: bool = True  #: whether the headers state which acquisition was the last

    @property
    def coverage(self) -> Coverage:
        """Return how much of the heartbeat it shows."""
        beat = self.beat.timed if self.has_beat else ()
        return measure_coverage([each.time_ms for each in beat], self.images[0].header)

    @property
    def span_ms(self) -> float:
        """Return the time from the first image to the last."""
        return self.times_ms[-1] - self.times_ms[0] if self.times_ms else 0.0

    @property
    def has_beat(self) -> bool:
        """Whether it shows a whole heartbeat."""
        return self.beat.is_cycle


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices, in order along their normal."""

    slices: tuple[Slice, ...]
    replaced: Replaced | None = None  #: why other acquisitions of its planes are used

    @property
    def first(self) -> Image:
        """The first image of the first slice; it represents the stack."""
        return self.slices[0].images[0]

    @property
    def images(self) -> tuple[Image, ...]:
        """All images."""
        return tuple(image for part in self.slices for image in part.images)

    @property
    def fullest(self) -> Slice:
        """The slice with the most phases; one with a heartbeat if there is one."""
        return max(
            self.slices, key=lambda part: (part.has_beat, len(part.times_ms), len(part.images))
        )

    @property
    def beating(self) -> "Stack":
        """The stack of its slices with a heartbeat; empty if none has one."""
        return replace(self, slices=tuple(part for part in self.slices if part.has_beat))


class _Take(NamedTuple):
    """One acquisition of one plane of a stack."""

    part: Slice
    position: int  #: index among the planes of its direction
    depth_mm: float  #: of the plane along the normal of the stack
    series: tuple[float, str]  #: number and UID of its first series


def group_stacks(
    images: Iterable[Image], separation_key: Callable[[Image], Hashable] = lambda _image: None
) -> list[Stack]:
    """Return the stacks of images that all have a plane, whatever the order of `images`.

    Images with different separation keys are never put in one stack; the key is computed once for
    each kind of image of a series.

    Raises:
        ValueError: An image has no plane.
    """
    keys: dict[Hashable, Hashable] = {}
    contrasts: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in _frames(sorted(images, key=_identity)):
        kind = _kind(frame.image)
        if (frame.series_uid, kind) not in keys:
            keys[frame.series_uid, kind] = _contrast(*kind), separation_key(frame.image)
        contrasts[keys[frame.series_uid, kind]].append(frame)
    stacks = [
        stack
        for contrast in contrasts.values()
        for alike in _split_within_series(contrast)
        for direction in find_directions(alike)
        for stack in _group_parallel(direction)
    ]
    return sorted(stacks, key=lambda stack: stack.replaced is not None)


def _identity(image: Image) -> tuple[str, int]:
    return str(image.header.SOPInstanceUID), image.frame or 0


def _frames(images: Iterable[Image]) -> list[Frame]:
    centres: dict[Plane, Vector] = {}
    frames = []
    for image in images:
        header = image.header
        plane = read_plane(header)
        if plane is None:
            raise ValueError("an image without a plane cannot be part of a stack")
        if plane not in centres:
            centres[plane] = read_centre(header, plane)
        series_uid = str(header.get("SeriesInstanceUID") or "")
        timed_by, time_ms = read_moment(image)
        frames.append(Frame(image, plane, centres[plane], time_ms, timed_by, series_uid))
    return frames


# -- contrast


def _kind(image: Image) -> tuple[str, str]:
    """Return the attributes that decide the contrast, as the header has them."""
    return read_text(image.header, "ImageType"), read_text(image.header, "ScanningSequence")


def _contrast(image_type: str, scanning: str) -> Hashable:
    """Return what all images of a stack share: component, inversion pulse, spin echo."""
    components = COMPONENTS.intersection(image_type.split("\\"))
    return components, CONTRASTS.intersection(scanning.split("\\"))


def _split_within_series(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Split series that show one plane and time in several image types or echoes."""
    groups: dict[int, list[Frame]] = defaultdict(list)
    for part in group_by(frames, lambda frame: frame.series_uid).values():
        ranks = _rank_mixed(part)
        for frame in part:
            groups[ranks.get(_within_series(frame), 0) if ranks else 0].append(frame)
    return list(groups.values())


def _rank_mixed(part: Sequence[Frame]) -> dict[Hashable, int]:
    """Return a number for each image type and echo that share planes and times; {} if none do."""
    moments = group_by(part, lambda frame: (frame.plane, frame.time_ms))
    if len(moments) == len(part):
        return {}
    found = [{_within_series(frame) for frame in same} for same in moments.values()]
    mixed = sorted(set().union(*(values for values in found if len(values) > 1)))
    return {value: rank for rank, value in enumerate(mixed)}


def _within_series(frame: Frame) -> tuple[str, ...]:
    return tuple(read_text(frame.image.header, keyword) for keyword in WITHIN_SERIES)


# -- planes and their acquisitions


def _group_parallel(direction: Direction) -> list[Stack]:
    """Return the stacks of frames whose planes are parallel."""
    takes = [
        _Take(_build_slice(sorted(own, key=_phase_order)), number, depth_mm, _first_series(own))
        for number, (depth_mm, frames) in enumerate(find_positions(direction))
        for own in find_acquisitions(frames)
    ]
    return [
        stack
        for alike in group_by(_refuse_moved(takes), lambda take: _motion(take.part)).values()
        for lane in _separate_overlapping(alike)
        for neighbours in split_at_gaps(lane, lambda take: take.depth_mm)
        for stack in _build_stacks(neighbours)
    ]


def _refuse_moved(takes: Sequence[_Take]) -> list[_Take]:
    """Return acquisitions without the heartbeat of a slice that moved during it."""
    beats = refuse_moved([(take.series[1], take.part.beat) for take in takes])
    return [
        take._replace(part=replace(take.part, beat=beat))
        for take, beat in zip(takes, beats, strict=True)
    ]


def _first_series(frames: Sequence[Frame]) -> tuple[float, str]:
    one_each = {frame.series_uid: frame for frame in frames}
    return min(
        (read_number(frame.image.header, "SeriesNumber") or 0.0, uid)
        for uid, frame in one_each.items()
    )


def _motion(part: Slice) -> Hashable:
    """Return whether a slice shows a beat, a longer time, or less than eight phases."""
    return part.has_beat, len(part.times_ms) >= CINE_PHASES


def _separate_overlapping(takes: Sequence[_Take]) -> list[list[_Take]]:
    """Separate stacks whose slices overlap: planes nearer than half the slice thickness.

    The planes of one series stay together, and the acquisitions of a plane in their order.
    """
    lanes: list[list[_Take]] = []
    by_series = group_by(takes, lambda take: take.series)
    for _, part in sorted(by_series.items()):
        lane = next((lane for lane in lanes if not _do_overlap(part, lane)), None)
        if lane is None:
            lanes.append(part)
        else:
            lane.extend(part)
    order = {id(take): number for number, take in enumerate(takes)}
    return [sorted(lane, key=lambda take: order[id(take)]) for lane in lanes]


def _do_overlap(part: Sequence[_Take], lane: Sequence[_Take]) -> bool:
    thickness_mm = read_number(lane[0].part.images[0].header, "SliceThickness") or 0.0
    one, other = (np.array([take.depth_mm for take in takes]) for takes in (part, lane))
    distances = np.abs(one[:, None] - other)
    return bool(np.any((distances > SAME_POSITION_MM) & (distances < thickness_mm / 2)))


def _build_stacks(takes: Iterable[_Take]) -> list[Stack]:
    """Return the stack of the acquisitions that are used, and stacks of those they replace."""
    used: list[Slice] = []
    replaced: dict[tuple[int, Replaced], list[Slice]] = defaultdict(list)
    for made in group_by(takes, lambda take: take.position).values():
        parts = [take.part for take in made]
        if len(parts) == 1:
            used.extend(parts)
            continue
        chosen = choose_acquisition([part.coverage for part in parts])
        is_stated = is_order_stated([part.images[0] for part in parts])
        used.append(replace(parts[chosen], taken=len(parts), is_order_stated=is_stated))
        for number, part in enumerate(parts):
            if number > chosen:
                replaced[len(parts) - number, Replaced.INCOMPLETE].append(part)
            elif number < chosen:
                reason = Replaced.LATER if is_stated else Replaced.UNORDERED
                replaced[len(parts) - number, reason].append(part)
    again = (Stack(tuple(parts), reason) for (_, reason), parts in sorted(replaced.items()))
    return [Stack(tuple(used)), *again]


def _phase_order(frame: Frame) -> tuple[float, float, tuple[str, int]]:
    instance = read_number(frame.image.header, "InstanceNumber")
    return (
        0.0 if frame.time_ms is None else frame.time_ms,
        0.0 if instance is None else instance,
        _identity(frame.image),
    )


def _build_slice(frames: Sequence[Frame]) -> Slice:
    """Return the slice of one acquisition of a plane, with its phases and one heartbeat."""
    triggers = [frame.time_ms if frame.timed_by == TRIGGER.keyword else None for frame in frames]
    phases = order_phases([frame.image for frame in frames], triggers)
    beat = find_beat(phases)
    return Slice(frames[0].plane, phases.images, phases.times_ms, beat, frames[0].centre)
