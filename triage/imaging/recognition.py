"""The sequence of a stack, with the evidence for it.

The images themselves come first (a heartbeat, an inversion pulse, velocities), then the table of
rules, where attributes come before names. A name alone never makes a cine: a cine has eight or
more phases of one heartbeat at one position. Every result carries its evidence as text.
"""

from dataclasses import dataclass

from triage.domain.reasons import Reason
from triage.imaging.flow import is_phase_image
from triage.imaging.geometry import read_number
from triage.imaging.images import Image
from triage.imaging.phases import BEAT_MS, CINE_PHASES, HEARTBEAT_MS, SourceKind
from triage.imaging.rules import (
    NAME,
    ImageFacts,
    RuleMatch,
    SequenceType,
    SeriesRules,
    Variant,
    View,
    find_match,
    read_text,
    series_name,
)
from triage.imaging.stacks import Stack

#: Views that never fill a slot of the left ventricle, whatever the series is called.
NOT_LEFT = {
    View.RV_TWO_CHAMBER,
    View.RV_THREE_CHAMBER,
    View.RVOT,
    View.AORTA,
    View.PULMONARY_ARTERY,
}
#: Inversion times, ms, at which the myocardium is dark in delayed enhancement.
NULLED_MS = (100.0, 700.0)
INVERSIONS = 3  #: different inversion times at one position that show an inversion pulse
#: Values of ContrastBolusAgent that name no agent.
NO_AGENT = {"", "NONE", "NO", "N"}


@dataclass(frozen=True)
class RecognisedStack:
    """A stack with its sequence, and the view that its name states."""

    stack: Stack
    sequence: SequenceType | None  #: None if it could not be recognised
    why: str  #: the evidence for the sequence, or the reason why there is none
    named_view: View | None
    variant: Variant | None = None

    @property
    def refusal(self) -> Reason | None:
        """Why its phases are no cycle, although they are many; None if it was recognised."""
        return self.stack.fullest.beat.refusal if self.sequence is None else None

    @property
    def name(self) -> str:
        """The name of its first series."""
        return series_name(self.stack.first.header)


def recognise_stack(
    stack: Stack, rules: SeriesRules, *, has_phase_images: bool = False
) -> RecognisedStack:
    """Return a stack with its sequence, named view and variant.

    `has_phase_images` states that the study has phase images of the same acquisition (flow.py).
    """
    header = stack.first.header
    facts = ImageFacts(series_name(header), header)
    match = find_match(rules.sequences, facts)
    found = _find_flow(stack, match, has_phase_images=has_phase_images)
    sequence, why = found or _find_sequence(stack, match)
    view, variant = find_match(rules.views, facts), find_match(rules.variants, facts)
    return RecognisedStack(
        stack, sequence, why, view.means if view else None, variant.means if variant else None
    )


def separation_key(
    image: Image, rules: SeriesRules
) -> tuple[SequenceType | None, View | None, Variant | None]:
    """Return the table's result for an image, as far as it excludes it from a stack of cines."""
    facts = ImageFacts(series_name(image.header), image.header)
    sequence, view = find_match(rules.sequences, facts), find_match(rules.views, facts)
    variant = find_match(rules.variants, facts)
    return (
        None if sequence is None or sequence.means is SequenceType.CINE else sequence.means,
        view.means if view is not None and view.means in NOT_LEFT else None,
        None if variant is None else variant.means,
    )


def _find_flow(
    stack: Stack, match: RuleMatch[SequenceType] | None, *, has_phase_images: bool
) -> tuple[SequenceType, str] | None:
    """Return that a stack encodes velocities, unless an attribute states another sequence.

    A name counts only if the stack does not beat: maps and late enhancement may have phase images.
    """
    is_phase = is_phase_image(stack.first)
    if not (is_phase or has_phase_images):
        return None
    is_open = match is None or match.means is SequenceType.CINE
    beats_alone = stack.fullest.has_beat and not _has_inversion(stack)
    is_only_named = match is not None and match.attribute == NAME and not _is_flow(match.means)
    if not (is_open or (beats_alone and is_only_named)):
        return None
    why = "phase images, not magnitude" if is_phase else "flow: magnitude beside phase images"
    return SequenceType.FLOW, why


