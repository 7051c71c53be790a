from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import permutations
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage

from tests.builders.images import (
    FOUR_CHAMBER,
    SHORT_AXIS,
    TWO_CHAMBER,
    cardiac_study,
    cine,
    image,
    uid,
)
from tests.peers import real_data
from triage.dicom.header import read_header
from triage.imaging.series import Image, Selection, select_views

VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")


def select(datasets: list[Dataset]) -> Selection:
    images = [Image(str(dataset.SOPInstanceUID), dataset) for dataset in datasets]
    return select_views(images, VIEWS)


def used(selection: Selection) -> dict[str, str]:
    return {
        chosen.view: str(chosen.images[0].header.SeriesDescription) for chosen in selection.used
    }


def why_unused(selection: Selection) -> dict[str, str]:
    return {stack.series_description: stack.reason for stack in selection.unused}


def lge(series: str, at: object, **values: object) -> Dataset:
    plane = {
        "ImageOrientationPatient": list(at.orientation),  # type: ignore[attr-defined]
        "ImagePositionPatient": list(at.position),  # type: ignore[attr-defined]
    }
    return image("study", series, int(at.position[2]) + 1, **plane, **values)  # type: ignore[attr-defined]


def test_the_middle_short_axis_slice_and_the_four_chamber_plane_are_chosen() -> None:
    assert used(select(cardiac_study())) == {"cine_sa": "cine_sax_2", "cine_lax": "cine 4ch"}


def test_every_choice_has_its_evidence() -> None:
    why = {chosen.view: chosen.why for chosen in select(cardiac_study()).used}
    assert "12 phases over 0-440 ms at one position" in why["cine_sa"]
    assert (
        "slice 3 of 5 from the base; SAX: plane normal within 1 degree of the long axis"
        in why["cine_sa"]
    )
    assert "5 parallel cine slices" in why["cine_sa"]
    assert "4CH by its name, and rotated 0 degrees about the long axis" in why["cine_lax"]


def test_every_missing_view_has_a_reason() -> None:
    reasons = {missing.view: missing.reason for missing in select(cardiac_study()).missing}
    assert set(reasons) == {"lge_sa", "lge_lax", "lge_2ch", "lge_3ch"}
    assert set(reasons.values()) == {"the study has no delayed enhancement"}


def test_every_series_is_used_or_has_a_reason() -> None:
    selection = select(cardiac_study())
    named = {str(image.SeriesDescription) for image in cardiac_study()}
    assert set(used(selection).values()) | set(why_unused(selection)) == named
    assert "the model uses other slices" in why_unused(selection)["cine_sax_0"]
    assert "2CH by its name" in why_unused(selection)["cine 2ch"]
    assert "the model does not use this view" in why_unused(selection)["cine 2ch"]


@given(permutations(range(len(cardiac_study()))))
@settings(max_examples=25, deadline=None)
def test_the_order_of_arrival_does_not_change_the_selection(order: list[int]) -> None:
    study = cardiac_study()
    shuffled = select([study[index] for index in order])
    sorted_ = select(study)
    assert [c.view for c in shuffled.used] == [c.view for c in sorted_.used]
    for one, other in zip(shuffled.used, sorted_.used, strict=True):
        assert [i.path for i in one.images] == [i.path for i in other.images]
    assert shuffled.unused == sorted_.unused


def test_phases_follow_the_trigger_time_not_the_instance_number() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.InstanceNumber = 100 - int(dataset.InstanceNumber)
    for chosen in select(study).used:
        times = [float(i.header.TriggerTime) for i in chosen.images]
        assert times == sorted(times)


def test_without_names_geometry_finds_the_four_chamber_plane() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.SeriesDescription = str(dataset.SeriesInstanceUID)[-8:]
    lax = next(chosen for chosen in select(study).used if chosen.view == "cine_lax")
    assert lax.images[0].header.SeriesInstanceUID == uid("study", "cine 4ch")
    assert "4CH: rotated 0 degrees about the long axis" in lax.why


def test_constant_trigger_times_are_not_a_cine() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.TriggerTime = 500
    assert not select(study).used


def test_right_heart_and_vessel_planes_do_not_fill_left_heart_views() -> None:
    study = [dataset for dataset in cardiac_study() if "ch" not in str(dataset.SeriesDescription)]
    study += cine("study", "cine RVOT", FOUR_CHAMBER)
    assert set(used(select(study))) == {"cine_sa"}


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("TI_scout_SAX", "TI scout"),
        ("LOC_SAX_FIESTA_BH", "localizer"),
        ("flow_250_tp_AoV", "flow"),
        ("cine_tagging_sax", "tagging"),
        ("ShMOLLI_192i_SAX", "T1 map"),
        ("first_pass_perf_sax", "perfusion"),
        ("sPERF_REST_BTFE", "perfusion"),
        ("LOCATOR", "localizer"),
        ("4CH_CineIR", "TI scout"),
        ("Ao_FastPC_V=250_BH", "flow"),
        ("PA_PC_v=250_BH", "flow"),
        ("SAX_Tags_Grid_T2_FGRE_BH", "tagging"),
    ],
)
def test_series_that_resemble_a_cine_are_excluded_by_name(name: str, meaning: str) -> None:
    study = [*cardiac_study(), *cine("study", name, SHORT_AXIS[2])]
    selection = select(study)
    assert why_unused(selection)[name] == f"{meaning}, by its name"
    assert used(selection)["cine_sa"] == "cine_sax_2"


