"""A plane that was taken again is used once: in its later, whole form."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from tests.builders.hearts import instances, selected
from tests.builders.images import FOUR_CHAMBER, SHORT_AXIS, cine, image, uid
from triage.imaging.acquisitions import Replaced
from triage.imaging.images import Image
from triage.imaging.series import ChosenView, Selection
from triage.imaging.stacks import Stack, group_stacks
from triage.phantom.habits import Vendor

PHASES = 12
STEP_MS = 60.0  #: of the drawn hearts


def is_cine(dataset: Dataset) -> bool:
    return "IR" not in dataset.ScanningSequence


def normal(dataset: Dataset) -> np.ndarray:
    row, column = np.reshape(np.array(dataset.ImageOrientationPatient, float), (2, 3))
    return np.cross(row, column)


def depth(dataset: Dataset) -> float:
    return float(normal(dataset) @ np.array(dataset.ImagePositionPatient, float))


def planes(study: list[Dataset], *, cines: bool = True) -> dict[str, list[list[Dataset]]]:
    """Return the slices of a drawn study, by orientation: "sax", and "4ch" for the next plane."""
    found: dict[tuple[float, ...], dict[float, list[Dataset]]] = {}
    for dataset in study:
        if is_cine(dataset) is cines:
            key = tuple(map(float, dataset.ImageOrientationPatient))
            found.setdefault(key, {}).setdefault(round(depth(dataset), 1), []).append(dataset)
    stacks = [[slices[at] for at in sorted(slices)] for slices in found.values()]
    return {"sax": max(stacks, key=len), "4ch": min(stacks, key=_tilt_of_four_chambers)}


def _tilt_of_four_chambers(stack: list[list[Dataset]]) -> float:
    row = np.array(stack[0][0].ImageOrientationPatient[:3], float)
    return -abs(float(row[0])) if len(stack) == 1 else 1.0


def again(dataset: Dataset, mark: str = "again", **values: Any) -> Dataset:
    """Return an image of a second acquisition, in a series of its own."""
    other = deepcopy(dataset)
    other.SeriesInstanceUID = uid(mark, dataset.SeriesInstanceUID)
    other.SOPInstanceUID = uid(mark, dataset.SOPInstanceUID)
    for keyword, value in values.items():
        setattr(other, keyword, value)
    return other


def within_series(dataset: Dataset, number: int, **values: Any) -> Dataset:
    """Return an image of a second acquisition in the same series."""
    own = {"SeriesInstanceUID": dataset.SeriesInstanceUID, "InstanceNumber": number}
    return again(dataset, **own, **values)


def chosen(selection: Selection, view: str) -> ChosenView:
    return next(each for each in selection.used if each.view == view)


def series_of(view: ChosenView) -> set[str]:
    return {str(one.header.SeriesInstanceUID) for one in view.images}


def times_of(view: ChosenView) -> list[float]:
    return [float(one.header.TriggerTime) for one in view.images]


def grouped(datasets: list[Dataset]) -> list[Stack]:
    return group_stacks(Image(str(number), dataset) for number, dataset in enumerate(datasets))


# -- drawn hearts


@pytest.mark.parametrize("vendor", Vendor)
def test_a_repeated_slice_replaces_the_first_try(vendor: Vendor) -> None:
    study = instances(vendor)
    middle = planes(study)["sax"][3]
    repeat = [again(dataset, SeriesNumber=9000) for dataset in middle]
    selection = selected([*repeat, *study])
    view = chosen(selection, "cine_sa")
    assert series_of(view) == {str(repeat[0].SeriesInstanceUID)}
    assert len(view.images) == PHASES
    assert "of 6 from the base" in view.why
    assert "taken 2 times, the last whole one is used" in view.why
    reasons = {str(stack.reason) for stack in selection.unused}
    assert any(reason.endswith(Replaced.LATER) for reason in reasons)


@pytest.mark.parametrize("vendor", Vendor)
@pytest.mark.parametrize(
    ("stretch", "offset_ms"), [(1.04, 12.5), (1.0, 1.6), (1.0, STEP_MS / 3), (0.8, 0), (1.2, 30)]
)
def test_two_acquisitions_are_never_laid_into_each_other(
    vendor: Vendor, stretch: float, offset_ms: float
) -> None:
    study = instances(vendor)
    (plane,) = planes(study)["4ch"]
    repeat = [
        again(
            dataset,
            SeriesNumber=9000,
            TriggerTime=f"{float(dataset.TriggerTime) * stretch + offset_ms:.1f}",
        )
        for dataset in plane
    ]
    view = chosen(selected([*study, *repeat]), "cine_lax")
    assert series_of(view) == {str(repeat[0].SeriesInstanceUID)}
    assert len(view.images) == PHASES
    assert "taken 2 times" in view.why


@pytest.mark.parametrize("number", [1, 9000])
@pytest.mark.parametrize("name", ["4ch", "sax"])
def test_the_time_of_acquisition_outranks_the_series_number(name: str, number: int) -> None:
    study = instances(Vendor.SIEMENS)
    plane = planes(study)[name][-1 if name == "4ch" else 3]
    repeat = [again(d, SeriesNumber=number, AcquisitionTime="235900") for d in plane]
    view = chosen(selected([*study, *repeat]), "cine_lax" if name == "4ch" else "cine_sa")
    assert series_of(view) == {str(repeat[0].SeriesInstanceUID)}


@pytest.mark.parametrize("acquired", range(1, PHASES - 1))
def test_an_incomplete_second_round_is_not_used(acquired: int) -> None:
    study = instances(Vendor.SIEMENS)
    (plane,) = planes(study)["4ch"]
    stopped = [within_series(d, PHASES + n + 1) for n, d in enumerate(plane[:acquired])]
    selection = selected([*study, *stopped])
    view = chosen(selection, "cine_lax")
    assert {str(one.header.SOPInstanceUID) for one in view.images} == {
        str(dataset.SOPInstanceUID) for dataset in plane
    }
    assert times_of(view) == sorted(set(times_of(view)))
    if acquired >= 8:
        reasons = {stack.reason for stack in selection.unused}
        assert any(reason.endswith(Replaced.INCOMPLETE) for reason in reasons)


def test_an_incomplete_first_round_does_not_mix_with_the_second() -> None:
    study = instances(Vendor.SIEMENS)
    (plane,) = planes(study)["4ch"]
    whole = [within_series(dataset, 100 + n) for n, dataset in enumerate(plane)]
    lost = {str(dataset.SOPInstanceUID) for dataset in plane[7:]}
    left = [dataset for dataset in study if str(dataset.SOPInstanceUID) not in lost]
    view = chosen(selected([*left, *whole]), "cine_lax")
    assert {int(one.header.InstanceNumber) for one in view.images} == set(range(100, 112))


def test_a_whole_stack_taken_again_in_one_series_is_used_in_its_later_form() -> None:
    study = instances(Vendor.GE)
    stack = [dataset for part in planes(study)["sax"] for dataset in part]
    repeat = [within_series(d, 1000 + int(d.InstanceNumber)) for d in stack]
    view = chosen(selected([*study, *repeat]), "cine_sa")
    assert min(int(one.header.InstanceNumber) for one in view.images) > 1000
    assert "slice 3 of 6" in view.why or "slice 4 of 6" in view.why


def test_a_repeated_slice_of_late_enhancement_takes_its_place_in_the_stack() -> None:
    study = instances(Vendor.SIEMENS)
    slices = planes(study, cines=False)["sax"]
    repeat = [again(slices[n][0], SeriesNumber=9000) for n in (1, 4)]
    view = chosen(selected([*study, *repeat]), "lge_sa")
    assert len(view.images) == 6
    assert [n for n, one in enumerate(view.images) if one.header.SeriesNumber == 9000] in (
        [1, 4],
        [4, 1],
    )
    assert "6 slices; 2 of them taken several times, the last whole one is used" in view.why


def test_a_repeat_with_another_field_of_view_is_a_repeat() -> None:
    study = instances(Vendor.PHILIPS)
    (plane,) = planes(study)["4ch"]
    repeat = [again(dataset, SeriesNumber=9000) for dataset in plane]
    for dataset in repeat:
        down = np.array(dataset.ImageOrientationPatient[3:], float)
        corner = np.array(dataset.ImagePositionPatient, float) + down * dataset.PixelSpacing[0] * 4
        dataset.ImagePositionPatient = [f"{value:.4f}" for value in corner]
        dataset.PixelData = dataset.pixel_array[4:-4].tobytes()
        dataset.Rows -= 8
    view = chosen(selected([*study, *repeat]), "cine_lax")
    assert series_of(view) == {str(repeat[0].SeriesInstanceUID)}


@pytest.mark.parametrize("vendor", [Vendor.GE, Vendor.PHILIPS])
def test_a_repeat_as_an_enhanced_image_replaces_the_first_try(vendor: Vendor) -> None:
    study = instances(vendor, enhanced=True)
    first = chosen(selected(study), "cine_lax")
    source = next(d for d in study if d.SOPInstanceUID == first.images[0].header.SOPInstanceUID)
    repeat = again(source, SeriesNumber=9000)
    for group in repeat.PerFrameFunctionalGroupsSequence:
        timing = group.CardiacSynchronizationSequence[0]
        timing.NominalCardiacTriggerDelayTime += 7.0
        timing.ActualCardiacTriggerDelayTime += 7.0
    view = chosen(selected([repeat, *study]), "cine_lax")
    assert series_of(view) == {str(repeat.SeriesInstanceUID)}
    assert len(view.images) == PHASES


def test_phases_of_a_repeat_that_was_divided_among_series_stay_together() -> None:
    study = instances(Vendor.SIEMENS)
    (plane,) = planes(study)["4ch"]
    divided = [again(d, f"part {n % 3}", SeriesNumber=9000 + n % 3) for n, d in enumerate(plane)]
    view = chosen(selected([*study, *divided]), "cine_lax")
    assert {str(one.header.SOPInstanceUID) for one in view.images} == {
        str(dataset.SOPInstanceUID) for dataset in divided
    }


# -- what states the order of two acquisitions


def state_acquisition_number(dataset: Dataset, second: int) -> None:
    dataset.AcquisitionNumber = 1 + second


def state_acquisition_time(dataset: Dataset, second: int) -> None:
    dataset.AcquisitionTime = f"10{second:02}00.5"


def state_time_of_each_phase(dataset: Dataset, second: int) -> None:
    dataset.AcquisitionDateTime = f"202001011{second}0000.{int(dataset.TriggerTime):04}+0100"


def state_instance_number(dataset: Dataset, second: int) -> None:
    dataset.InstanceNumber = int(dataset.InstanceNumber) + 100 * second


def state_series_number(dataset: Dataset, second: int) -> None:
    dataset.SeriesNumber = 5 + second
    dataset.SeriesInstanceUID = uid("series", second)


def state_series_time(dataset: Dataset, second: int) -> None:
    dataset.SeriesTime = f"09{second:02}00"
    dataset.SeriesInstanceUID = uid("series", second)


STATEMENTS = (
    state_acquisition_number,
    state_acquisition_time,
    state_time_of_each_phase,
    state_instance_number,
    state_series_number,
    state_series_time,
)


def two_rounds(state: Callable[[Dataset, int], None], offset_ms: float = 0) -> list[Dataset]:
    study = [cine("study", "x", FOUR_CHAMBER, PHASES) for _ in range(2)]
    for second, datasets in enumerate(study):
        for dataset in datasets:
            dataset.SOPInstanceUID = uid(second, dataset.InstanceNumber)
            dataset.TriggerTime = float(dataset.TriggerTime) + offset_ms * second
            dataset.SeriesDescription = f"round {second}"
            state(dataset, second)
    return [dataset for datasets in study for dataset in datasets]


@pytest.mark.parametrize("state", STATEMENTS)
@pytest.mark.parametrize("offset_ms", [0, 3, 17])
def test_the_order_of_rounds_is_taken_from_what_states_it(
    state: Callable[[Dataset, int], None], offset_ms: float
) -> None:
    study = two_rounds(state, offset_ms)
    for arrived in (study, study[::-1], study[::2] + study[1::2]):
        used, replaced = grouped(arrived)
        assert {one.header.SeriesDescription for one in used.images} == {"round 1"}
        assert {one.header.SeriesDescription for one in replaced.images} == {"round 0"}
        assert used.slices[0].taken == 2
        assert used.slices[0].is_order_stated
        assert replaced.replaced is Replaced.LATER


@pytest.mark.parametrize("state", [state_acquisition_time, state_time_of_each_phase])
def test_acquisitions_half_a_step_apart_are_separated_by_their_times(
    state: Callable[[Dataset, int], None],
) -> None:
    study = two_rounds(state, offset_ms=20)
    for dataset in study:
        dataset.SeriesInstanceUID = uid(dataset.SeriesDescription)
    assert [len(stack.images) for stack in grouped(study)] == [PHASES, PHASES]


def test_without_a_statement_the_choice_is_the_same_and_is_shown() -> None:
    study = two_rounds(lambda _dataset, _second: None)
    for second in range(2):
        for number in range(PHASES):
            study[PHASES * second + number].SOPInstanceUID = f"1.2.{9 + second}.{number + 1}"
    for arrived in (study, study[::-1]):
        used, replaced = grouped(arrived)
        assert {one.header.SeriesDescription for one in used.images} == {"round 1"}
        assert not used.slices[0].is_order_stated
        assert replaced.replaced is Replaced.UNORDERED


def test_three_rounds_of_which_the_last_was_stopped() -> None:
    study = [cine("study", "x", FOUR_CHAMBER, count) for count in (12, 12, 9)]
    for number, datasets in enumerate(study):
        for dataset in datasets:
            dataset.SOPInstanceUID = uid(number, dataset.InstanceNumber)
            dataset.InstanceNumber = int(dataset.InstanceNumber) + 50 * number
    stacks = grouped([dataset for datasets in study for dataset in datasets])
    first = [int(stack.images[0].header.InstanceNumber) for stack in stacks]
    assert (first[0], sorted(first)) == (50, [0, 50, 100])
    assert {stack.replaced for stack in stacks} == {None, Replaced.LATER, Replaced.INCOMPLETE}


def test_a_repeat_at_another_heart_rate_is_whole() -> None:
    """With prospective gating, a shorter beat has fewer phases of the same duration."""
    study = [
        *cine("study", "slow", FOUR_CHAMBER, 12, SeriesNumber=1, NominalInterval=480),
        *cine("study", "fast", FOUR_CHAMBER, 9, SeriesNumber=2, NominalInterval=360),
    ]
    assert grouped(study)[0].first.header.SeriesDescription == "fast"


def test_images_of_another_motion_replace_nothing() -> None:
    """A scout and a perfusion in the plane of a cine are no repeats of it."""
    scout = image("study", "later", 1, SeriesNumber=90)
    bolus = cine("study", "bolus", SHORT_AXIS[0], 40, SeriesNumber=91)
    for dataset in bolus:
        dataset.TriggerTime = float(dataset.TriggerTime) * 20
    study = [*cine("study", "cine", SHORT_AXIS[0], SeriesNumber=5), scout, *bolus]
    stacks = grouped(study)
    assert sorted(len(stack.images) for stack in stacks) == [1, PHASES, 40]
    assert {stack.replaced for stack in stacks} == {None}