def _is_flow(sequence: SequenceType) -> bool:
    return sequence in {SequenceType.FLOW, SequenceType.FLOW_4D}


def _find_sequence(
    stack: Stack, match: RuleMatch[SequenceType] | None
) -> tuple[SequenceType | None, str]:
    """Combine the evidence of the images with the match of the table."""
    has_inversion = _has_inversion(stack)
    has_beat = _has_beat(stack, match)
    stated = None if match is None else match.means
    if match is not None and stated not in {SequenceType.CINE, SequenceType.LGE}:
        return stated, f"{match.means.label}, {match.why}"
    is_late = stated is SequenceType.LGE
    beat = stack.fullest.beat
    if has_inversion and (has_beat or (beat.refusal is not None and not is_late)):
        return SequenceType.TI_SCOUT, f"TI scout: {beat.describe()}, inversion recovery"
    if has_beat and not (is_late and _is_inversion_unknown(stack)):
        return SequenceType.CINE, f"cine: {beat.describe()}"
    if is_late and match is not None:
        return SequenceType.LGE, f"delayed enhancement, {match.why}"
    return _find_sequence_by_times(stack, has_inversion=has_inversion)


def _has_beat(stack: Stack, match: RuleMatch[SequenceType] | None) -> bool:
    """Return whether a stack shows a heartbeat; the times of a reconstruction need a name too."""
    beat = stack.fullest.beat
    if beat.source.kind is SourceKind.WRITTEN:
        return beat.is_cycle and match is not None and match.means is SequenceType.CINE
    return beat.is_cycle


def _find_sequence_by_times(
    stack: Stack, *, has_inversion: bool
) -> tuple[SequenceType | None, str]:
    fullest = stack.fullest
    count = len(fullest.times_ms)
    if fullest.beat.refusal is not None:
        return None, str(fullest.beat.refusal)
    if count >= CINE_PHASES and fullest.span_ms > BEAT_MS:
        images = f"{count} images at one position over {fullest.span_ms / 1000:.0f} s"
        if fullest.span_ms / (count - 1) >= HEARTBEAT_MS:
            return SequenceType.PERFUSION, f"perfusion: {images}, one per heartbeat"
        return None, f"not a cine: {images}, which is longer than a heartbeat"
    inversion_ms = read_number(stack.first.header, "InversionTime") or 0.0
    evidence = f"inversion time {inversion_ms:.0f} ms" if inversion_ms else "contrast agent"
    is_nulled = NULLED_MS[0] <= inversion_ms <= NULLED_MS[1]
    is_late = is_nulled or (not inversion_ms and _has_contrast_agent(stack))
    if has_inversion and len(fullest.images) == 1 and is_late:
        return SequenceType.LGE, f"delayed enhancement: one image per position, {evidence}"
    if len(fullest.images) > 1 and not fullest.times_ms:
        return (
            None,
            f"not a cine: {len(fullest.images)} images, and no attribute states their phases",
        )
    count = max(1, count)
    return None, f"not a cine: {count} phase{'s' * (count != 1)}"


def _has_inversion(stack: Stack) -> bool:
    scanning = read_text(stack.first.header, "ScanningSequence").split("\\")
    times = {read_number(image.header, "InversionTime") or 0.0 for image in stack.fullest.images}
    return ("IR" in scanning and "SE" not in scanning) or len(times) >= INVERSIONS


def _is_inversion_unknown(stack: Stack) -> bool:
    """Return whether the attributes do not show if there was an inversion pulse."""
    return not read_text(stack.first.header, "ScanningSequence")


def _has_contrast_agent(stack: Stack) -> bool:
    return read_text(stack.first.header, "ContrastBolusAgent").strip() not in NO_AGENT
