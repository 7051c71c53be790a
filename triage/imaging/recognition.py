"""What a stack is: its sequence, and the evidence for it in words.

Rule: what the images show comes first (a heartbeat, an inversion, velocities), then the table of
rules, attributes before names. A name alone never makes a cine: a cine has eight or more phases of
one heartbeat at one position. Every answer says why.
"""

from dataclasses import dataclass

from triage.imaging.geometry import read_number
from triage.imaging.images import Image
from triage.imaging.rules import (
    ImageFacts,
    RuleMatch,
    SequenceType,
    SeriesRules,
    Variant,
    View,
    find_match,
    read_text,
)
from triage.imaging.rules import series_name as name_of
from triage.imaging.stacks import BEAT_MS, CINE_PHASES, Stack

PHASE_IMAGE = {"P", "PHASE", "PHASE MAP", "VELOCITY"}
#: Planes that no slot of the left ventricle takes, by whatever name.
NOT_LEFT = {
    View.RV_TWO_CHAMBER,
    View.RV_THREE_CHAMBER,
    View.RVOT,
    View.AORTA,
    View.PULMONARY_ARTERY,
}
HEARTBEAT_MS = 400.0  #: no patient's heart beats faster than this at rest
#: Inversion times, ms, at which the myocardium of delayed enhancement is dark.
NULLED_MS = (100.0, 700.0)


@dataclass(frozen=True)
class RecognisedStack:
    """A stack and what it is."""

    stack: Stack
    sequence: SequenceType | None
    why: str  #: the evidence for the sequence, or why it has none
    named_view: View | None
    variant: Variant | None = None

    @property
    def name(self) -> str:
        """The name of its first series."""
        return name_of(self.stack.first.header)


def recognise_stack(stack: Stack, rules: SeriesRules) -> RecognisedStack:
    """Return what a stack is."""
    header = stack.first.header
    facts = ImageFacts(name_of(header), header)
    sequence, why = _sequence(stack, find_match(rules.sequences, facts))
    view, variant = find_match(rules.views, facts), find_match(rules.variants, facts)
    return RecognisedStack(
        stack, sequence, why, view.means if view else None, variant.means if variant else None
    )


def separation_key(image: Image, rules: SeriesRules) -> tuple[SequenceType | None, View | None]:
    """Return what the table says of an image that keeps it out of a stack of cine slices."""
    facts = ImageFacts(name_of(image.header), image.header)
    sequence, view = find_match(rules.sequences, facts), find_match(rules.views, facts)
    return (
        None if sequence is None or sequence.means is SequenceType.CINE else sequence.means,
        view.means if view is not None and view.means in NOT_LEFT else None,
    )


def _sequence(
    stack: Stack, said: RuleMatch[SequenceType] | None
) -> tuple[SequenceType | None, str]:
    """Weigh what the images show against what the table says."""
    inverted = _inverted(stack)
    beats = stack.fullest.beats
    if said is not None and said.means not in {SequenceType.CINE, SequenceType.LGE}:
        return said.means, f"{said.means.label}, {said.why}"
    if _is_phase(stack) and (said is None or said.means is SequenceType.CINE):
        return SequenceType.FLOW, "phase images, not magnitude"
    if beats and inverted:
        return SequenceType.TI_SCOUT, f"TI scout: {_phases(stack)}, after an inversion"
    late = said is not None and said.means is SequenceType.LGE
    if beats and not (late and _unclear(stack)):
        return SequenceType.CINE, f"cine: {_phases(stack)}"
    if late and said is not None:
        return SequenceType.LGE, f"delayed enhancement, {said.why}"
    return _by_times(stack, inverted=inverted)


def _by_times(stack: Stack, *, inverted: bool) -> tuple[SequenceType | None, str]:
    fullest = stack.fullest
    count = len(fullest.times_ms)
    if count >= CINE_PHASES and fullest.span_ms > BEAT_MS:
        images = f"{count} images at one position over {fullest.span_ms / 1000:.0f} s"
        if fullest.span_ms / (count - 1) >= HEARTBEAT_MS:
            return SequenceType.PERFUSION, f"perfusion: {images}, one a heartbeat"
        return None, f"not a cine: {images}, which is no heartbeat"
    inversion_ms = read_number(stack.first.header, "InversionTime") or 0.0
    if inverted and len(fullest.images) == 1 and NULLED_MS[0] <= inversion_ms <= NULLED_MS[1]:
        inversion = f"{inversion_ms:.0f} ms after an inversion"
        return SequenceType.LGE, f"delayed enhancement: one image at a position, {inversion}"
    if len(fullest.images) > 1 and not fullest.times_ms:
        return None, f"not a cine: {len(fullest.images)} images without trigger times"
    count = max(1, count)
    return None, f"not a cine: {count} phase{'s' * (count != 1)}"


def _phases(stack: Stack) -> str:
    times = stack.fullest.times_ms
    return f"{len(times)} phases over {times[0]:.0f}-{times[-1]:.0f} ms at one position"


def _is_phase(stack: Stack) -> bool:
    return not PHASE_IMAGE.isdisjoint(read_text(stack.first.header, "ImageType").split("\\"))


def _inverted(stack: Stack) -> bool:
    scanning = read_text(stack.first.header, "ScanningSequence").split("\\")
    return "IR" in scanning and "SE" not in scanning


def _unclear(stack: Stack) -> bool:
    """Whether the attributes leave open if there was an inversion."""
    return not read_text(stack.first.header, "ScanningSequence")
