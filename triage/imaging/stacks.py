"""Stacks from the images of a study: parallel slices of one acquisition, each with its phases.

The images decide, not the series that contain them. Images of one kind (image type, scanning
sequence, matrix) and one orientation form a stack, whether they came as one series per slice, in a
single series, or split at random. If two series show the same position at the same time, the later
one is a repetition and becomes a stack of its own. Phases follow the trigger time, not the instance
number. Series names matter only as far as the caller's `separation_key` uses them.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from triage.imaging.geometry import Plane, read_number, read_plane
from triage.imaging.images import Image
from triage.imaging.rules import read_text

SAME_DIRECTION = 0.0002  #: 1 - cosine: orientations within about one degree are the same
SAME_POSITION_MM = 0.5
#: Attributes that distinguish groups mixed in one series, and the largest number of such groups.
GROUPS = {"EchoTime": 16, "AcquisitionNumber": 4}
CINE_PHASES = 8  #: fewer images at one position are not a cine
BEAT_MS = 2500.0  #: a longer span of trigger times than a slow beat is plain time: perfusion


@dataclass(frozen=True, eq=False)
class Slice:
    """The images at one position, by phase."""

    plane: Plane
    images: tuple[Image, ...]
    times_ms: tuple[float, ...]  #: distinct trigger times, rising; empty if none is stated

    @property
    def span_ms(self) -> float:
        """Return the time from the first to the last trigger time."""
        return self.times_ms[-1] - self.times_ms[0] if self.times_ms else 0.0

    @property
    def has_beat(self) -> bool:
        """Whether it shows a heartbeat: eight or more phases within the time of a slow beat."""
        return len(self.times_ms) >= CINE_PHASES and self.span_ms <= BEAT_MS


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices, in order along their normal."""

    slices: tuple[Slice, ...]

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
        """The slice with the most phases."""
        return max(self.slices, key=lambda part: (len(part.times_ms), len(part.images)))


class Frame(NamedTuple):
    """An image that is being sorted into a stack."""

    image: Image
    plane: Plane
    time_ms: float | None  #: trigger time
    series_uid: str
    position: int = 0  #: index among the distinct positions of its orientation


def group_stacks(
    images: Iterable[Image], separation_key: Callable[[Image], Hashable] = lambda _image: None
) -> list[Stack]:
    """Return the stacks of images that all have a plane, whatever the order of `images`.

    Images with different separation keys are never put in one stack; the key is computed once for
    each kind of image of a series.

    Raises:
        ValueError: An image has no plane.
    """
    frames = [_frame(image) for image in sorted(images, key=_identity)]
    directions = _Clusters(lambda a, b: bool(np.all(np.sum(a * b, axis=1) > 1 - SAME_DIRECTION)))
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    keys: dict[Hashable, Hashable] = {}
    for frame in frames:
        direction = directions.index(np.array([frame.plane.row, frame.plane.column]), 3)
        kind = _kind(frame.image)
        if (frame.series_uid, kind) not in keys:
            keys[frame.series_uid, kind] = separation_key(frame.image)
        groups[kind, keys[frame.series_uid, kind], direction].append(frame)
    return [stack for group in groups.values() for stack in _group_by_series(group)]


def _identity(image: Image) -> tuple[str, int]:
    return str(image.header.SOPInstanceUID), image.frame or 0


def _frame(image: Image) -> Frame:
    plane = read_plane(image.header)
    if plane is None:
        raise ValueError("an image without a plane cannot be part of a stack")
    series_uid = str(image.header.get("SeriesInstanceUID") or "")
    return Frame(image, plane, read_number(image.header, "TriggerTime"), series_uid)


def _kind(image: Image) -> Hashable:
    """Return the attributes that all images of a stack share."""
    keywords = "ImageType", "ScanningSequence", "Rows", "Columns"
    return tuple(read_text(image.header, keyword) for keyword in keywords)


class _Clusters:
    """Assigns an index to each value; values that are close to each other share one."""

    def __init__(self, is_near: Callable[[np.ndarray, np.ndarray], bool]) -> None:
        self._is_near = is_near
        self._centres: list[np.ndarray] = []
        self._indices: dict[bytes, int] = {}

    def index(self, value: np.ndarray, digits: int) -> int:
        """Return the index of a value; values equal to `digits` decimals are looked up once."""
        key = (np.round(value, digits) + 0.0).tobytes()
        if key not in self._indices:
            near = (n for n, centre in enumerate(self._centres) if self._is_near(centre, value))
            index = next(near, None)
            if index is None:
                index = len(self._centres)
                self._centres.append(value)
            self._indices[key] = index
        return self._indices[key]


