"""Images become stacks, however they are divided into series."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from tests.builders.images import SHORT_AXIS, SIDE, SliceGeometry, cine, image, uid
from triage.imaging.acquisitions import Replaced
from triage.imaging.images import Image
from triage.imaging.stacks import Stack, group_stacks


def grouped(datasets: list[Dataset]) -> list[Stack]:
    return group_stacks(Image(str(number), dataset) for number, dataset in enumerate(datasets))


def shape(stack: Stack) -> list[int]:
    return [len(one.images) for one in stack.slices]


def renumbered(datasets: list[Dataset], series: str = "all") -> list[Dataset]:
    for number, dataset in enumerate(datasets):
        dataset.SeriesInstanceUID = uid(series)
        dataset.SOPInstanceUID = uid(series, number)
        dataset.InstanceNumber = number
    return datasets


def depths(stack: Stack) -> list[float]:
    return [float(one.plane.position[2]) for one in stack.slices]


def test_one_series_per_slice_is_one_stack_in_order_along_its_normal() -> None:
    study = [dataset for n in (3, 0, 4, 1, 2) for dataset in cine("study", f"s{n}", SHORT_AXIS[n])]
    (stack,) = grouped(study)
    assert shape(stack) == [12] * 5
    assert depths(stack) == [0, 10, 20, 30, 40]


def test_all_slices_in_one_series_are_one_stack() -> None:
    study = renumbered([dataset for at in SHORT_AXIS for dataset in cine("study", "x", at)])
    (stack,) = grouped(study)
    assert shape(stack) == [12] * 5
    assert [one.span_ms for one in stack.slices] == [440] * 5


def test_each_orientation_in_a_series_is_a_stack() -> None:
    planes = (SliceGeometry(), SliceGeometry((1, 0, 0, 0, 0, 1)), SliceGeometry((0, 1, 0, 0, 0, 1)))
    study = renumbered([dataset for at in planes for dataset in cine("study", "x", at)])
    assert [shape(stack) for stack in grouped(study)] == [[12]] * 3


def test_directions_within_a_degree_are_the_same() -> None:
    tilt = np.radians(0.4)
    tilted = SliceGeometry((float(np.cos(tilt)), 0, float(np.sin(tilt)), 0, 1, 0), (0, 0, 10))
    (stack,) = grouped([*cine("study", "a", SliceGeometry()), *cine("study", "b", tilted)])
    assert shape(stack) == [12, 12]


def test_phases_of_two_series_are_joined_if_none_repeats() -> None:
    study = cine("study", "x", SliceGeometry(), 24)
    for dataset in study[::2]:
        dataset.SeriesInstanceUID = uid("other")
    (stack,) = grouped(study)
    times = [float(frame.header.TriggerTime) for frame in stack.slices[0].images]
    assert times == sorted(times)
    assert len(times) == 24


def test_a_repetition_is_a_separate_stack() -> None:
    study = [*cine("study", "first", SliceGeometry()), *cine("study", "again", SliceGeometry())]
    assert [shape(stack) for stack in grouped(study)] == [[12], [12]]


def turned_by(degrees: float, depth: float) -> SliceGeometry:
    """Return a plane at a depth, turned about the centre of its image."""
    turn, half = np.radians(degrees), (SIDE - 1) / 2 * 1.5
    row, column = np.array([np.cos(turn), 0, np.sin(turn)]), np.array([0.0, 1.0, 0.0])
    centre = np.array([half, half, depth])
    return SliceGeometry((*row, *column), tuple(centre - half * row - half * column))


Alter = Callable[[Dataset, int], None]


def cropped(dataset: Dataset, _slice: int) -> None:
    """A rectangular field of view: four rows less at the top and at the bottom."""
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y + 4 * 1.5, z]
    dataset.Rows = SIDE - 8


def shifted(dataset: Dataset, number: int) -> None:
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x + 3.5 * number, y - 2 * number, z]


def rounded(dataset: Dataset, number: int) -> None:
    dataset.PixelSpacing = [1.5 + 0.0001 * number, 1.5]
    dataset.ImageOrientationPatient = [1, 0.0004 * number, 0, -0.0004 * number, 1, 0]


def filtered(dataset: Dataset, number: int) -> None:
    dataset.ImageType = ["ORIGINAL" if number else "DERIVED", "PRIMARY", "M", *["FIL"] * number]


def enlarged(dataset: Dataset, _slice: int) -> None:
    dataset.Rows = dataset.Columns = 2 * SIDE
    dataset.PixelSpacing = [0.75, 0.75]


def mirrored(dataset: Dataset, _slice: int) -> None:
    """The rows run to the left: the normal points the other way."""
    x, y, z = dataset.ImagePositionPatient
    dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [x + (SIDE - 1) * 1.5, y, z]


@pytest.mark.parametrize("alter", [cropped, shifted, rounded, filtered, enlarged, mirrored])
def test_slices_of_one_anatomy_are_one_stack_whatever_else_differs(alter: Alter) -> None:
    study = [cine("study", f"s{n}", at) for n, at in enumerate(SHORT_AXIS)]
    for number in (3, 4):
        for dataset in study[number]:
            alter(dataset, number)
    (stack,) = grouped([dataset for part in study for dataset in part])
    assert shape(stack) == [12] * 5


@pytest.mark.parametrize(
    ("degrees", "count"), [(0.2, 1), (2, 1), (4.5, 1), (-4.5, 1), (8, 2), (15, 2), (40, 2)]
)
def test_planes_within_five_degrees_are_parallel(degrees: float, count: int) -> None:
    planes = [turned_by(0, 0), turned_by(0, 10), turned_by(0, 20), turned_by(degrees, 30)]
    study = [dataset for n, at in enumerate(planes) for dataset in cine("study", f"s{n}", at)]
    stacks = grouped(study)
    assert len(stacks) == count
    assert shape(stacks[0]) == [12] * (5 - count)


@pytest.mark.parametrize(("gap", "count"), [(10, 1), (30, 1), (34, 1), (40, 2), (60, 2)])
def test_parallel_planes_stand_next_to_each_other(gap: float, count: int) -> None:
    """Two-chamber planes of the left and the right ventricle are parallel and no stack."""
    study = [*cine("study", "a", turned_by(0, 0)), *cine("study", "b", turned_by(1, gap))]
    assert len(grouped(study)) == count


def test_images_of_another_contrast_are_another_stack() -> None:
    others: list[dict[str, Any]] = [
        {},
        {"ScanningSequence": ["GR", "IR"]},
        {"ScanningSequence": "SE"},
        {"ImageType": "P"},
    ]
    study = [
        dataset
        for n, values in enumerate(others)
        for dataset in cine("study", f"s{n}", SHORT_AXIS[n], **values)
    ]
    assert [shape(stack) for stack in grouped(study)] == [[12]] * 4


def test_overlapping_slices_are_separate_stacks() -> None:
    """A second stack a few millimetres further is not interleaved with the first."""
    again = [SliceGeometry(at.orientation, (0, 0, at.position[2] + 3)) for at in SHORT_AXIS]
    study = [
        dataset
        for name, planes in (("a", SHORT_AXIS), ("b", again))
        for dataset in renumbered(
            [one for at in planes for one in cine("study", name, at, SliceThickness=8)], name
        )
    ]
    assert sorted(depths(stack)[0] for stack in grouped(study)) == [0, 3]


@pytest.mark.parametrize("keyword", ["EchoTime", "AcquisitionNumber"])
def test_groups_mixed_in_one_series_are_separated(keyword: str) -> None:
    study = renumbered(
        [dataset for _ in range(3) for dataset in cine("study", "x", SliceGeometry())]
    )
    for number, dataset in enumerate(study):
        setattr(dataset, keyword, 1 + number // 12)
    assert [shape(stack) for stack in grouped(study)] == [[12]] * 3


def test_a_cine_acquired_twice_in_one_series_is_two_stacks() -> None:
    study = renumbered(
        [dataset for _ in range(2) for dataset in cine("study", "x", SliceGeometry())]
    )
    used, replaced = grouped(study)
    assert shape(used) == shape(replaced) == [12]
    assert {int(frame.header.InstanceNumber) // 12 for frame in used.images} == {1}
    assert (used.replaced, replaced.replaced) == (None, Replaced.LATER)


def test_image_types_in_one_series_are_separated() -> None:
    kinds = (["M_FFE", "M", "FFE"], ["M_PCA", "M", "PCA"], ["VELOCITY MAP", "P", "PCA"])
    study = renumbered(
        [
            dataset
            for kind in kinds
            for dataset in cine("study", "x", SliceGeometry(), ImageType=kind)
        ]
    )
    assert [shape(stack) for stack in grouped(study)] == [[12]] * 3


def test_phases_without_trigger_times_follow_the_instance_number_if_they_are_counted() -> None:
    study = cine("study", "x", SliceGeometry(), CardiacNumberOfImages=12, NominalInterval=900)
    for dataset in study:
        del dataset.TriggerTime
    (stack,) = grouped(study[::-1])
    assert stack.slices[0].has_beat
    assert [int(frame.header.InstanceNumber) for frame in stack.images] == list(range(12))
    for dataset in study:
        del dataset.CardiacNumberOfImages
    (stack,) = grouped(study)
    assert not stack.slices[0].has_beat


@pytest.mark.parametrize(("phases", "beats"), [(7, False), (8, True), (60, True)])
def test_a_beat_has_eight_phases_or_more(phases: int, *, beats: bool) -> None:
    (stack,) = grouped(cine("study", "x", SliceGeometry(), phases))
    assert stack.slices[0].has_beat is beats


def test_different_separation_keys_make_separate_stacks() -> None:
    study = [*cine("study", "a", SHORT_AXIS[0]), *cine("study", "b", SHORT_AXIS[1])]
    images = [Image(str(number), dataset) for number, dataset in enumerate(study)]
    apart = group_stacks(images, lambda frame: frame.header.SeriesDescription)
    assert [shape(stack) for stack in apart] == [[12], [12]]


def test_an_image_without_a_plane_is_refused() -> None:
    with pytest.raises(ValueError, match="without a plane"):
        grouped([image(ImagePositionPatient=None)])
