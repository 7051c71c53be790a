"""From the images of a study to stacks: parallel slices, measured alike, each with its phases.

Rule: the images decide, not the series that carry them. Images of one kind (image type, sequence,
matrix) and one orientation are one stack, whether they came as one series a slice, all in one, or
split at random; where two series show the same position at the same time, the later one is a
repetition and a stack of its own. Phases follow the trigger time, not the instance number. Of what
series are called, no more counts than the caller says keeps them apart.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from triage.imaging.geometry import Plane, read_number, read_plane
from triage.imaging.images import Image
from triage.imaging.rules import read_text

SAME_DIRECTION = 0.0002  #: 1 - cosine: orientations within about one degree are one
SAME_PLACE_MM = 0.5
#: What tells groups that one series mixes apart, and how many of them one may mix.
GROUPS = {"EchoTime": 16, "AcquisitionNumber": 4}
CINE_PHASES = 8  #: fewer images at one position are no cine
BEAT_MS = 2500.0  #: trigger times that span more than a slow beat are plain time: perfusion


@dataclass(frozen=True, eq=False)
class Slice:
    """The images at one position, by phase."""

    plane: Plane
    images: tuple[Image, ...]
    times_ms: tuple[float, ...]  #: distinct trigger times, rising; empty where none is stated

    @property
    def span_ms(self) -> float:
        """From the first to the last trigger time."""
        return self.times_ms[-1] - self.times_ms[0] if self.times_ms else 0.0

    @property
    def beats(self) -> bool:
        """Whether it shows a heartbeat: eight or more phases of no more than a slow beat."""
        return len(self.times_ms) >= CINE_PHASES and self.span_ms <= BEAT_MS


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices, in order along their normal."""

    slices: tuple[Slice, ...]

    @property
    def first(self) -> Image:
        """The image that speaks for all."""
        return self.slices[0].images[0]

    @property
    def images(self) -> tuple[Image, ...]:
        """All images."""
        return tuple(image for at in self.slices for image in at.images)

    @property
    def fullest(self) -> Slice:
        """The slice with the most phases."""
        return max(self.slices, key=lambda at: (len(at.times_ms), len(at.images)))


class Frame(NamedTuple):
    """An image on its way into a stack."""

    image: Image
    plane: Plane
    time_ms: float | None
    series_uid: str
    place: int = 0  #: which of the positions of its orientation


def group_stacks(
    images: Iterable[Image], apart: Callable[[Image], Hashable] = lambda _image: None
) -> list[Stack]:
    """Return the stacks of images that all have a plane; the order of `images` is no matter.

    Images for which `apart` differs never stand in one stack; it is asked once for each kind of
    image of a series.
    """
    frames = [_frame(image) for image in sorted(images, key=_identity)]
    directions = _Clusters(lambda a, b: bool(np.all(np.sum(a * b, axis=1) > 1 - SAME_DIRECTION)))
    alike: dict[Hashable, list[Frame]] = defaultdict(list)
    known: dict[Hashable, Hashable] = {}
    for frame in frames:
        direction = directions.index(np.array([frame.plane.row, frame.plane.column]), 3)
        kind = _kind(frame.image)
        if (frame.series_uid, kind) not in known:
            known[frame.series_uid, kind] = apart(frame.image)
        alike[kind, known[frame.series_uid, kind], direction].append(frame)
    return [stack for group in alike.values() for stack in _stacks(group)]


def _identity(image: Image) -> tuple[str, int]:
    return str(image.header.SOPInstanceUID), image.frame or 0


def _frame(image: Image) -> Frame:
    plane = read_plane(image.header)
    if plane is None:
        raise ValueError("an image without a plane stands in no stack")
    series_uid = str(image.header.get("SeriesInstanceUID") or "")
    return Frame(image, plane, read_number(image.header, "TriggerTime"), series_uid)


def _kind(image: Image) -> Hashable:
    """Return what images of one stack share."""
    keywords = "ImageType", "ScanningSequence", "Rows", "Columns"
    return tuple(read_text(image.header, keyword) for keyword in keywords)


class _Clusters:
    """Numbers for values, the same for values that are near enough."""

    def __init__(self, near: Callable[[np.ndarray, np.ndarray], bool]) -> None:
        self._near = near
        self._centres: list[np.ndarray] = []
        self._known: dict[bytes, int] = {}

    def index(self, value: np.ndarray, digits: int) -> int:
        key = (np.round(value, digits) + 0.0).tobytes()
        if key not in self._known:
            near = (n for n, centre in enumerate(self._centres) if self._near(centre, value))
            found = next(near, None)
            if found is None:
                found = len(self._centres)
                self._centres.append(value)
            self._known[key] = found
        return self._known[key]


