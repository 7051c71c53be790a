"""Planes and times that are stated in another way."""

from collections.abc import Callable, Mapping

import numpy as np

from tests.builders.mutations.study import (
    Given,
    Study,
    changed,
    cropped,
    depth,
    each,
    keeps,
    moved,
    phase_numbers,
    replaced,
    timed,
)


def _rounded(study: Study, keyword: str, digits: int) -> Study:
    return [
        changed(d, **{keyword: [f"{float(value):.{digits}f}" for value in d[keyword].value]})
        for d in study
    ]


@keeps("orientation")
def orientation_rounded(given: Given) -> Study:
    """Round directions to three decimals."""
    return _rounded(given.study, "ImageOrientationPatient", 3)


@keeps("orientation")
def orientation_rounded_in_some(given: Given) -> Study:
    """Round directions to four decimals in every second image."""
    return replaced(given.study, _rounded(given.study[::2], "ImageOrientationPatient", 4))


@keeps("orientation")
def orientation_with_noise(given: Given) -> Study:
    """Add noise of the last digits to every direction."""
    noise = given.rng.normal(0, 2e-6, (len(given.study), 6))
    return [
        changed(
            d,
            ImageOrientationPatient=[
                f"{value:.9f}" for value in np.array(d.ImageOrientationPatient, float) + by
            ],
        )
        for d, by in zip(given.study, noise, strict=True)
    ]


@keeps("position")
def position_rounded(given: Given) -> Study:
    """Round positions to two decimals."""
    return _rounded(given.study, "ImagePositionPatient", 2)


@keeps("position")
def position_rounded_in_some(given: Given) -> Study:
    """Round positions to one decimal in every third image."""
    return replaced(given.study, _rounded(given.study[::3], "ImagePositionPatient", 1))


@keeps("position")
def position_of_the_whole_study_moved(given: Given) -> Study:
    """Move the patient on the table."""
    by = given.rng.uniform(-80, 80, 3)
    return [moved(dataset, by) for dataset in given.study]


@keeps("position", "matrix")
def all_slices_cropped(given: Given) -> Study:
    """Cut two rows off the top and bottom of every cine."""
    return [cropped(d, 2) if given.is_cine(d) else d for d in given.study]


@keeps("position", "matrix")
def some_slices_cropped(given: Given) -> Study:
    """Use a rectangular field of view from one slice of the short axis on."""
    parts = given.short_axis()
    cut = [dataset for part in parts[len(parts) * 2 // 3 :] for dataset in part]
    return replaced(given.study, [cropped(dataset, 2) for dataset in cut])


@keeps("location")
def slice_location_wrong(given: Given) -> Study:
    """State the same slice location everywhere."""
    return each(given.study, SliceLocation="0")


@keeps("location")
def slice_location_missing(given: Given) -> Study:
    """Remove slice location and spacing between slices."""
    return each(given.study, SliceLocation=None, SpacingBetweenSlices=None)


@keeps("thickness")
def slice_thickness_missing(given: Given) -> Study:
    """Remove the slice thickness."""
    return each(given.study, SliceThickness=None)


@keeps("frame of reference")
def frame_of_reference_missing(given: Given) -> Study:
    """Remove the frame of reference."""
    return each(given.study, FrameOfReferenceUID=None, PositionReferenceIndicator=None)


@keeps("time")
def times_after_a_delay(given: Given) -> Study:
    """Begin every cycle 17.5 ms after the R wave."""
    return timed(given, lambda _, before: before + 17.5)


@keeps("time")
def times_in_whole_milliseconds(given: Given) -> Study:
    """Round trigger times."""
    return timed(given, lambda _, before: round(before))


@keeps("time")
def times_of_another_heart_rate_in_each_slice(given: Given) -> Study:
    """Let the heart beat up to a tenth slower in each breath-hold."""
    factors = {
        place: float(given.rng.uniform(1.0, 1.1))
        for place in sorted({depth(d) for d in given.study})
    }
    return timed(given, lambda d, before: before * factors[depth(d)])


def _untimed(given: Given, values: Callable[[int, int], Mapping[str, object]]) -> Study:
    """Return a study whose cines have other elements, for phase and count, in place of times."""
    phases = phase_numbers(given)
    most = max(phases.values(), default=0)
    gone = dict.fromkeys(("TriggerTime", "CardiacNumberOfImages", "TemporalPositionIdentifier"))
    return [
        changed(d, **{**gone, **values(phases[str(d.SOPInstanceUID)], most)})
        if str(d.SOPInstanceUID) in phases
        else d
        for d in given.study
    ]


@keeps("time", "instance number", "instances", "count", "series")
def phases_by_instance_number(given: Given) -> Study:
    """State the phases by instance number and count alone."""
    return _untimed(given, lambda n, count: {"InstanceNumber": n, "CardiacNumberOfImages": count})


@keeps("time", "instance number", "instances", "count")
def phases_by_temporal_position(given: Given) -> Study:
    """State the phases by temporal position, and the time between two as it was drawn."""
    last_ms = max(float(d.TriggerTime) for d in given.drawn.instances if given.is_cine(d))
    return _untimed(
        given,
        lambda n, count: {
            "TemporalPositionIdentifier": n,
            "NumberOfTemporalPositions": count,
            "TemporalResolution": f"{last_ms / (count - 1):.3f}",
        },
    )


@keeps("count")
def cardiac_number_missing(given: Given) -> Study:
    """Remove the number of phases."""
    return each(given.study, CardiacNumberOfImages=None)


@keeps("interval")
def nominal_interval_missing(given: Given) -> Study:
    """Remove the heartbeat interval."""
    return each(given.study, NominalInterval=None, HeartRate=None)


@keeps("clock")
def dates_and_times_missing(given: Given) -> Study:
    """Remove when the images were acquired."""
    return each(
        given.study,
        AcquisitionDate=None,
        AcquisitionTime=None,
        ContentDate=None,
        ContentTime=None,
        SeriesTime=None,
    )
