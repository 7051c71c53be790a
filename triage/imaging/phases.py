"""The phases of the images at one position, by the first attribute that states them.

`SOURCES` is the order. An attribute states the phases if it gives eight or more different values,
and a value to every image but one in ten. Delays after the R wave come first, because they are
times of a beat. Positions and numbers order the images; their times are spread over the beat.
Clocks come last: they must rise with the instance number, because a reconstruction by several
processes writes its images out of order. Content Time belongs to the reconstruction: it orders the
images and says nothing about the beat (PS3.3 C.7.6.1).

A Trigger Time that is the same in all images, and not zero, states that all of them show one phase,
each of another beat. Only attributes of the cardiac phase itself are read beside it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from operator import itemgetter
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from pydicom import Dataset

from triage.dicom.header import read_cardiac_images, read_temporal_positions
from triage.imaging.geometry import read_number
from triage.imaging.images import Image
from triage.imaging.rules import read_text

CINE_PHASES = 8  #: fewer images at one position are not a cine
BEAT_MS = 2500.0  #: a slow beat; longer times are plain time: perfusion, or several beats
HEARTBEAT_MS = 400.0  #: no patient's heart beats faster than this at rest
SHORTEST_BEAT_MS = 300.0  #: a shorter interval in a header is not plausible
NOMINAL_BEAT_MS = 1000.0  #: over which phases are spread if no attribute states the beat
#: GE writes Temporal Resolution in microseconds; no phase lasts longer than this.
LONGEST_PHASE_MS = 5000.0
DAY_MS = 86_400_000.0

Values = list[float | None]


class SourceKind(Enum):
    """What the values of an attribute are."""

    DELAY = auto()  #: ms after the R wave
    PERCENT = auto()  #: of the beat, 0 to 100
    POSITION = auto()  #: number of the phase
    COUNTED = auto()  #: number of the image, if there are as many images as phases are stated
    ELAPSED = auto()  #: ms of plain time
    ACQUIRED = auto()  #: time of day of the acquisition
    WRITTEN = auto()  #: time of day of the reconstruction


class PhaseSource(NamedTuple):
    """An attribute that can state the phase of an image."""

    keyword: str
    kind: SourceKind


SOURCES = (
    PhaseSource("TriggerTime", SourceKind.DELAY),
    PhaseSource("NominalCardiacTriggerDelayTime", SourceKind.DELAY),
    PhaseSource("ActualCardiacTriggerDelayTime", SourceKind.DELAY),
    PhaseSource("NominalPercentageOfCardiacPhase", SourceKind.PERCENT),
    PhaseSource("TemporalPositionIdentifier", SourceKind.POSITION),
    PhaseSource("TemporalPositionIndex", SourceKind.POSITION),
    PhaseSource("InstanceNumber", SourceKind.COUNTED),
    PhaseSource("FrameReferenceTime", SourceKind.ELAPSED),
    PhaseSource("AcquisitionDateTime", SourceKind.ACQUIRED),
    PhaseSource("AcquisitionTime", SourceKind.ACQUIRED),
    PhaseSource("ContentTime", SourceKind.WRITTEN),
)
TRIGGER = SOURCES[0]
DELAYS = {source.keyword for source in SOURCES if source.kind is SourceKind.DELAY}
#: Sources that state the cardiac phase itself; only these are read if all images have the same
#: Trigger Time.
OF_THE_BEAT = {SourceKind.DELAY, SourceKind.PERCENT}
#: Sources by which images of two series are compared.
MOMENTS = tuple(s for s in SOURCES if s.kind in {*OF_THE_BEAT, SourceKind.POSITION})
CLOCKS = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")
#: Attributes that state the time from beat to beat, ms.
INTERVALS = ("NominalInterval", "RRIntervalTimeNominal", "CardiacRRIntervalSpecified")
#: Attributes that do not change while a cine is acquired.
CONTRAST = ("EchoTime", "InversionTime", "FlipAngle", "DiffusionBValue")
#: DT or TM (PS3.5 6.2): an optional date, hours, minutes, seconds with fraction.
CLOCK = re.compile(r"(\d{4})?(\d\d)?(\d\d)?(\d\d)(\d\d)(\d\d(?:\.\d+)?)(?:[+-]\d{4})?\s*")
#: A moment of a series: the attribute that states it, empty if none does, and its value.
Moment = tuple[str, float | None]


class TimedImage(NamedTuple):
    """An image with its time."""

    time_ms: float
    image: Image


@dataclass(frozen=True)
class Phases:
    """The images at one position, in the order of their phases."""

    images: tuple[Image, ...]  #: all of them
    timed: tuple[TimedImage, ...]  #: the first image of every time; rising
    source: PhaseSource
    stated: int  #: how many phases the headers state; 0: not stated
    beat_ms: float | None  #: the time from beat to beat; None: not stated

    @property
    def times_ms(self) -> tuple[float, ...]:
        """Return the distinct times, rising."""
        return tuple(each.time_ms for each in self.timed)


def read_moment(image: Image) -> Moment:
    """Return the phase that an image states, by which images of two series are compared."""
    for source in MOMENTS:
        if (value := read_number(image.header, source.keyword)) is not None:
            return source.keyword, value
    return "", None


def order_phases(images: Sequence[Image], triggers: Values) -> Phases:
    """Return the phases of the images at one position.

    Args:
        images: At least one, in the order of trigger times and instance numbers. Fewer than eight
            are ordered by trigger times alone.
        triggers: The TriggerTime of every image, ms; None if it has none.
    """
    if len(images) < CINE_PHASES:
        return Phases(tuple(images), _sort(images, triggers), TRIGGER, 0, None)
    position = _Position(images, read_phase_count(images), read_beat_ms(images))
    source, values = TRIGGER, triggers
    if not _states_phases(triggers):
        is_one_phase = len(set(triggers)) == 1 and bool(triggers[0])
        source, values = _find_source(position, is_one_phase=is_one_phase) or (source, values)
    timed = _sort(images, values)
    ordered = images if source is TRIGGER else [each.image for each in timed]
    kept = {id(image) for image in ordered}
    rest = [image for image in images if id(image) not in kept]
    stated = position.stated
    if source.kind is SourceKind.POSITION:
        stated = stated or read_temporal_positions(images[0].header)
    return Phases((*ordered, *rest), timed, source, stated, position.beat_ms)


class _Position(NamedTuple):
    """The images at one position, with what their headers state about the beat."""

    images: Sequence[Image]
    stated: int
    beat_ms: float | None

    def spread(self, ranks: Sequence[float | None], count: int) -> Values:
        """Return ranks as times of a beat of `count` phases, ms."""
        step_ms = (self.beat_ms or NOMINAL_BEAT_MS) / count
        return [None if rank is None else rank * step_ms for rank in ranks]


def _find_source(position: _Position, *, is_one_phase: bool) -> tuple[PhaseSource, Values] | None:
    """Return the first source other than TriggerTime that states the phases, and its times."""
    for source in SOURCES[1:]:
        if is_one_phase and source.kind not in OF_THE_BEAT:
            continue
        values = READERS[source.kind](position, source.keyword)
        if _states_phases(values):
            return source, values
    return None


def _states_phases(values: Values) -> bool:
    """Return whether there are enough different values, and one for every image but a few."""
    known = [value for value in values if value is not None]
    return len(set(known)) >= CINE_PHASES and len(known) >= least_of(len(values))


def least_of(stated: int) -> int:
    """Return how many of the stated phases must be there: one in ten may be missing."""
    return stated - max(1, stated // 10)


def _sort(images: Sequence[Image], values: Values) -> tuple[TimedImage, ...]:
    first: dict[float, Image] = {}
    for image, value in zip(images, values, strict=True):
        if value is not None:
            first.setdefault(value, image)
    return tuple(TimedImage(time_ms, first[time_ms]) for time_ms in sorted(first))


# -- readers, one for each kind of source; values are times in ms


def _read_delays(position: _Position, keyword: str) -> Values:
    return [read_number(image.header, keyword) for image in position.images]


def _read_percentages(position: _Position, keyword: str) -> Values:
    return position.spread(_read_delays(position, keyword), 100)


def _read_positions(position: _Position, keyword: str) -> Values:
    """Return positions as times; none if the acquisition took longer than a beat."""
    numbers = _read_delays(position, keyword)
    known = [number for number in numbers if number is not None]
    if not known or _is_longer_than_a_beat(position, numbers):
        return []
    first, count = min(known), int(max(known) - min(known)) + 1
    ranks = [None if number is None else number - first for number in numbers]
    resolution_ms = read_number(position.images[0].header, "TemporalResolution") or 0.0
    if resolution_ms > LONGEST_PHASE_MS:
        resolution_ms /= 1000
    is_one_beat = position.beat_ms is not None and count <= position.stated
    if resolution_ms > 0 and not is_one_beat:
        return [None if rank is None else rank * resolution_ms for rank in ranks]
    return position.spread(ranks, max(position.stated, count))


def _is_longer_than_a_beat(position: _Position, numbers: Values) -> bool:
    """Return whether the acquisition times of the first and last image are beats apart."""
    timed = _sort(position.images, numbers)
    first_ms, last_ms = (read_acquisition_ms(timed[at].image.header) for at in (0, -1))
    return first_ms is not None and last_ms is not None and abs(last_ms - first_ms) > BEAT_MS


def _read_counted(position: _Position, _keyword: str) -> Values:
    """Return instance numbers as times, if there are as many images as phases are stated."""
    count = len(position.images)
    if not max(CINE_PHASES, least_of(position.stated)) <= count <= position.stated:
        return []
    return position.spread(_rank([_number(image) for image in position.images]), position.stated)


def _read_elapsed(position: _Position, keyword: str) -> Values:
    return _since_first(position, _read_delays(position, keyword))


def _read_acquired(position: _Position, keyword: str) -> Values:
    values = _since_first(position, [_clock_ms(i.header, keyword) for i in position.images])
    known = [value for value in values if value is not None]
    if known and max(known) < HEARTBEAT_MS:  # too short for a beat: an order, and no time scale
        return position.spread(_rank(values), len(position.images))
    return values


def _read_written(position: _Position, keyword: str) -> Values:
    values = _since_first(position, [_clock_ms(i.header, keyword) for i in position.images])
    known = [value for value in values if value is not None]
    if known and max(known) > BEAT_MS:
        return []
    return position.spread(_rank(values), max(len(position.images), position.stated))


READERS: Mapping[SourceKind, Callable[[_Position, str], Values]] = MappingProxyType(
    {
        SourceKind.DELAY: _read_delays,
        SourceKind.PERCENT: _read_percentages,
        SourceKind.POSITION: _read_positions,
        SourceKind.COUNTED: _read_counted,
        SourceKind.ELAPSED: _read_elapsed,
        SourceKind.ACQUIRED: _read_acquired,
        SourceKind.WRITTEN: _read_written,
    }
)


def _since_first(position: _Position, times_ms: Values) -> Values:
    """Return plain times since the first; none if they do not rise, or the contrast changes."""
    numbered = sorted(zip(map(_number, position.images), times_ms, strict=True), key=itemgetter(0))
    in_order = [time_ms for _, time_ms in numbered if time_ms is not None]
    if not in_order or in_order != sorted(in_order) or not _has_one_contrast(position.images):
        return []
    return [None if time_ms is None else time_ms - in_order[0] for time_ms in times_ms]


def _has_one_contrast(images: Sequence[Image]) -> bool:
    some = (images[0], images[len(images) // 2], images[-1])
    return all(
        len({read_text(image.header, keyword) for image in some}) == 1 for keyword in CONTRAST
    )


def _rank(values: Values) -> Values:
    order = {v: float(rank) for rank, v in enumerate(sorted({v for v in values if v is not None}))}
    return [None if value is None else order[value] for value in values]


def _number(image: Image) -> float:
    """Return a number that orders the instances of a series, and the frames of an instance."""
    instance = read_number(image.header, "InstanceNumber") or 0.0
    return instance * 100_000 + (image.frame or 0)


# -- what headers state about the beat


def read_phase_count(images: Sequence[Image]) -> int:
    """Return how many phases the headers of one position state; 0 if they state none."""
    return read_cardiac_images(images[len(images) // 2].header)


def read_beat_ms(images: Sequence[Image]) -> float | None:
    """Return the time from beat to beat that the headers state, ms; None if they state none.

    It is the median of three images, because it changes from beat to beat in real time.
    """
    some = (images[0], images[len(images) // 2], images[-1])
    stated = [beat_ms for image in some if (beat_ms := _beat_ms(image.header)) is not None]
    return median(stated) if stated else None


def _beat_ms(header: Dataset) -> float | None:
    rate = read_number(header, "HeartRate")
    stated = (
        *(read_number(header, keyword) for keyword in INTERVALS),
        60_000 / rate if rate else None,
    )
    plausible = (ms for ms in stated if ms is not None and SHORTEST_BEAT_MS <= ms <= BEAT_MS)
    return next(plausible, None)


def read_acquisition_ms(header: Dataset) -> float | None:
    """Return when an image was acquired, in ms since any fixed time; None if not stated."""
    times = (_clock_ms(header, keyword) for keyword in CLOCKS)
    return next((time_ms for time_ms in times if time_ms is not None), None)


def _clock_ms(header: Dataset, keyword: str) -> float | None:
    """Return a DT or TM in ms since any fixed time (PS3.5 6.2); None if missing or malformed."""
    found = CLOCK.fullmatch(read_text(header, keyword))
    if found is None:
        return None
    year, month, day, hours, minutes, seconds = found.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() if year else 0
    except (TypeError, ValueError):
        return None
    return days * DAY_MS + (int(hours) * 60 + int(minutes)) * 60_000 + float(seconds) * 1000
