"""Enhanced MR as frames with the attributes of classic MR."""

from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from tests.builders.hearts import instances, selected
from tests.builders.images import image
from tests.peers import real_data
from triage.dicom.header import read_header
from triage.domain.errors import DamagedInstance
from triage.imaging.images import Image, split_frames
from triage.imaging.rules import SequenceType
from triage.phantom.habits import Vendor


def split(header: Dataset) -> list[Image]:
    return split_frames(Image("path", header))


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def group(number: int, **cardiac: object) -> Dataset:
    return item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, number])],
        CardiacSynchronizationSequence=[item(**cardiac)],
    )


def enhanced(*groups: Dataset, **values: Any) -> Dataset:
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[1.5, 1.5])],
        MREchoSequence=[item(EffectiveEchoTime=1.4)],
        MRModifierSequence=[item(InversionRecovery="YES", InversionTimes=[280.0, 300.0])],
    )
    return image(
        SOPClassUID=EnhancedMRImageStorage,
        NumberOfFrames=len(groups),
        EchoPulseSequence="GRADIENT",
        ComplexImageComponent="PHASE",
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
        **values,
    )


def test_classic_images_are_not_changed() -> None:
    header = image()
    assert split(header) == [Image("path", header)]


def test_functional_groups_are_copied_to_classic_keywords() -> None:
    header = enhanced(
        group(1, NominalCardiacTriggerDelayTime=40.0), group(2, NominalCardiacTriggerDelayTime=80.0)
    )
    first, second = split(header)
    assert (first.frame, second.frame) == (1, 2)
    assert [float(frame.header.TriggerTime) for frame in (first, second)] == [40, 80]
    assert list(second.header.ImagePositionPatient) == [0, 0, 2]
    assert list(first.header.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert first.header.EchoTime == 1.4
    assert first.header.InversionTime == 280
    assert first.header.ScanningSequence == ["GR", "IR"]
    assert "PerFrameFunctionalGroupsSequence" not in first.header


def test_a_percentage_of_the_cycle_becomes_a_time() -> None:
    (frame,) = split(
        enhanced(group(1, NominalPercentageOfCardiacPhase=25.0, RRIntervalTimeNominal=800.0))
    )
    assert frame.header.TriggerTime == 200


def test_frames_without_functional_groups_are_damage() -> None:
    header = enhanced(group(1), group(2))
    header.NumberOfFrames = 3
    with pytest.raises(DamagedInstance, match="do not describe every frame"):
        split(header)
    assert (
        selected([header]).unused[0].reason == "its functional groups do not describe every frame"
    )


def test_phase_frames_are_flow_and_not_a_cine() -> None:
    groups = [group(0, NominalCardiacTriggerDelayTime=40.0 * n) for n in range(12)]
    header = enhanced(*groups, FrameType=["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"])
    (seen,) = selected([header]).stacks
    assert seen.recognised.sequence is SequenceType.FLOW


@pytest.mark.parametrize("vendor", Vendor)
def test_every_sequence_of_an_enhanced_study_is_recognised(vendor: Vendor) -> None:
    seen = selected(instances(vendor, enhanced=True)).stacks
    assert sorted(str(seen.recognised.sequence) for seen in seen) == ["cine"] * 4 + ["lge"] * 4


@pytest.mark.parametrize(
    "name",
    ["dcm_qa_enh_BSD2/6_1.dcm", "dcm_qa_enh_BSD2/IM_0027_fMAP.dcm", "fo-dicom_MSPL/MOVEKNEE.dcm"],
)
def test_real_enhanced_images_are_split_into_frames(name: str) -> None:
    path = real_data("awkward_upstream") / name
    header = read_header(path.read_bytes())
    frames = split(header)
    assert len(frames) == header.NumberOfFrames
    assert all(len(frame.header.ImagePositionPatient) == 3 for frame in frames)
