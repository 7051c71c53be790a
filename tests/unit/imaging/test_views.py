"""The cardiac view of a stack, whatever its name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from tests.builders.hearts import instances, selected, stacks
from tests.builders.images import SHORT_AXIS, SliceGeometry, cardiac_study, cine, image, uid
from tests.peers import real_data
from triage.dicom.header import read_header
from triage.imaging.geometry import angle_deg
from triage.imaging.images import Image
from triage.imaging.rules import SequenceType, View
from triage.imaging.series import Selection, select_views
from triage.imaging.views import StackView, order_from_base
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.habits import Vendor
from triage.phantom.heart import draw_heart
from triage.phantom.stack import PhantomView as Plane

VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")
PLANES = ("SAX", "2CH", "3CH", "4CH")


def study_in(folder: Path) -> Selection:
    files = sorted(folder.rglob("*.dcm"))
    images = [Image(str(path), read_header(path.read_bytes())) for path in files]
    return select_views(images, VIEWS)


def folder_of(seen: StackView) -> list[str]:
    return [Path(one.images[0].path).parent.name for one in order_from_base(seen.stack.slices)]


def test_the_views_of_a_real_study_do_not_depend_on_its_wrong_names() -> None:
    selection = study_in(real_data("siemens_vida_cine"))
    views = {tuple(folder_of(seen)): seen for seen in selection.stacks}
    assert {key: str(seen.view) for key, seen in views.items()} == {
        ("Se11", "Se1", "Se2", "Se3", "Se4", "Se5"): "SAX",  # from base to apex
        ("Se6",): "4CH",
        ("Se7",): "3CH",  # named 4CH
        ("Se8",): "2CH",
        ("Se9",): "RV2CH",  # named 2CH
        ("Se10",): "RVOT",
    }
    assert {seen.recognised.sequence for seen in selection.stacks} == {SequenceType.CINE}
    assert views["Se7",].why == "3CH: rotated 129 degrees about the long axis, although named 4CH"
    assert "46 mm to the right of the centre of the left ventricle" in views["Se9",].why
    used = {view.view: Path(view.images[0].path).parent.name for view in selection.used}
    assert used == {"cine_lax": "Se6", "cine_sa": "Se2"}
    (short,) = (view.why for view in selection.used if view.view == "cine_sa")
    assert short.startswith("cine: 25 phases over 0-796 ms at one position; slice 3 of 6 from the")
    assert sum(stack.images for stack in selection.unused) == 275 - 50


def test_real_scouts_are_not_cines() -> None:
    for patient in sorted(real_data("scd_ge_scouts").iterdir()):
        if patient.is_dir():
            selection = study_in(patient)
            assert not selection.used
            assert {stack.reason for stack in selection.unused} == {"localizer, by its name"}


def test_two_real_phases_are_not_a_cine() -> None:
    selection = study_in(real_data("scd_ge_sax_frames") / "SC-N-2_SCD0003701")
    assert not selection.used
    assert {stack.reason for stack in selection.unused} == {"not a cine: 2 phases"}


def without_names(study: list[Dataset]) -> list[Dataset]:
    for dataset in study:
        dataset.SeriesDescription = dataset.ProtocolName = ""
    return study


@pytest.mark.parametrize("vendor", Vendor)
def test_geometry_and_attributes_suffice_without_names(vendor: Vendor) -> None:
    selection = selected(without_names(instances(vendor)))
    assert not selection.missing
    shown = {(str(seen.recognised.sequence), str(seen.view)) for seen in selection.stacks}
    assert shown == {(kind, view) for kind in ("cine", "lge") for view in PLANES}


def test_a_plane_to_the_right_of_the_left_ventricle_is_the_right_hearts() -> None:
    study = stacks()
    two_chamber = next(stack for stack in study if stack.view is Plane.TWO_CHAMBER)
    normal = np.cross(two_chamber.row, two_chamber.column)
    aside = np.sign(normal[0]) * -40 * normal  # to the patient's right
    (at,) = two_chamber.slices
    turned = np.cos(0.05) * two_chamber.row + np.sin(0.05) * normal  # or it were a second slice
    there = replace(at, position=at.position + aside)
    moved = replace(two_chamber, row=turned, slices=(there,))
    written = list(
        build_datasets([*study, moved], draw_patient(draw_heart(1)), DicomForm(Vendor.SIEMENS), 1)
    )
    views = [str(seen.view) for seen in selected(without_names(written)).stacks]
    assert sorted(views) == sorted([*PLANES, *PLANES, "RV2CH"])


def test_a_large_axial_stack_is_not_the_short_axis() -> None:
    axial = [
        dataset
        for depth in range(30)
        for dataset in cine("study", "x", SliceGeometry((1, 0, 0, 0, 1, 0), (0, 0, 9.0 * depth)))
    ]
    for number, dataset in enumerate(axial):
        dataset.SOPInstanceUID = uid("axial", number)
    study = without_names([*instances(Vendor.GE), *axial])
    for dataset in axial:
        dataset.StudyInstanceUID = study[0].StudyInstanceUID
    chosen = {view.view: view.images[0].header for view in selected(study).used}
    normal = np.cross(
        *np.reshape(np.array(chosen["cine_sa"].ImageOrientationPatient, float), (2, 3))
    )
    assert angle_deg(normal, np.array([0, 0, 1.0])) > 30


def test_a_name_decides_if_no_other_plane_has_the_view() -> None:
    odd = SliceGeometry(
        (float(np.cos(np.radians(50))), -float(np.sin(np.radians(50))), 0, 0, 0, 1), (0, 0, 0)
    )
    study = [*cardiac_study(), *cine("study", "cine 3ch", odd)]
    (found,) = (seen for seen in selected(study).stacks if seen.recognised.name == "cine 3ch")
    assert found.view is View.THREE_CHAMBER
    assert found.why.startswith("3CH by its name, although rotated")


def test_names_decide_without_a_short_axis() -> None:
    study = [dataset for dataset in cardiac_study() if "sax" not in str(dataset.SeriesDescription)]
    selection = selected(study)
    assert [view.view for view in selection.used] == ["cine_lax"]
    assert "4CH by its name, not confirmed by geometry" in selection.used[0].why


def test_another_long_axis_replaces_a_missing_four_chamber_cine() -> None:
    study = [dataset for dataset in cardiac_study() if "4ch" not in str(dataset.SeriesDescription)]
    chosen = {view.view: view.why for view in selected(study).used}
    assert chosen["cine_lax"].endswith("used because the study has no 4CH")


def test_slots_of_other_sequences_are_filled_if_a_bundle_declares_them() -> None:
    def still(name: str, number: int, at: SliceGeometry) -> Dataset:
        return image(
            "study",
            name,
            number,
            ImageOrientationPatient=list(at.orientation),
            ImagePositionPatient=list(at.position),
        )

    maps = [still("T1Map SAX", n, at) for n, at in enumerate(SHORT_AXIS)]
    edema = [still("STIR SAX", n, at) for n, at in enumerate(SHORT_AXIS)]
    beats = [
        dataset
        for name in ("Rest perfusion", "Stress perfusion")
        for dataset in cine("study", name, SHORT_AXIS[2], 40)
    ]
    for dataset in beats:
        dataset.TriggerTime = float(dataset.TriggerTime) * 20
    views = ("t1map_sa", "t2w_sa", "perfusion_stress_sa", "perfusion_rest_sa", "cine_2ch", "odd")
    images = [
        Image(str(number), dataset)
        for number, dataset in enumerate([*cardiac_study(), *maps, *edema, *beats])
    ]
    selection = select_views(images, views)
    names = {view.view: str(view.images[0].header.SeriesDescription) for view in selection.used}
    assert names == {
        "t1map_sa": "T1Map SAX",
        "t2w_sa": "STIR SAX",
        "perfusion_stress_sa": "Stress perfusion",
        "perfusion_rest_sa": "Rest perfusion",
        "cine_2ch": "cine 2ch",
    }
    counts = {view.view: len(view.images) for view in selection.used}
    assert counts["t1map_sa"] == 5
    assert counts["perfusion_rest_sa"] == 40
    assert [(view.view, view.reason) for view in selection.missing] == [
        ("odd", "the model asks for a view that this worker does not know")
    ]
