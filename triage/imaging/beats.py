"""One heartbeat at one position: the images that are a cycle, or the reason why none is.

A gated cine has the phases of one beat already. A series in real time lasts several beats: its
first whole beat is used, if the headers tell where it ends. They do so by the time from beat to
beat (Nominal Interval, R-R interval, Heart Rate), by the number of phases, or by a Trigger Time
that starts again while the acquisition time goes on. A cycle has eight or more phases, and no large
part of the beat is without an image. One missing phase is tolerated and stated.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from triage.domain.reasons import Reason, ReasonCode, because
from triage.imaging.images import Image
from triage.imaging.phases import (
    BEAT_MS,
    CINE_PHASES,
    HEARTBEAT_MS,
    OF_THE_BEAT,
    TRIGGER,
    Phases,
    PhaseSource,
    SourceKind,
    TimedImage,
    read_acquisition_ms,
)

SEVERAL_BEATS = 1.5  #: headers state the beat roughly; from here on, images show more than one
LARGEST_GAP = 0.45  #: of a beat; a larger part without an image is not a cycle
LARGEST_SHARE = 0.8  #: of the longest beat; a beat with fewer phases is not whole
#: In real time, Trigger Time and acquisition time advance together.
SAME_ADVANCE_MS = 50.0
LEAST_ADVANCE = 0.5  #: of the trigger times, that acquisition times of one beat advance at least
SAMPLED = 5  #: neighbours in trigger time whose acquisition times are compared first

Timed = tuple[TimedImage, ...]


@dataclass(frozen=True)
class Beat:
    """The phases of one beat at one position, in order."""

    timed: Timed
    source: PhaseSource  #: the attribute that states the phases
    note: str = ""  #: which beat it is, and how many phases are missing; as text
    refusal: Reason | None = None  #: why it is no cycle

    @property
    def images(self) -> tuple[Image, ...]:
        """The image of every phase."""
        return tuple(each.image for each in self.timed)

    @property
    def span_ms(self) -> float:
        """Return the time from the first phase to the last."""
        return self.timed[-1].time_ms - self.timed[0].time_ms if self.timed else 0.0

    @property
    def is_cycle(self) -> bool:
        """Whether it shows a heartbeat: eight or more phases within the time of a slow beat."""
        return self.refusal is None and len(self.timed) >= CINE_PHASES and self.span_ms <= BEAT_MS

    def describe(self) -> str:
        """Return the phases as text."""
        first, last = self.timed[0].time_ms, self.timed[-1].time_ms
        by = "" if self.source is TRIGGER else f" by {self.source.keyword}"
        phases = f"{len(self.timed)} phases{by} over {first:.0f}-{last:.0f} ms at one position"
        return f"{phases}{self.note}"


def find_beat(phases: Phases) -> Beat:
    """Return the first whole beat of the images at one position."""
    timed, source = phases.timed, phases.source
    if len(timed) < CINE_PHASES:
        return Beat(timed, source)
    if source.kind is SourceKind.DELAY and (runs := split_where_triggers_restart(timed)):
        return _first_whole(runs, source)
    step_ms = _step_ms(timed)
    reach_ms = timed[-1].time_ms - timed[0].time_ms + step_ms
    beat_ms = _find_beat_ms(phases, step_ms)
    if step_ms >= HEARTBEAT_MS:  # one image in each beat: perfusion
        return Beat(timed, source)
    if beat_ms is not None and reach_ms >= SEVERAL_BEATS * beat_ms:
        return _cut(phases, beat_ms, step_ms)
    if reach_ms - step_ms > BEAT_MS:
        return Beat(timed, source, refusal=_refuse_length(timed))
    return _check_gaps(Beat(timed, source), phases.stated, beat_ms)


def _step_ms(timed: Sequence[TimedImage]) -> float:
    """Return the usual time from one phase to the next."""
    return median(after.time_ms - before.time_ms for before, after in pairwise(timed))


def _find_beat_ms(phases: Phases, step_ms: float) -> float | None:
    """Return the stated time from beat to beat, or that of as many phases as a beat has."""
    if phases.beat_ms is not None:
        return phases.beat_ms
    return phases.stated * step_ms if phases.stated >= CINE_PHASES else None


# -- several beats


def _cut(phases: Phases, beat_ms: float, step_ms: float) -> Beat:
    """Return the first whole beat of images that show several.

    A delay after the R wave is counted from an R wave, so a beat starts at a multiple of its
    length. Any other time starts anywhere in the beat, and a beat later the cycle is closed.
    """
    timed, source = phases.timed, phases.source
    first_ms, last_ms = timed[0].time_ms, timed[-1].time_ms
    starts_ms = first_ms
    if phases.source.kind in OF_THE_BEAT:
        next_wave_ms = -(-(first_ms - step_ms) // beat_ms) * beat_ms
        is_whole = next_wave_ms + beat_ms <= last_ms + 1.5 * step_ms
        starts_ms = max(first_ms, next_wave_ms) if is_whole else first_ms
    ends_ms = starts_ms + beat_ms - step_ms / 2
    tolerance_ms = step_ms / 100  # decimal strings are rounded
    one = tuple(t for t in timed if starts_ms - tolerance_ms <= t.time_ms < ends_ms)
    beats = round((last_ms - first_ms + step_ms) / beat_ms, 1)
    note = f", the first whole beat of {beats:g}, {beat_ms:.0f} ms each"
    if len(one) < CINE_PHASES:
        return Beat(timed, source, refusal=_refuse_few(len(one)))
    return _check_gaps(Beat(one, source, note), 0, beat_ms)


def split_where_triggers_restart(images: Sequence[TimedImage]) -> list[Timed]:
    """Return the beats of a series in real time whose Trigger Time starts again at each R wave.

    Empty if it does not. In a gated cine all phases are acquired in the same beats: their
    acquisition times are equal. A second acquisition begins later than with the next beat.

    Args:
        images: With their delays after the R wave, ms, rising.
    """
    clocks = [read_acquisition_ms(each.image.header) for each in images[:SAMPLED]]
    known = [clock for clock in clocks if clock is not None]
    if len(known) < SAMPLED or max(known) - min(known) < HEARTBEAT_MS:
        return []
    acquired = [
        (clock, each)
        for each in images
        if (clock := read_acquisition_ms(each.image.header)) is not None
    ]
    acquired.sort(key=lambda pair: (pair[0], pair[1].time_ms))
    runs, advances = [[acquired[0][1]]], []
    for (before_ms, before), (after_ms, after) in pairwise(acquired):
        if after_ms - before_ms > BEAT_MS:
            return []
        if after.time_ms < before.time_ms:
            runs.append([after])
        else:
            runs[-1].append(after)
            advances.append((after_ms - before_ms, after.time_ms - before.time_ms))
    if len(runs) == 1 or not advances:
        return []
    by_clock, by_trigger = (sum(column) for column in zip(*advances, strict=True))
    differences = [abs(clock - trigger) for clock, trigger in advances]
    is_real_time = by_clock >= LEAST_ADVANCE * by_trigger and median(differences) <= SAME_ADVANCE_MS
    return [tuple(run) for run in runs] if is_real_time else []


def _first_whole(runs: Sequence[Timed], source: PhaseSource) -> Beat:
    longest = max(map(len, runs))
    number, one = next(
        (number, run)
        for number, run in enumerate(runs, start=1)
        if len(run) >= LARGEST_SHARE * longest
    )
    if longest < CINE_PHASES:
        return Beat(one, source, refusal=_refuse_few(longest))
    return Beat(one, source, f", beat {number} of {len(runs)}, the first whole one")


def _refuse_few(phases: int) -> Reason:
    return because(ReasonCode.FEW_PHASES, phases=phases, fewest=CINE_PHASES)


def _refuse_length(timed: Timed) -> Reason:
    span_s = (timed[-1].time_ms - timed[0].time_ms) / 1000
    return because(ReasonCode.UNKNOWN_BEAT, images=len(timed), span_s=span_s)


# -- gaps


def _check_gaps(beat: Beat, stated: int, beat_ms: float | None) -> Beat:
    """Refuse a beat of which a large part has no image; note a phase that is missing.

    Without a stated beat, and if all stated phases are there, only gaps between phases count.
    """
    times = [each.time_ms for each in beat.timed]
    step_ms = _step_ms(beat.timed)
    gaps = [after - before for before, after in pairwise(times)]
    whole_ms = beat_ms or times[-1] - times[0] + step_ms
    if beat_ms is not None and (not stated or len(times) < stated):
        gaps.append(beat_ms - (times[-1] - times[0]))
    if max(gaps) > LARGEST_GAP * whole_ms:
        return replace(beat, refusal=_refuse_part(beat, max(gaps) - step_ms, whole_ms))
    missing = max(
        stated - len(times), sum(round(gap / step_ms) - 1 for gap in gaps[: len(times) - 1])
    )
    if missing <= 0:
        return beat
    return replace(beat, note=f", {missing} phase{'s' * (missing != 1)} missing{beat.note}")


def _refuse_part(beat: Beat, gap_ms: float, beat_ms: float) -> Reason:
    return because(
        ReasonCode.PART_OF_A_BEAT, phases=len(beat.timed), gap_ms=gap_ms, beat_ms=beat_ms
    )


# -- positions


def refuse_moved(parts: Sequence[tuple[str, Beat]]) -> list[Beat]:
    """Refuse the beats of a series whose position changes from phase to phase.

    If several positions of a series show different parts of a beat, and none a whole one, then one
    slice has moved.

    Args:
        parts: The beat at each position of a stack, with the UID of its series.
    """
    by_series: dict[str, list[Beat]] = defaultdict(list)
    for series_uid, beat in parts:
        if len(beat.timed) > 1 and beat.source.kind in OF_THE_BEAT:
            by_series[series_uid].append(beat)
    moved = {id(beat) for beats in by_series.values() if _show_parts(beats) for beat in beats}
    return [
        replace(beat, refusal=because(ReasonCode.POSITION_CHANGES, phases=len(beat.timed)))
        if id(beat) in moved
        else beat
        for _, beat in parts
    ]


def _show_parts(beats: Sequence[Beat]) -> bool:
    """Return whether positions show different parts of one beat, and none a whole one."""
    firsts = [beat.timed[0].time_ms for beat in beats]
    lasts = [beat.timed[-1].time_ms for beat in beats]
    if max(firsts) <= min(lasts) or sum(len(beat.timed) for beat in beats) < CINE_PHASES:
        return False
    whole_ms = max(lasts) - min(firsts)
    return whole_ms <= BEAT_MS and all(
        beat.span_ms < (1 - LARGEST_GAP) * whole_ms for beat in beats
    )
