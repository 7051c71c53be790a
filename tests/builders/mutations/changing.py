"""Changes after which a study shows something else."""

from tests.builders.mutations.study import (
    Given,
    Study,
    changed,
    changes,
    each,
    named,
    phase_numbers,
    timed,
)
from triage.imaging.rules import View


@changes
def all_times_equal(given: Given) -> Study:
    """Acquire all images of the cines at one time."""
    return timed(given, lambda _dataset, _before: 500.0)


@changes
def times_of_a_minute(given: Given) -> Study:
    """Acquire one image in each heartbeat."""
    return timed(given, lambda _, before: before * 30)


@changes
def half_of_each_cycle_missing(given: Given) -> Study:
    """Lose all but four phases."""
    phases = phase_numbers(given)
    return [d for d in given.study if phases.get(str(d.SOPInstanceUID), 0) <= 4]


@changes
def no_short_axis(given: Given) -> Study:
    """Lose the short-axis cine."""
    return [d for d in given.study if not given.is_cine(d, View.SAX)]


@changes
def no_four_chamber(given: Given) -> Study:
    """Lose the four-chamber cine."""
    return [d for d in given.study if not given.is_cine(d, View.FOUR_CHAMBER)]


@changes
def no_late_enhancement(given: Given) -> Study:
    """Lose all late enhancement."""
    return [d for d in given.study if given.meaning(d) is None or given.is_cine(d)]


@changes
def late_enhancement_without_any_evidence(given: Given) -> Study:
    """Remove names and inversion of the late enhancement."""
    return [
        d
        if given.is_cine(d)
        else changed(
            d, ScanningSequence="GR", InversionTime=None, SeriesDescription="7", ProtocolName=None
        )
        for d in given.study
    ]


@changes
def cines_named_flow(given: Given) -> Study:
    """Name the cines flow."""
    return [named(d, "flow") if given.is_cine(d) else d for d in given.study]


@changes
def cines_are_phase_images(given: Given) -> Study:
    """Let all cines show phases."""
    return [
        changed(d, ImageType=["ORIGINAL", "PRIMARY", "P"]) if given.is_cine(d) else d
        for d in given.study
    ]


@changes
def positions_missing(given: Given) -> Study:
    """Remove the positions of all images."""
    return each(given.study, ImagePositionPatient=None)


@changes
def modality_ct(given: Given) -> Study:
    """Call the modality CT."""
    return each(given.study, Modality="CT")


@changes
def middle_slice_missing(given: Given) -> Study:
    """Lose the middle slice of the short axis: its neighbour is used."""
    parts = given.short_axis()
    lost = {str(d.SOPInstanceUID) for d in parts[len(parts) // 2]}
    return [d for d in given.study if str(d.SOPInstanceUID) not in lost]
