"""The acquisitions of one plane: how often it was taken, in which order, and which one is used.

A technologist repeats a slice because the first try is not good enough, so a repeat replaces it:
the latest whole acquisition is used. Two acquisitions are never laid into each other. Phases of one
acquisition have different times on one grid; images that repeat a time, or whose times do not lie
on one grid, are of several. The rounds of one series are stated by AcquisitionNumber, the time of
acquisition, InstanceNumber or, last, the SOP Instance UID, whichever gives rounds that cannot be
parts of each other.

An acquisition is whole if it has as many phases as any other, or covers as much of the heartbeat,
less a tenth.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import StrEnum
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydicom import Dataset

from triage.imaging.beats import split_where_triggers_restart
from triage.imaging.geometry import Plane, Vector, read_number
from triage.imaging.images import Image
from triage.imaging.phases import CINE_PHASES, DELAYS, TimedImage
from triage.imaging.rules import read_text

MOST_ROUNDS = 16
MOST_UNTIMED = 4  #: rounds of images without times; more numbers are those of phases
SAME_TIME_MS = 0.05
#: Largest deviation of a gap between two phases from a multiple of the step, in steps.
OFF_GRID = 0.1
#: Fewer of the places of a grid are filled if two acquisitions are laid into each other.
FILLED = 0.7
WHOLE = 0.9  #: share of the largest coverage that a whole acquisition has at least

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
#: What a statement of order gives; None if the header does not state it.
Stated = Any


class Frame(NamedTuple):
    """An image that is being sorted into a stack."""

    image: Image
    plane: Plane
    centre: Vector  #: of the image, mm
    time_ms: float | None  #: trigger time, or what else states its phase
    timed_by: str  #: the attribute that states it; empty if none does
    series_uid: str


class Replaced(StrEnum):
    """Why an acquisition is not used although its plane is wanted."""

    LATER = "taken again, and the later acquisition replaces it"
    INCOMPLETE = "incomplete, and a whole acquisition of the same plane replaces it"
    UNORDERED = "taken several times in no stated order, and another acquisition was chosen"


class Coverage(NamedTuple):
    """How much an acquisition shows of the heartbeat."""

    phases: int  #: 0 for fewer than eight phases, which are no cycle
    covered_ms: float  #: its phases times their step
    interval_ms: float | None  #: the nominal heartbeat interval; None if not stated


def find_acquisitions(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Return the acquisitions of the frames of one plane, the latest last.

    Every frame is in exactly one acquisition. Frames without times are kept together unless their
    series or acquisition numbers differ.
    """
    if _is_one_acquisition(frames):
        return [list(frames)]
    by_series = group_by(frames, lambda frame: frame.series_uid)
    parts = [part for own in by_series.values() for part in _split_rounds(own)]
    joined = _join_parts(_in_order(parts)) if len(by_series) > 1 else parts
    return _in_order(joined)


def measure_coverage(times_ms: Sequence[float], header: Dataset) -> Coverage:
    """Return how much of the heartbeat the phases of an acquisition cover."""
    if len(times_ms) < CINE_PHASES:
        return Coverage(0, 0.0, None)
    interval_ms = read_number(header, "NominalInterval") or 0.0
    covered_ms = len(times_ms) * float(np.median(np.diff(times_ms)))
    return Coverage(len(times_ms), covered_ms, interval_ms if interval_ms > 0 else None)


def choose_acquisition(made: Sequence[Coverage]) -> int:
    """Return the index of the acquisition that is used: the latest whole one.

    Shares of a heartbeat are compared if all intervals are stated, and milliseconds otherwise.

    Args:
        made: Acquisitions of one plane, the latest last.
    """
    shares = [
        min(1.0, each.covered_ms / each.interval_ms)
        for each in made
        if each.interval_ms is not None
    ]
    covered = shares if len(shares) == len(made) else [each.covered_ms for each in made]
    most = max(each.phases for each in made)
    return max(
        number
        for number, each in enumerate(made)
        if each.phases == most or covered[number] >= WHOLE * max(covered)
    )


def is_order_stated(images: Sequence[Image]) -> bool:
    """Return whether the headers state which of several acquisitions is the later one.

    Args:
        images: One image of each acquisition.
    """
    keys = _order_keys(images)
    return len(set(keys)) == len(keys)


def find_latest(images: Sequence[Image]) -> Image:
    """Return the image that was acquired last."""
    if len(images) == 1:
        return images[0]
    keys = [(key, uid_order(image)) for key, image in zip(_order_keys(images), images, strict=True)]
    return images[max(range(len(images)), key=keys.__getitem__)]


