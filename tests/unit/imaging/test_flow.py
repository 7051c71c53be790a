"""Flow is recognised by attributes and phase images; names do not make it a cine."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import pytest
from pydicom import Dataset

from tests.builders.hearts import flow_stacks, instances, selected
from tests.builders.images import FOUR_CHAMBER, SHORT_AXIS, cardiac_study, cine
from triage.imaging.images import Image, split_frames
from triage.imaging.rules import SequenceType
from triage.imaging.series import select_views
from triage.imaging.stacks import Stack
from triage.phantom.habits import Vendor
from triage.phantom.stack import PhantomView

VIEWS = ("cine_lax", "cine_sa")
SPOILED: dict[str, Any] = {
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "EchoTime": 2.5,
    "RepetitionTime": 5,
    "FlipAngle": 15,
}
BALANCED: dict[str, Any] = {
    "ScanningSequence": "GR",
    "SequenceVariant": ["SK", "SS"],
    "EchoTime": 1.5,
    "RepetitionTime": 3,
    "FlipAngle": 50,
}


def sequences(study: Iterable[Dataset]) -> dict[str, SequenceType | None]:
    """Return the sequence of every series, by its name."""
    images = [Image(f"{n:05d}", each) for n, each in enumerate(study)]
    found = {}
    for seen in select_views(images, VIEWS).stacks:
        for image in seen.stack.images:
            found[str(image.header.SeriesDescription)] = seen.recognised.sequence
    return found


def used(study: Iterable[Dataset]) -> dict[str, str]:
    images = [Image(f"{n:05d}", each) for n, each in enumerate(study)]
    chosen = select_views(images, VIEWS).used
    return {each.view: str(each.images[0].header.SeriesDescription) for each in chosen}


@pytest.mark.parametrize("name", ["Fluss_ASD_4CH", "cine 4CH", "Serie 7", "LGE", "四腔", "T1 map"])
@pytest.mark.parametrize(
    "image_type", ["P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", "P_PCA"]
)
def test_a_magnitude_beside_its_phase_images_is_flow(name: str, image_type: str) -> None:
    magnitude = cine("study", name, FOUR_CHAMBER, **SPOILED)
    phase = cine("study", "other", FOUR_CHAMBER, **SPOILED)
    for dataset in phase:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", image_type]
    study = [*cardiac_study(), *magnitude, *phase]
    study = [each for each in study if each.SeriesDescription != "cine 4ch"]
    assert sequences(study)[name] is SequenceType.FLOW
    assert sequences(study)["other"] is SequenceType.FLOW
    assert name not in used(study).values()


def test_a_magnitude_in_the_series_of_a_cine_is_flow() -> None:
    """Each image is judged on its own: series that were merged do not hide it."""
    study = [*cardiac_study(), *cine("study", "flow 1", FOUR_CHAMBER, **SPOILED)]
    phase = cine("study", "flow 2", FOUR_CHAMBER, **SPOILED)
    for dataset in phase:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
    merged = deepcopy([*study, *phase])
    for dataset in merged:
        dataset.SeriesInstanceUID, dataset.SeriesDescription = "1.2.3", "all"
    images = [Image(f"{n:05d}", each) for n, each in enumerate(merged)]
    (four,) = (each for each in select_views(images, VIEWS).used if each.view == "cine_lax")
    assert {image.header.get("FlipAngle") for image in four.images} == {None}
    assert len(four.images) == 12


def test_flow_parallel_to_the_short_axis_is_no_slice_of_its_stack() -> None:
    magnitude = cine("study", "Ventil", SHORT_AXIS[4], **SPOILED)
    phase = cine("study", "Ventil P", SHORT_AXIS[4], **SPOILED)
    for dataset in (*magnitude, *phase):
        dataset.ImagePositionPatient = [0, 0, 50]
    for dataset in phase:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
    study = [*cardiac_study(), *magnitude, *phase]
    assert sequences(study)["Ventil"] is SequenceType.FLOW
    assert used(study) == used(cardiac_study())


def test_a_balanced_cine_that_is_stored_with_phase_images_stays_a_cine() -> None:
    phase = cine("study", "cine 4ch phase", FOUR_CHAMBER, **BALANCED)
    for dataset in phase:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
    study = cardiac_study()
    for dataset in study:
        for keyword, value in BALANCED.items():
            setattr(dataset, keyword, value)
    assert used([*study, *phase])["cine_lax"] == "cine 4ch"


def test_phase_sensitive_late_enhancement_is_no_flow() -> None:
    study = [each for each in cardiac_study() if each.SeriesDescription != "cine 2ch"]
    late = cine("study", "PSIR 4CH", FOUR_CHAMBER, phases=1, ScanningSequence=["GR", "IR"])
    real = cine("study", "PSIR 4CH P", FOUR_CHAMBER, phases=1, ScanningSequence=["GR", "IR"])
    real[0].ImageType = ["ORIGINAL", "PRIMARY", "P"]
    assert sequences([*study, *late, *real])["PSIR 4CH"] is SequenceType.LGE


@pytest.mark.parametrize("vendor", Vendor)
@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("view", [PhantomView.FOUR_CHAMBER, PhantomView.SAX])
def test_flow_in_the_plane_of_a_view_leaves_its_cine(
    vendor: Vendor, view: PhantomView, *, enhanced: bool
) -> None:
    study = instances(vendor, enhanced=enhanced, extra=flow_stacks(view))
    expected = selected(instances(vendor, enhanced=enhanced))
    for dataset in study:
        if "flow" in str(dataset.SeriesDescription).lower():
            dataset.SeriesDescription = dataset.ProtocolName = "Fluss_ASD_4CH"
    found = selected(study)
    assert [places(each.images) for each in found.used] == [
        places(each.images) for each in expected.used
    ]
    assert {each.view for each in found.used} == {each.view for each in expected.used}
    named = [each.recognised for each in found.stacks if "Fluss" in each.recognised.name]
    assert len(named) >= 2
    assert {each.sequence for each in named} == {SequenceType.FLOW}


def places(images: Iterable[Image]) -> list[tuple[str, ...]]:
    return [
        (*map(str, image.header.ImagePositionPatient), str(image.header.get("EchoTime")))
        for image in images
    ]


@pytest.mark.parametrize(
    ("values", "sequence"),
    [
        ({"VelocityEncodingDirection": [0.0, 0.0, 1.0]}, SequenceType.FLOW),
        ({"VelocityEncodingDirection": [0.0, 0.0, 0.0]}, SequenceType.CINE),
        ({"PhaseContrast": "YES"}, SequenceType.FLOW),
        ({"SequenceName": "*fl2d1_v150in"}, SequenceType.FLOW),
        ({"ScanOptions": ["CG", "PC_GEMS"]}, SequenceType.FLOW),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"]}, SequenceType.FLOW),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "FLOW_ENCODED", "NONE"]}, SequenceType.FLOW),
        ({"AcquisitionContrast": "FLOW_ENCODED"}, SequenceType.FLOW),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TAGGING", "NONE"]}, SequenceType.TAGGING),
        ({"AcquisitionContrast": "TAGGING"}, SequenceType.TAGGING),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STIR", "NONE"]}, SequenceType.T2W),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOF", "NONE"]}, SequenceType.ANGIOGRAPHY),
        ({"AcquisitionContrast": "TOF"}, SequenceType.ANGIOGRAPHY),
        ({"AngioFlag": "Y"}, SequenceType.ANGIOGRAPHY),
        ({"ImageType": ["DERIVED", "PRIMARY", "T1", "QUANTITY"]}, SequenceType.T1_MAP),
        ({"ImageType": ["DERIVED", "PRIMARY", "T2_STAR", "QUANTITY"]}, SequenceType.T2_STAR_MAP),
        ({"ImageType": ["DERIVED", "PRIMARY", "MAX_IP", "NONE"]}, SequenceType.DERIVED),
        ({"ImageType": ["DERIVED", "PRIMARY", "CINE", "SUBTRACTION"]}, SequenceType.DERIVED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}, SequenceType.LOCALIZER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE"]}, SequenceType.PERFUSION),
        ({"Tagging": "GRID"}, SequenceType.TAGGING),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "CINE", "NONE"]}, SequenceType.CINE),
        ({"CardiacNumberOfImages": 12}, SequenceType.CINE),
    ],
    ids=str,
)
def test_attributes_that_state_the_sequence_need_no_name(
    values: dict[str, Any], sequence: SequenceType
) -> None:
    assert sequences(cine("study", "Serie 7", FOUR_CHAMBER, **values)) == {"Serie 7": sequence}


def stack_of(study: Iterable[Dataset]) -> tuple[Stack, SequenceType | None]:
    images = [Image(f"{n:05d}", each) for n, each in enumerate(study)]
    (seen,) = select_views(images, VIEWS).stacks
    return seen.stack, seen.recognised.sequence


def test_several_inversion_times_at_one_position_are_a_scout() -> None:
    study = cine("study", "Serie 7", FOUR_CHAMBER)
    for number, dataset in enumerate(study):
        dataset.InversionTime = 100 + 30 * number
    assert stack_of(study)[1] is SequenceType.TI_SCOUT


@pytest.mark.parametrize(
    ("values", "sequence"),
    [
        ({"ContrastBolusAgent": "Gadovist"}, SequenceType.LGE),
        ({"ContrastBolusAgent": "NONE"}, None),
        ({}, None),
        ({"InversionTime": 300}, SequenceType.LGE),
        ({"InversionTime": 2000, "ContrastBolusAgent": "Gadovist"}, None),
    ],
    ids=str,
)
def test_inversion_after_a_contrast_agent_is_late_enhancement(
    values: dict[str, Any], sequence: SequenceType | None
) -> None:
    study = cine("study", "Serie 7", FOUR_CHAMBER, 1, ScanningSequence=["GR", "IR"], **values)
    assert stack_of(study)[1] is sequence


def test_frames_of_enhanced_flow_state_their_velocities() -> None:
    study = instances(Vendor.PHILIPS, enhanced=True, extra=flow_stacks(PhantomView.SAX))
    frames = [frame for each in study[-2:] for frame in split_frames(Image("a", each))]
    assert any(frame.header.get("VelocityEncodingDirection") for frame in frames)
