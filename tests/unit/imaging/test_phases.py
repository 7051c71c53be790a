"""The phases of a cine are found by whatever attribute states them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage

from tests.builders.hearts import frames, instances, selected
from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cardiac_study, cine, image, part10, uid
from triage.dicom.header import read_header
from triage.imaging.images import Image, split_frames
from triage.imaging.phases import SOURCES
from triage.imaging.rules import SequenceType
from triage.imaging.series import select_views
from triage.imaging.stacks import Stack, group_stacks
from triage.phantom.habits import Vendor

PHASES = 12
BEGIN = datetime(2024, 5, 3, 9, 30, 12)  # noqa: DTZ001 - DICOM states local time

Statement = dict[str, object]


def clock(phase: int, step_ms: float = 60, form: str = "%H%M%S.%f") -> str:
    return (BEGIN + timedelta(milliseconds=phase * step_ms)).strftime(form)


def philips_count(dataset: Dataset) -> None:
    block = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
    block.add_new(0x17, "SL", PHASES)


#: What states the phase with this number, from 0, in a classic image.
STATEMENTS: dict[str, Callable[[int], Statement]] = {
    "TriggerTime": lambda n: {"TriggerTime": 60 * n},
    "NominalCardiacTriggerDelayTime": lambda n: {"NominalCardiacTriggerDelayTime": 60.0 * n},
    "ActualCardiacTriggerDelayTime": lambda n: {"ActualCardiacTriggerDelayTime": 60.0 * n},
    "NominalPercentageOfCardiacPhase": lambda n: {
        "NominalPercentageOfCardiacPhase": 100.0 * n / PHASES
    },
    "TemporalPositionIdentifier": lambda n: {
        "TemporalPositionIdentifier": n + 1,
        "NumberOfTemporalPositions": PHASES,
        "TemporalResolution": "60",
    },
    "TemporalPositionIndex": lambda n: {"TemporalPositionIndex": n + 1},
    "FrameReferenceTime": lambda n: {"FrameReferenceTime": 5000 + 60 * n},
    "AcquisitionDateTime": lambda n: {"AcquisitionDateTime": clock(n, form="%Y%m%d%H%M%S.%f+0200")},
    "AcquisitionTime": lambda n: {"AcquisitionTime": clock(n)},
    "ContentTime": lambda n: {"ContentTime": clock(n, 4)},
    "InstanceNumber": lambda _: {"CardiacNumberOfImages": PHASES},
}


def is_cine(dataset: Dataset) -> bool:
    return "InversionTime" not in dataset or not dataset.get("InversionTime")


def restated(study: Sequence[Dataset], state: Callable[[int], Statement]) -> list[Dataset]:
    """Return a study whose cines state their phases in this way only."""
    found = []
    for dataset in study:
        if "CardiacNumberOfImages" in dataset:
            del dataset.CardiacNumberOfImages
        if is_cine(dataset):
            phase = round(float(dataset.TriggerTime) / 60)
            for keyword in ("TriggerTime", "TemporalPositionIdentifier", "AcquisitionTime"):
                dataset.pop(keyword, None)
            for keyword, value in state(phase).items():
                setattr(dataset, keyword, value)
        found.append(dataset)
    return found


@pytest.mark.parametrize("stated_by", STATEMENTS)
def test_the_attribute_that_states_the_phases_does_not_change_the_frames(stated_by: str) -> None:
    expected = frames(instances(Vendor.SIEMENS))
    study = restated(instances(Vendor.SIEMENS), STATEMENTS[stated_by])
    found = frames(study)
    assert found.keys() == expected.keys()
    assert all((found[view] == expected[view]).all() for view in expected)


def test_every_source_has_an_example() -> None:
    assert {source.keyword for source in SOURCES} == STATEMENTS.keys()


def test_the_private_number_of_phases_of_philips_counts_the_images() -> None:
    study = restated(instances(Vendor.SIEMENS), lambda _: {})
    for dataset in study:
        if is_cine(dataset):
            philips_count(dataset)
    images = [Image(str(n), read_header(part10(dataset))) for n, dataset in enumerate(study)]
    assert {chosen.view for chosen in select_views(images, ("cine_sa", "cine_lax")).used} == {
        "cine_sa",
        "cine_lax",
    }


# -- which source


def stack_of(datasets: Sequence[Dataset]) -> Stack:
    (stack,) = group_stacks(Image(str(n), dataset) for n, dataset in enumerate(datasets))
    return stack


def untimed(phases: int = PHASES, **values: object) -> list[Dataset]:
    datasets = cine("study", "x", Place(), phases, **values)
    for dataset in datasets:
        del dataset.TriggerTime
    return datasets


def stating(keyword: str, values: Sequence[object], **common: object) -> list[Dataset]:
    datasets = untimed(len(values))
    for dataset, value in zip(datasets, values, strict=True):
        for name, stated in {keyword: value, **common}.items():
            setattr(dataset, name, stated)
    return datasets


def numbers(stack: Stack) -> list[int]:
    return [int(frame.header.InstanceNumber) for frame in stack.slices[0].images]


def test_the_first_source_wins_and_instance_numbers_do_not() -> None:
    study = cine("study", "x", Place(), CardiacNumberOfImages=PHASES)
    for number, dataset in enumerate(study):
        dataset.InstanceNumber = 100 - number
        dataset.TemporalPositionIdentifier = 100 - number
    assert numbers(stack_of(study)) == [100 - number for number in range(PHASES)]


def test_trigger_times_that_are_all_zero_leave_the_phases_to_other_attributes() -> None:
    study = stating("TemporalPositionIdentifier", range(1, 26), TriggerTime=0)
    assert stack_of(study).slices[0].has_beat


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "FrameReferenceTime"])
@pytest.mark.parametrize("counted", [0, 25])
def test_trigger_times_that_are_all_the_same_state_one_phase(keyword: str, counted: int) -> None:
    study = stating(keyword, range(1, 26), TriggerTime=500, CardiacNumberOfImages=counted)
    assert not stack_of(study).slices[0].has_beat


@pytest.mark.parametrize("keyword", ["TemporalPositionIdentifier", "InstanceNumber"])
def test_positions_that_were_acquired_over_many_beats_are_not_a_cine(keyword: str) -> None:
    """A perfusion counts its images as well."""
    study = stating(keyword, range(1, 41))
    for number, dataset in enumerate(study):
        dataset.AcquisitionTime = clock(number, 800)
    assert not stack_of(study).slices[0].has_beat


def test_a_temporal_resolution_in_microseconds_is_read() -> None:
    study = stating("TemporalPositionIdentifier", range(1, 21), TemporalResolution="38961")
    assert stack_of(study).slices[0].times_ms[-1] == pytest.approx(19 * 38.961)


def test_clocks_that_do_not_rise_with_the_instance_number_state_no_phases() -> None:
    times = [clock(n) for n in (0, 2, 1, *range(3, PHASES))]
    assert not stack_of(stating("AcquisitionTime", times)).slices[0].has_beat


def test_clocks_of_images_with_different_contrast_state_no_phases() -> None:
    study = stating("AcquisitionTime", [clock(n) for n in range(PHASES)])
    for number, dataset in enumerate(study):
        dataset.InversionTime = 100 + 50 * number
    assert not stack_of(study).slices[0].has_beat


@pytest.mark.parametrize("text", ["", "93012", "24051209301", "20241399093012", "now"])
def test_malformed_clocks_state_no_phases(text: str) -> None:
    assert not stack_of(stating("AcquisitionTime", [text] * PHASES)).slices[0].has_beat


@pytest.mark.parametrize(
    ("name", "sequence"), [("cine 4ch", SequenceType.CINE), ("series 7", None)]
)
def test_content_times_make_a_cine_only_of_a_series_with_that_name(
    name: str, sequence: SequenceType | None
) -> None:
    study = stating("ContentTime", [clock(n, 4) for n in range(PHASES)], SeriesDescription=name)
    (seen,) = selected(study).stacks
    assert seen.recognised.sequence is sequence


def test_instance_numbers_alone_state_no_phases() -> None:
    (seen,) = selected(untimed(25)).stacks
    assert seen.recognised.why == "not a cine: 25 images, and no attribute states their phases"


def test_two_series_with_different_sources_are_not_joined() -> None:
    timed = cine("study", "timed", Place())
    counted = stating("TemporalPositionIdentifier", range(1, PHASES + 1))
    stacks = group_stacks(Image(str(n), dataset) for n, dataset in enumerate([*timed, *counted]))
    assert [len(stack.images) for stack in stacks] == [PHASES, PHASES]


@pytest.mark.parametrize("keyword", ["TriggerTime", "TemporalPositionIdentifier"])
def test_phases_that_are_split_over_series_are_joined(keyword: str) -> None:
    study = stating(keyword, range(1, 721, 60))
    for number, dataset in enumerate(study):
        dataset.SeriesInstanceUID = uid("part", number % 3)
    assert stack_of(study).slices[0].has_beat


# -- a missing phase


@pytest.mark.parametrize("missing", [0, 12, 24])
@pytest.mark.parametrize("stated_by", [k for k in STATEMENTS if k != "ContentTime"])
def test_one_missing_image_of_25_is_tolerated_and_stated(stated_by: str, missing: int) -> None:
    study = []
    for number, dataset in enumerate(untimed(25, CardiacNumberOfImages=25, NominalInterval=1500)):
        for keyword, value in STATEMENTS[stated_by](number).items():
            setattr(dataset, keyword, value)
        if stated_by == "NominalPercentageOfCardiacPhase":
            dataset.NominalPercentageOfCardiacPhase = 4.0 * number
        dataset.CardiacNumberOfImages = 25
        study.append(dataset)
    del study[missing]
    beat = stack_of(study).slices[0].beat
    assert beat.is_cycle
    assert len(beat.images) == 24
    assert ", 1 phase missing" in beat.describe()


def test_an_image_that_lost_its_trigger_time_is_left_out() -> None:
    study = cine("study", "x", Place(), 25)
    del study[7].TriggerTime
    found = group_stacks(Image(str(n), dataset) for n, dataset in enumerate(study))
    beat = max((stack.slices[0].beat for stack in found), key=lambda beat: len(beat.images))
    assert 7 not in [int(frame.header.InstanceNumber) for frame in beat.images]
    assert ", 1 phase missing" in beat.describe()


# -- Enhanced MR


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(*groups: Dataset) -> list[Image]:
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 0])],
    )
    header = image(
        SOPClassUID=EnhancedMRImageStorage,
        NumberOfFrames=len(groups),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=list(groups),
    )
    return split_frames(Image("path", header))


ENHANCED: dict[str, Callable[[int], Dataset]] = {
    "TemporalPositionIndex": lambda n: item(
        FrameContentSequence=[item(TemporalPositionIndex=n + 1)]
    ),
    "NominalPercentageOfCardiacPhase": lambda n: item(
        CardiacSynchronizationSequence=[item(NominalPercentageOfCardiacPhase=8.0 * n)]
    ),
    "AcquisitionTime": lambda n: item(
        FrameContentSequence=[item(FrameAcquisitionDateTime=clock(n, form="%Y%m%d%H%M%S.%f"))]
    ),
    "TriggerTime": lambda n: item(
        CardiacSynchronizationSequence=[item(ActualCardiacTriggerDelayTime=60.0 * n)]
    ),
}


@pytest.mark.parametrize("stated_by", ENHANCED)
def test_the_phases_of_frames_are_found(stated_by: str) -> None:
    images = enhanced(*map(ENHANCED[stated_by], range(PHASES)))
    (stack,) = group_stacks(images)
    assert stack.slices[0].beat.source.keyword == stated_by
    assert [frame.frame for frame in stack.slices[0].beat.images] == list(range(1, PHASES + 1))


def test_frames_follow_their_phases_and_not_their_numbers() -> None:
    images = enhanced(*map(ENHANCED["TemporalPositionIndex"], reversed(range(PHASES))))
    (stack,) = group_stacks(images)
    assert [frame.frame for frame in stack.slices[0].beat.images] == list(range(PHASES, 0, -1))


@pytest.mark.parametrize("stated_by", ENHANCED)
def test_seven_frames_are_not_a_cine(stated_by: str) -> None:
    (stack,) = group_stacks(enhanced(*map(ENHANCED[stated_by], range(7))))
    assert not stack.slices[0].has_beat


def test_a_study_is_selected_by_positions_alone() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.TemporalPositionIdentifier = int(dataset.InstanceNumber) + 1
        del dataset.TriggerTime
    (why,) = {chosen.why.split(" over ")[0] for chosen in selected(study).used}
    assert why == "cine: 12 phases by TemporalPositionIdentifier"