def _group_by_series(group: list[Frame]) -> list[Stack]:
    """Join the series of one kind and orientation, unless a position and time would repeat."""
    positions = _Clusters(lambda a, b: bool(np.abs(a - b).max() < SAME_POSITION_MM))
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in group:
        position = positions.index(frame.plane.position, 2)
        series[frame.series_uid].append(frame._replace(position=position))
    joined: list[list[Frame]] = []
    for part in sorted(series.values(), key=_series_order):
        for run in _split_series(part):
            stack = next((frames for frames in joined if _can_join(run, frames)), None)
            if stack is None:
                joined.append(run)
            else:
                stack.extend(run)
    return [_build_stack(frames) for frames in joined]


def _series_order(part: Sequence[Frame]) -> tuple[float, str]:
    series_number = read_number(part[0].image.header, "SeriesNumber")
    return (0.0 if series_number is None else series_number), part[0].series_uid


def _split_series(part: list[Frame]) -> list[list[Frame]]:
    """Split a series that mixes echoes, acquisitions, or repetitions of the same phases."""
    if not _has_repeats(part):
        return [part]
    for keyword, most in GROUPS.items():
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in part:
            groups[read_text(frame.image.header, keyword)].append(frame)
        if 1 < len(groups) <= most and not any(map(_has_repeats, groups.values())):
            return [groups[key] for key in sorted(groups)]
    return _split_repetitions(part)


def _split_repetitions(part: list[Frame]) -> list[list[Frame]]:
    """Split a cine that was acquired more than once into its first, second and further rounds."""
    by_moment: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in sorted(part, key=_phase_order):
        by_moment[_moment(frame)].append(frame)
    rounds = {len(frames) for frames in by_moment.values()}
    times = {frame.time_ms for frame in part}
    if len(rounds) > 1 or len(times) < CINE_PHASES:
        return [part]
    return [list(frames) for frames in zip(*by_moment.values(), strict=True)]


def _moment(frame: Frame) -> Hashable:
    """Return the position and time of a frame."""
    return frame.position, None if frame.time_ms is None else round(frame.time_ms, 1)


def _has_repeats(part: Sequence[Frame]) -> bool:
    return len({_moment(frame) for frame in part}) < len(part)


def _can_join(run: Sequence[Frame], stack: Sequence[Frame]) -> bool:
    """Return whether no moment would repeat and no slices would overlap."""
    if {_moment(frame) for frame in run} & {_moment(frame) for frame in stack}:
        return False
    normal = stack[0].plane.normal
    distances = np.abs(_depths(run, normal)[:, None] - _depths(stack, normal))
    thickness = read_number(stack[0].image.header, "SliceThickness") or 0.0
    return not np.any((distances > SAME_POSITION_MM) & (distances < thickness / 2))


def _depths(frames: Sequence[Frame], normal: np.ndarray) -> np.ndarray:
    """Return the distinct depths of frames along `normal`, mm, rising."""
    depths = {frame.position: float(frame.plane.position @ normal) for frame in frames}
    return np.array(sorted(depths.values()))


def _build_stack(frames: Sequence[Frame]) -> Stack:
    by_position: dict[int, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=_phase_order):
        by_position[frame.position].append(frame)
    normal = frames[0].plane.normal
    slices = [_build_slice(group) for group in by_position.values()]
    return Stack(tuple(sorted(slices, key=lambda part: float(part.plane.position @ normal))))


def _phase_order(frame: Frame) -> tuple[float, float, tuple[str, int]]:
    instance = read_number(frame.image.header, "InstanceNumber")
    return (
        0.0 if frame.time_ms is None else frame.time_ms,
        0.0 if instance is None else instance,
        _identity(frame.image),
    )


def _build_slice(frames: Sequence[Frame]) -> Slice:
    """Build the slice of one position; phases without trigger times are spread over the beat.

    That needs CardiacNumberOfImages to equal the number of frames.
    """
    times = sorted({frame.time_ms for frame in frames if frame.time_ms is not None})
    header = frames[0].image.header
    if not times and read_number(header, "CardiacNumberOfImages") == len(frames) >= CINE_PHASES:
        beat_ms = read_number(header, "NominalInterval") or 1000.0
        times = [beat_ms * phase / len(frames) for phase in range(len(frames))]
    return Slice(frames[0].plane, tuple(frame.image for frame in frames), tuple(times))