def _stacks(group: list[Frame]) -> list[Stack]:
    """Join what the series of one kind and orientation show, as far as nothing comes twice."""
    places = _Clusters(lambda a, b: bool(np.abs(a - b).max() < SAME_PLACE_MM))
    series: dict[str, list[Frame]] = defaultdict(list)
    for frame in group:
        place = places.index(frame.plane.position, 2)
        series[frame.series_uid].append(frame._replace(place=place))
    joined: list[list[Frame]] = []
    for part in sorted(series.values(), key=_series_order):
        for run in _runs(part):
            stack = next((each for each in joined if _goes_with(run, each)), None)
            if stack is None:
                joined.append(run)
            else:
                stack.extend(run)
    return [_stack(frames) for frames in joined]


def _series_order(part: Sequence[Frame]) -> tuple[float, str]:
    series_number = read_number(part[0].image.header, "SeriesNumber")
    return (0.0 if series_number is None else series_number), part[0].series_uid


def _runs(part: list[Frame]) -> list[list[Frame]]:
    """Divide what one series mixes: echoes, acquisitions, or the same phases over again."""
    if not _repeats(part):
        return [part]
    for keyword, most in GROUPS.items():
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in part:
            groups[read_text(frame.image.header, keyword)].append(frame)
        if 1 < len(groups) <= most and not any(map(_repeats, groups.values())):
            return [groups[key] for key in sorted(groups)]
    return _rounds(part)


def _rounds(part: list[Frame]) -> list[list[Frame]]:
    """Divide a cine that was measured more than once: its first round, its second and so on."""
    at: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in sorted(part, key=_phase_order):
        at[_moment(frame)].append(frame)
    rounds = {len(frames) for frames in at.values()}
    times = {frame.time_ms for frame in part}
    if len(rounds) > 1 or len(times) < CINE_PHASES:
        return [part]
    return [list(frames) for frames in zip(*at.values(), strict=True)]


def _moment(frame: Frame) -> Hashable:
    return frame.place, None if frame.time_ms is None else round(frame.time_ms, 1)


def _repeats(part: Sequence[Frame]) -> bool:
    return len({_moment(frame) for frame in part}) < len(part)


def _goes_with(run: Sequence[Frame], stack: Sequence[Frame]) -> bool:
    """Tell whether no moment comes twice, and slices lie beside, not within, one another."""
    if {_moment(frame) for frame in run} & {_moment(frame) for frame in stack}:
        return False
    normal = stack[0].plane.normal
    ours = _depths(run, normal)
    theirs = _depths(stack, normal)
    apart = np.abs(ours[:, None] - theirs)
    thickness = read_number(stack[0].image.header, "SliceThickness") or 0.0
    return not np.any((apart > SAME_PLACE_MM) & (apart < thickness / 2))


def _depths(frames: Sequence[Frame], normal: np.ndarray) -> np.ndarray:
    places = {frame.place: float(frame.plane.position @ normal) for frame in frames}
    return np.array(sorted(places.values()))


def _stack(frames: Sequence[Frame]) -> Stack:
    at: dict[int, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=_phase_order):
        at[frame.place].append(frame)
    normal = frames[0].plane.normal
    slices = [_slice(each) for each in at.values()]
    return Stack(tuple(sorted(slices, key=lambda one: float(one.plane.position @ normal))))


def _phase_order(frame: Frame) -> tuple[float, float, tuple[str, int]]:
    instance = read_number(frame.image.header, "InstanceNumber")
    return (
        0.0 if frame.time_ms is None else frame.time_ms,
        0.0 if instance is None else instance,
        _identity(frame.image),
    )


def _slice(frames: Sequence[Frame]) -> Slice:
    """Return the images at a position; phases that are counted but not timed follow one another."""
    times = sorted({frame.time_ms for frame in frames if frame.time_ms is not None})
    header = frames[0].image.header
    if not times and read_number(header, "CardiacNumberOfImages") == len(frames) >= CINE_PHASES:
        beat_ms = read_number(header, "NominalInterval") or 1000.0
        times = [beat_ms * phase / len(frames) for phase in range(len(frames))]
    return Slice(frames[0].plane, tuple(frame.image for frame in frames), tuple(times))