def group_by(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return values by key, in the order in which the keys occur first."""
    groups: dict[K, list[T]] = defaultdict(list)
    for value in values:
        groups[key(value)].append(value)
    return groups


def has_repeats(frames: Sequence[Frame]) -> bool:
    """Return whether two frames of one plane have the same time."""
    return len({_moment(frame) for frame in frames}) < len(frames)


def uid_order(image: Image) -> tuple[Hashable, ...]:
    """Return a key that sorts images by the numbers in their SOP Instance UIDs."""
    parts = str(image.header.SOPInstanceUID).split(".")
    return (*((len(part), part) for part in parts), (image.frame or 0, ""))


# -- one acquisition or several


def _moment(frame: Frame) -> float | None:
    return None if frame.time_ms is None else round(frame.time_ms, 1)


def _times(frames: Iterable[Frame]) -> list[float]:
    return sorted({moment for frame in frames if (moment := _moment(frame)) is not None})


def _is_one_acquisition(frames: Sequence[Frame]) -> bool:
    if len(frames) == 1:
        return True
    is_one_series = len({frame.series_uid for frame in frames}) == 1
    if is_one_series and _is_real_time(frames):
        return True
    if has_repeats(frames) or (not is_one_series and len(frames) < CINE_PHASES):
        return False
    return is_one_series and (len(frames) < CINE_PHASES or _lie_on_grid(_times(frames)))


def _is_real_time(frames: Sequence[Frame]) -> bool:
    """Return whether frames were acquired over several beats, whose triggers start again."""
    if len(frames) < CINE_PHASES or (_lie_on_grid(_times(frames)) and not has_repeats(frames)):
        return False
    timed = [
        TimedImage(frame.time_ms, frame.image)
        for frame in frames
        if frame.time_ms is not None and frame.timed_by in DELAYS
    ]
    timed.sort(key=lambda each: each.time_ms)
    return bool(split_where_triggers_restart(timed))


def _lie_on_grid(times_ms: Sequence[float], filled: float = FILLED) -> bool:
    """Return whether times are evenly spaced, except for a few that are missing."""
    gaps = np.diff(times_ms)
    if not len(gaps):
        return True
    smallest = gaps.min()
    steps = gaps / gaps[gaps < 1.5 * smallest].mean()  # times may be rounded to whole ms
    is_even = bool(np.all(np.abs(steps - np.rint(steps)) < OFF_GRID))
    return is_even and len(times_ms) >= filled * (1 + float(np.rint(steps).sum()))


def _overlap(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Return whether the times of two groups of frames lie between each other."""
    a, b = _times(one), _times(other)
    return bool(a and b) and a[0] <= b[-1] and b[0] <= a[-1]


def _could_be_one(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Return whether two groups of frames could be phases of one acquisition."""
    both = [*one, *other]
    return not has_repeats(both) and (not _overlap(one, other) or _lie_on_grid(_times(both)))


# -- rounds of one series


def _split_rounds(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Split the frames of one series into its acquisitions."""
    repeats = has_repeats(frames)
    times = _times(frames)
    if len(times) < CINE_PHASES:
        return _split_untimed(frames) if repeats else [list(frames)]
    if not repeats and _lie_on_grid(times):
        return [list(frames)]
    for statement in (_acquisition_number, _acquired_at, _instance_number, _uid):
        rounds = _walk(frames, statement)
        if _are_rounds(rounds):
            return rounds
    return _split_by_occurrence(frames)


def _split_untimed(frames: Sequence[Frame]) -> list[list[Frame]]:
    groups = group_by(frames, lambda frame: _acquisition_number(frame.image))
    is_stated = None not in groups and 1 < len(groups) <= MOST_UNTIMED
    if not is_stated or any(map(has_repeats, groups.values())):
        return [list(frames)]
    return list(groups.values())


def _walk(frames: Sequence[Frame], statement: Callable[[Image], Stated]) -> list[list[Frame]]:
    """Go through frames in a stated order, and begin a round whenever the times begin again."""
    values = [statement(frame.image) for frame in frames]
    if None in values:
        return []
    keyed = [
        (value, frame.time_ms or 0.0, uid_order(frame.image))
        for value, frame in zip(values, frames, strict=True)
    ]
    rounds: list[list[Frame]] = []
    last_ms = np.inf
    for index in sorted(range(len(frames)), key=keyed.__getitem__):
        frame = frames[index]
        time_ms = frame.time_ms or 0.0
        if time_ms < last_ms + SAME_TIME_MS:
            rounds.append([])
        rounds[-1].append(frame)
        last_ms = time_ms
    return rounds


def _are_rounds(rounds: Sequence[Sequence[Frame]]) -> bool:
    """Return whether no two rounds could be parts of one acquisition."""
    if not 1 < len(rounds) <= MOST_ROUNDS:
        return False
    if any(_could_be_one(one, other) for one, other in combinations(rounds, 2)):
        return False
    merged = [frame for part in rounds for frame in part]
    return has_repeats(merged) or all(_lie_on_grid(_times(part)) for part in rounds)


def _split_by_occurrence(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Split frames into the first, second and further images of every time."""
    by_moment = group_by(
        sorted(frames, key=lambda f: (_instance_number(f.image) or (0.0, 0), uid_order(f.image))),
        _moment,
    )
    most = max(map(len, by_moment.values()))
    return [[same[n] for same in by_moment.values() if n < len(same)] for n in range(most)]


# -- one acquisition in several series


def _join_parts(parts: Sequence[list[Frame]]) -> list[list[Frame]]:
    """Join the parts of an acquisition whose images are divided among several series."""
    is_one_grid = _lie_on_grid(_times(frame for part in parts for frame in part))
    pool, members, rest = list(parts[0]), [parts[0]], []
    for part in parts[1:]:
        belongs = _could_belong(part, pool, is_one_grid=is_one_grid)
        if belongs and not _is_stated_apart(part, pool):
            pool.extend(part)
            members.append(part)
        else:
            rest.append(part)
    is_one = len(pool) >= CINE_PHASES and _lie_on_grid(_times(pool))
    joined = [pool] if is_one else members
    return [*joined, *(_join_parts(rest) if rest else [])]


def _could_belong(part: Sequence[Frame], pool: Sequence[Frame], *, is_one_grid: bool) -> bool:
    both = [*part, *pool]
    is_timed = len({frame.timed_by for frame in both} | {""}) == 2  # noqa: PLR2004 - one attribute
    if not is_timed or has_repeats(both) or any(frame.time_ms is None for frame in both):
        return False
    return is_one_grid or _lie_on_grid(_times(both), filled=0)


def _is_stated_apart(part: Sequence[Frame], pool: Sequence[Frame]) -> bool:
    """Return whether two whole groups of phases were acquired one after the other."""
    if min(len(part), len(pool)) < CINE_PHASES or not _overlap(part, pool):
        return False
    one, other = (list(filter(None, map(_acquired_at, _images(group)))) for group in (part, pool))
    if len(one) < len(part) or len(other) < len(pool):
        return False
    return max(one) < min(other) or max(other) < min(one)


def _images(frames: Iterable[Frame]) -> list[Image]:
    return [frame.image for frame in frames]


# -- the order of acquisitions


def _in_order(parts: Sequence[list[Frame]]) -> list[list[Frame]]:
    """Return acquisitions in the order in which they were made."""
    if len(parts) < 2:  # noqa: PLR2004 - one has no order
        return list(parts)
    first = [
        min(part, key=lambda f: (f.time_ms or 0.0, uid_order(f.image))).image for part in parts
    ]
    keys = [(key, uid_order(image)) for key, image in zip(_order_keys(first), first, strict=True)]
    return [parts[n] for n in sorted(range(len(parts)), key=keys.__getitem__)]


def _order_keys(images: Sequence[Image]) -> list[tuple[Stated, ...]]:
    """Return sort keys from all statements of order that every image makes.

    Within a series, acquisitions and instances are numbered; across series they begin again.
    """
    is_one_series = len({read_text(image.header, "SeriesInstanceUID") for image in images}) == 1
    columns = (
        [statement(image) for image in images]
        for statement in (WITHIN_SERIES if is_one_series else ACROSS_SERIES)
    )
    return list(zip(*(column for column in columns if None not in column), strict=True)) or [
        () for _ in images
    ]


def _acquisition_number(image: Image) -> float | None:
    number = read_number(image.header, "FrameAcquisitionNumber")
    return read_number(image.header, "AcquisitionNumber") if number is None else number


def _instance_number(image: Image) -> tuple[float, int] | None:
    number = read_number(image.header, "InstanceNumber")
    return None if number is None else (number, image.frame or 0)


def _series_number(image: Image) -> float | None:
    return read_number(image.header, "SeriesNumber")


def _uid(image: Image) -> tuple[Hashable, ...]:
    return uid_order(image)


def _acquired_at(image: Image) -> str | None:
    return _read_time(
        image.header, ("FrameAcquisitionDateTime", "AcquisitionDateTime"), "Acquisition"
    )


def _series_begun_at(image: Image) -> str | None:
    return _read_time(image.header, (), "Series")


WITHIN_SERIES: tuple[Callable[[Image], Stated], ...] = (
    _acquisition_number,
    _acquired_at,
    _instance_number,
)
ACROSS_SERIES: tuple[Callable[[Image], Stated], ...] = (
    _acquired_at,
    _series_begun_at,
    _series_number,
    _acquisition_number,
)


def _read_time(header: Dataset, keywords: Iterable[str], prefix: str) -> str | None:
    """Return a date and time as text that sorts (DT, or DA and TM; PS3.5 6.2); None if missing."""
    for keyword in keywords:
        if stated := _digits(read_text(header, keyword)):
            return stated
    time = _digits(read_text(header, f"{prefix}Time"))
    if len(time.partition(".")[0]) > len("HHMMSS"):  # a date and time from Enhanced MR
        return time
    date = _digits(read_text(header, f"{prefix}Date"))
    return f"{date:0>8}{time}" if time else None


def _digits(text: str) -> str:
    """Return the digits and fraction of a DT, DA or TM, without the offset from UTC."""
    plain = text.replace(":", "").split("+")[0].split("-")[0].strip()
    return plain if plain.replace(".", "", 1).isdigit() else ""