def test_phase_images_of_flow_are_not_used() -> None:
    flow = cine("study", "aorta", SHORT_AXIS[2], ImageType=["ORIGINAL", "PRIMARY", "P"])
    assert why_unused(select([*cardiac_study(), *flow]))["aorta"] == ("phase images, not magnitude")


def test_delayed_enhancement_fills_its_views() -> None:
    stack = [lge("PSIR_SAX", at) for at in SHORT_AXIS]
    axes = [lge("LGE 4CH", FOUR_CHAMBER), lge("LGE 2CH", TWO_CHAMBER)]
    selection = select([*cardiac_study(), *stack, *axes])
    assert used(selection) == {
        "cine_sa": "cine_sax_2",
        "cine_lax": "cine 4ch",
        "lge_sa": "PSIR_SAX",
        "lge_lax": "LGE 4CH",
        "lge_2ch": "LGE 2CH",
    }
    slices = next(chosen for chosen in selection.used if chosen.view == "lge_sa").images
    depths = [float(i.header.ImagePositionPatient[2]) for i in slices]
    assert depths == sorted(depths)
    assert len(depths) == 5


def test_unusable_images_are_listed_with_their_reason() -> None:
    foreign = [
        image("study", "ct", Modality="CT", SOPClassUID=CTImageStorage),
        image("study", "enhanced", SOPClassUID=EnhancedMRImageStorage),
        image("study", "lost", ImagePositionPatient=None),
        image("study", "bent", ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
    ]
    assert why_unused(select(foreign)) == {
        "ct": "modality CT, not MR",
        "enhanced": "its functional groups do not describe every frame",
        "lost": "its header states no usable position and orientation",
        "bent": "its header states no usable position and orientation",
    }


def test_an_empty_study_selects_nothing() -> None:
    selection = select([])
    assert not selection.used
    assert len(selection.missing) == len(VIEWS)


def test_the_middle_slice_and_the_true_four_chamber_view_of_a_real_study_are_chosen() -> None:
    files = sorted(Path(real_data("siemens_vida_cine")).rglob("*.dcm"))
    images = [Image(str(path), read_header(path.read_bytes())) for path in files]
    chosen = {c.view: Path(c.images[0].path).parent.name for c in select_views(images, VIEWS).used}
    # Se7 is named 4CH and is a three-chamber view; Se2 is the fourth of six short-axis slices.
    assert chosen == {"cine_lax": "Se6", "cine_sa": "Se2"}
    assert np.isclose(float(images[0].header.SliceThickness), 6)


@pytest.mark.parametrize(
    "name",
    ["T1 GRE coupes de foie", "lateral ventricle check T1", "plano de referencia", "perfect"],
)
def test_ordinary_words_are_not_delayed_enhancement(name: str) -> None:
    assert "lge_sa" not in used(select([lge(name, at) for at in SHORT_AXIS]))


@pytest.mark.parametrize(
    "name",
    [
        "AutoViabBH",
        "SHAX_DHE",
        "SAX_DELAY_TI=280_BH",
        "PSIR_SAX",
        "seg_DE_SAX_PSIR",
        "DE_overview_sa",
        "2DDel Enh SA",
        "SAX_IrP-FGRE_TI=240",
    ],
)
def test_delayed_enhancement_is_recognised_by_its_names(name: str) -> None:
    assert used(select([lge(name, at) for at in SHORT_AXIS])) == {"lge_sa": name}


@pytest.mark.parametrize("name", ["cine eje corto de base a apex", "cine block 3", "LOCALLY cine"])
def test_ordinary_words_do_not_hide_a_cine(name: str) -> None:
    study = [dataset for at in SHORT_AXIS for dataset in cine("study", name, at)]
    for number, dataset in enumerate(study):
        dataset.SOPInstanceUID = uid("named", number)
    assert used(select(study)) == {"cine_sa": name}


def test_an_image_type_with_a_single_value_is_read() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.ImageType = "OTHER"
    assert set(used(select(study))) == {"cine_sa", "cine_lax"}


def test_trigger_times_over_a_minute_are_perfusion_and_not_a_cine() -> None:
    study = cardiac_study()
    for dataset in study:
        dataset.TriggerTime = float(dataset.TriggerTime) * 20
    assert not select(study).used


def test_delayed_enhancement_with_one_series_per_slice_is_one_stack() -> None:
    stack = [lge(f"PSIR_SAX_{number}", at) for number, at in enumerate(SHORT_AXIS)]
    (chosen,) = select(stack).used
    assert (chosen.view, len(chosen.images)) == ("lge_sa", 5)
