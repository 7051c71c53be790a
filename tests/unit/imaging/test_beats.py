"""A cycle is one heartbeat: it is cut from several, and never a part of one."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime, timedelta

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage

from tests.builders.hearts import VIEWS, frames, instances, selected
from tests.builders.images import SHORT_AXIS, cine, image, uid
from tests.builders.images import SliceGeometry as Place
from triage.domain.reasons import ReasonCode
from triage.imaging.beats import Beat
from triage.imaging.images import Image
from triage.imaging.rules import SequenceType
from triage.imaging.stacks import group_stacks
from triage.phantom.habits import Vendor

PHASES, BEAT_MS = 12, 720
CINE_VIEWS = {"cine_sa", "cine_lax"}
BEGIN = datetime(2024, 5, 3, 9, 30, 12)  # noqa: DTZ001 - DICOM states local time


def clock(at_ms: float) -> str:
    return (BEGIN + timedelta(milliseconds=at_ms)).strftime("%H%M%S.%f")


def is_cine(dataset: Dataset) -> bool:
    return not dataset.get("InversionTime")


def repeated(study: Sequence[Dataset], beats: int) -> list[Dataset]:
    """Return a study whose cines go on for several beats of the stated interval."""
    found = []
    for dataset in study:
        dataset.pop("CardiacNumberOfImages", None)
        for beat in range(beats if is_cine(dataset) else 1):
            one = deepcopy(dataset)
            if is_cine(dataset):
                at_ms = float(dataset.TriggerTime) + beat * BEAT_MS
                one.SOPInstanceUID = uid(dataset.SOPInstanceUID, beat)
                one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
                one.InstanceNumber = int(dataset.InstanceNumber) + PHASES * beat
                one.TriggerTime, one.AcquisitionTime = at_ms, clock(at_ms)
                one.NominalInterval = BEAT_MS
            found.append(one)
    return found


def beat_of(datasets: Sequence[Dataset]) -> Beat:
    (stack,) = group_stacks(Image(str(n), dataset) for n, dataset in enumerate(datasets))
    return stack.fullest.beat


def timed(times_ms: Sequence[float], **values: object) -> list[Dataset]:
    study = cine("study", "x", Place(), len(times_ms), **values)
    for dataset, time_ms in zip(study, times_ms, strict=True):
        dataset.TriggerTime = f"{time_ms:.1f}"
    return study


def real_time(
    beats: float, step_ms: float = 40, first_ms: float = 0, **values: object
) -> list[Dataset]:
    count = round(beats * BEAT_MS / step_ms)
    return timed([first_ms + n * step_ms for n in range(count)], **values)


def times(beat: Beat) -> list[float]:
    return [each.time_ms for each in beat.timed]


# -- several beats


def by_heart_rate(dataset: Dataset) -> None:
    del dataset.NominalInterval
    dataset.HeartRate = 83


def by_restarts(dataset: Dataset) -> None:
    """Trigger Time counts from each R wave, which never falls on the same fraction of an image."""
    beat, time_ms = divmod(float(dataset.TriggerTime), BEAT_MS)
    dataset.TriggerTime = f"{time_ms + 7 * beat:.1f}"
    del dataset.NominalInterval


def by_acquisition_time(dataset: Dataset) -> None:
    del dataset.TriggerTime


def by_frame_reference_time(dataset: Dataset) -> None:
    dataset.FrameReferenceTime = float(dataset.TriggerTime) + 900
    del dataset.TriggerTime, dataset.AcquisitionTime


def by_count(dataset: Dataset) -> None:
    del dataset.NominalInterval
    dataset.CardiacNumberOfImages = PHASES


@pytest.mark.parametrize(
    "stated",
    [
        lambda _: None,
        by_heart_rate,
        by_restarts,
        by_acquisition_time,
        by_frame_reference_time,
        by_count,
    ],
)
def test_the_first_whole_beat_of_three_gives_the_frames_of_a_gated_cine(
    stated: Callable[[Dataset], None],
) -> None:
    expected = frames(instances(Vendor.SIEMENS))
    study = repeated(instances(Vendor.SIEMENS), 3)
    for dataset in filter(is_cine, study):
        stated(dataset)
    found = frames(study)
    assert found.keys() == expected.keys()
    for view in expected:
        assert np.array_equal(found[view], expected[view]), view


def test_the_evidence_states_which_beat_is_used_and_the_rest_has_a_reason() -> None:
    selection = selected(repeated(instances(Vendor.SIEMENS), 3))
    (lax,) = (chosen for chosen in selection.used if chosen.view == "cine_lax")
    assert "12 phases over 0-660 ms at one position, the first whole beat of 3" in lax.why
    assert len(lax.images) == PHASES
    rest = {stack.reason for stack in selection.unused if stack.images == 2 * PHASES}
    assert any("the model uses one beat of it" in reason for reason in rest)


def test_a_beat_begins_with_the_r_wave_that_trigger_times_count_from() -> None:
    beat = beat_of(real_time(3, first_ms=200, NominalInterval=BEAT_MS))
    assert times(beat)[0] == BEAT_MS
    assert times(beat)[-1] == BEAT_MS * 2 - 40


def test_a_beat_begins_anywhere_if_no_whole_one_follows_an_r_wave() -> None:
    beat = beat_of(real_time(1.6, first_ms=200, NominalInterval=BEAT_MS))
    assert times(beat) == [200 + 40 * n for n in range(18)]


def test_a_beat_that_is_slower_than_stated_is_one_beat() -> None:
    """Philips states the heart rate that was entered before the scan."""
    beat = beat_of(timed([40 * n for n in range(25)], NominalInterval=BEAT_MS))
    assert beat.is_cycle
    assert len(beat.images) == 25


def test_several_beats_without_a_stated_one_are_refused() -> None:
    beat = beat_of(real_time(6))
    assert beat.refusal is not None
    assert beat.refusal.code is ReasonCode.UNKNOWN_BEAT
    (seen,) = selected(real_time(6)).stacks
    assert seen.recognised.refusal == beat.refusal
    assert seen.recognised.why == (
        "not a cine: 108 images at one position over 4.3 s, longer than a heartbeat, and no "
        "attribute states how long a heartbeat is"
    )


@pytest.mark.parametrize("rate", [0, 20, 999])
def test_an_implausible_heart_rate_states_no_beat(rate: int) -> None:
    beat = beat_of(real_time(6, HeartRate=rate, NominalInterval=0))
    assert beat.refusal is not None
    assert beat.refusal.code is ReasonCode.UNKNOWN_BEAT


def test_images_too_slow_for_eight_phases_in_a_beat_are_refused() -> None:
    """24 images are many, but a beat has six of them."""
    beat = beat_of(real_time(4, step_ms=120, NominalInterval=BEAT_MS))
    assert beat.refusal is not None
    assert (beat.refusal.code, beat.refusal.values["phases"]) == (ReasonCode.FEW_PHASES, 6)


def test_restarting_trigger_times_with_few_phases_are_refused() -> None:
    study = real_time(4, step_ms=120)
    for dataset in study:
        dataset.AcquisitionTime = clock(float(dataset.TriggerTime))
        dataset.NominalInterval = BEAT_MS
        by_restarts(dataset)
    beat = beat_of(study)
    assert beat.refusal is not None
    assert beat.refusal.code is ReasonCode.FEW_PHASES


@pytest.mark.parametrize(("pause_ms", "is_repeat"), [(0, False), (30_000, True)])
def test_a_cine_that_is_taken_again_after_a_pause_is_a_repeat(
    pause_ms: float, *, is_repeat: bool
) -> None:
    """Both rounds state when each phase was acquired, as a series in real time does."""
    study = []
    for number in range(2):
        for dataset in timed([40 * n + 3 * number for n in range(18)]):
            dataset.SOPInstanceUID = uid("round", number, dataset.InstanceNumber)
            at_ms = float(dataset.TriggerTime) + number * (BEAT_MS + pause_ms)
            dataset.AcquisitionTime = clock(at_ms)
            dataset.AcquisitionNumber = number + 1
            study.append(dataset)
    stacks = group_stacks(Image(str(n), dataset) for n, dataset in enumerate(study))
    assert len(stacks) == 1 + is_repeat
    assert {int(i.header.AcquisitionNumber) for i in stacks[0].fullest.beat.images} == {
        1 + is_repeat
    }


def test_acquisition_times_out_of_order_do_not_split_a_gated_cine() -> None:
    """Some reconstructions write their own time as acquisition time."""
    study = timed([40 * n for n in range(18)])
    for number, dataset in enumerate(study):
        dataset.AcquisitionTime = clock(5000 * (number * 7 % 18))
    assert len(beat_of(study).images) == 18


def test_one_image_in_each_beat_is_perfusion_and_not_cut() -> None:
    study = timed([800 * n for n in range(30)], NominalInterval=800)
    (seen,) = selected(study).stacks
    assert seen.recognised.sequence is SequenceType.PERFUSION
    assert len(seen.stack.images) == 30


def enhanced(count: int, step_ms: float) -> Dataset:
    def item(**values: object) -> Dataset:
        dataset = Dataset()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    def group(number: int) -> Dataset:
        timing = item(
            NominalCardiacTriggerDelayTime=number * step_ms, RRIntervalTimeNominal=float(BEAT_MS)
        )
        return item(CardiacSynchronizationSequence=[timing])

    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 0])],
    )
    return image(
        SOPClassUID=EnhancedMRImageStorage,
        NumberOfFrames=count,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[group(number) for number in range(count)],
    )


@pytest.mark.parametrize(
    ("count", "step_ms", "phases"), [(54, 40.0, 18), (18, 40.0, 18), (30, 120.0, 0), (7, 90.0, 0)]
)
def test_frames_of_an_enhanced_image_are_one_beat(count: int, step_ms: float, phases: int) -> None:
    (seen,) = selected([enhanced(count, step_ms)]).stacks
    beat = seen.stack.fullest.beat
    assert (seen.recognised.sequence is SequenceType.CINE) is bool(phases)
    assert (len(beat.images) if beat.is_cycle else 0) == phases


# -- a part of a beat


@pytest.mark.parametrize("values", [{"CardiacNumberOfImages": 25}, {"NominalInterval": 1000}])
@pytest.mark.parametrize("part", [slice(12), slice(12, None), slice(13), slice(13, None)])
def test_half_a_beat_is_refused(part: slice, values: dict[str, object]) -> None:
    beat = beat_of(timed([40 * n for n in range(25)], **values)[part])
    assert beat.refusal is not None
    assert beat.refusal.code is ReasonCode.PART_OF_A_BEAT


@pytest.mark.parametrize("values", [{"CardiacNumberOfImages": 25}, {"NominalInterval": 1000}, {}])
def test_a_hole_in_a_beat_is_refused(values: dict[str, object]) -> None:
    study = timed([40 * n for n in range(25)], **values)
    beat = beat_of([*study[:5], *study[17:]])
    assert beat.refusal is not None
    assert beat.refusal.code is ReasonCode.PART_OF_A_BEAT


@pytest.mark.parametrize("values", [{"CardiacNumberOfImages": 15}, {}])
def test_a_triggered_cine_that_leaves_out_the_end_of_the_beat_is_one(
    values: dict[str, object],
) -> None:
    """Prospective triggering waits for the next R wave: the end of diastole is not acquired."""
    study = timed([40 * n for n in range(15)], NominalInterval=900, **values)
    assert beat_of(study).is_cycle


@pytest.mark.parametrize("values", [{"NominalInterval": 1000}, {"HeartRate": 60}])
def test_an_inversion_scout_needs_no_whole_beat(values: dict[str, object]) -> None:
    study = timed([30 * n for n in range(14)], ScanningSequence=["GR", "IR"], **values)
    (seen,) = selected(study).stacks
    assert seen.recognised.sequence is SequenceType.TI_SCOUT


# -- a position that moves


def moved(study: Sequence[Dataset], by_phase: Callable[[int], float]) -> list[Dataset]:
    """Return a study whose cines have moved along their normal, mm by phase."""
    for dataset in filter(is_cine, study):
        orientation = np.array(dataset.ImageOrientationPatient, float)
        normal = np.cross(orientation[:3], orientation[3:])
        phase = round(float(dataset.TriggerTime) / 60)
        place = np.array(dataset.ImagePositionPatient, float) + normal * by_phase(phase)
        dataset.ImagePositionPatient = [f"{value:.4f}" for value in place]
    return list(study)


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("vendor", [Vendor.SIEMENS, Vendor.GE])
@pytest.mark.parametrize(
    "by_phase",
    [lambda n: 3.5 * (n >= 6), lambda n: 12.0 * (n >= 7), lambda n: 1.5 * (n // 3)],
    ids=["half", "far", "drift"],
)
def test_a_series_whose_position_changes_is_no_cycle(
    by_phase: Callable[[int], float], vendor: Vendor, *, is_counted: bool
) -> None:
    study = moved(instances(vendor), by_phase)
    for dataset in study:
        if not is_counted:
            dataset.pop("CardiacNumberOfImages", None)
            dataset.pop("NominalInterval", None)
            dataset.pop("HeartRate", None)
    selection = selected(study)
    assert not CINE_VIEWS & {chosen.view for chosen in selection.used}
    missing = {view.view: view.reason for view in selection.missing}
    assert all("its position changes during the heartbeat" in missing[view] for view in CINE_VIEWS)


def test_slices_of_one_series_do_not_count_as_a_position_that_moves() -> None:
    assert {chosen.view for chosen in selected(instances(Vendor.GE)).used} == set(VIEWS)


def test_a_long_axis_slice_without_a_beat_is_not_used_although_it_is_nearest() -> None:
    study = instances(Vendor.SIEMENS)
    for dataset in [d for d in study if is_cine(d)]:
        if len([e for e in study if e.SeriesInstanceUID == dataset.SeriesInstanceUID]) != PHASES:
            continue
        if round(float(dataset.TriggerTime) / 60) < 3:
            beside = deepcopy(dataset)
            beside.SOPInstanceUID = uid("beside", dataset.SOPInstanceUID)
            study.append(beside)
            moved([beside], lambda _: 10.0)
    for chosen in selected(study).used:
        if chosen.view in CINE_VIEWS:
            assert len(chosen.images) == PHASES


def test_a_slice_with_a_beat_is_used_before_one_with_more_images() -> None:
    study = [each for n, at in enumerate(SHORT_AXIS) for each in cine("study", f"s{n}", at, 25)]
    for dataset in study[50:75]:
        dataset.CardiacNumberOfImages = 60
    (chosen,) = (c for c in selected(study).used if c.view == "cine_sa")
    assert float(chosen.images[0].header.ImagePositionPatient[2]) != 20
