"""The audit of a folder as JSON values, table rows and a contact sheet."""

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Raster

from tests.builders.hearts import VIEWS, instances
from tests.builders.images import cardiac_study, image, part10, uid
from triage.imaging.rules import load_rules
from triage.phantom.habits import Vendor
from triage.pipeline.protocol_audit import (
    AuditedFolder,
    build_json,
    build_remarks,
    build_rows,
    read_folder,
    write_name_table,
    write_sheet,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    for number, each in enumerate(instances(Vendor.PHILIPS)):
        (tmp_path / "deep" / f"{number:04d}").write_bytes(part10(each))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def read(folder: Path) -> AuditedFolder:
    return read_folder(folder, VIEWS, load_rules())


def test_every_file_of_a_folder_has_an_outcome(folder: Path) -> None:
    found = json.loads(json.dumps(build_json(read(folder))))
    (study,) = found["studies"]
    assert study["declined"] is None
    assert {view["view"] for view in study["used"]} == set(VIEWS)
    assert not study["missing"]
    files = sum(1 for file in folder.rglob("*") if file.is_file())
    used = {image["sop_instance_uid"] for chosen in study["used"] for image in chosen["images"]}
    assert len(used) + sum(stack["images"] for stack in study["unused"]) == files - 1
    assert [file["file"] for file in found["unreadable"]] == ["notes.txt"]


def test_a_short_axis_stack_is_listed_from_base_to_apex(folder: Path) -> None:
    (study,) = build_json(read(folder))["studies"]
    short = next(stack for stack in study["stacks"] if stack["used_for"] == ["cine_sa"])
    assert (short["sequence"], short["view"], len(short["slices"])) == ("cine", "SAX", 6)
    heights = [slice_["position_mm"][2] for slice_ in short["slices"]]
    assert heights == sorted(heights, reverse=True)
    two = next(
        stack for stack in study["stacks"] if stack["view"] == "2CH" and not stack["used_for"]
    )
    assert two["reason"].startswith("cine, 2CH")


def test_an_enhanced_study_lists_its_frames(tmp_path: Path) -> None:
    for number, each in enumerate(instances(Vendor.GE, enhanced=True)):
        (tmp_path / f"{number}.dcm").write_bytes(part10(each))
    (study,) = build_json(read(tmp_path))["studies"]
    short = next(view for view in study["used"] if view["view"] == "cine_sa")
    assert len({image["sop_instance_uid"] for image in short["images"]}) == 1
    assert len({image["frame"] for image in short["images"]}) == 12


def test_rows_begin_with_used_stacks(folder: Path) -> None:
    (study,) = read(folder).studies
    rows = build_rows(study)
    assert [bool(row[4]) for row in rows] == sorted((bool(row[4]) for row in rows), reverse=True)
    assert any("slice 3 of 6 from the base" in remark for remark in build_remarks(study))


def test_a_study_with_images_of_two_patients_is_declined(tmp_path: Path) -> None:
    study = cardiac_study()
    study.append(image("study", "localizer", 999, PatientID="ANOTHER"))
    for number, each in enumerate(study):
        (tmp_path / f"{number}.dcm").write_bytes(part10(each))
    (found,) = read(tmp_path).studies
    assert found.declined is not None
    assert "images of 2 patients: PatientID differs" in found.declined
    assert "ANOTHER" not in found.declined


def test_several_studies_in_a_folder_are_separated(tmp_path: Path) -> None:
    for number, each in enumerate([image("a"), image("b")]):
        (tmp_path / f"{number}.dcm").write_bytes(part10(each))
    studies = read(tmp_path).studies
    assert {study.study_uid for study in studies} == {uid("a"), uid("b")}
    assert all("not a cine: 1 phase" in (study.declined or "") for study in studies)


def test_a_contact_sheet_shows_every_stack(folder: Path) -> None:
    write_sheet(folder / "sheet.png", read(folder))
    with Raster.open(folder / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (8 * 136, 1540)
    rows = pixels.reshape(8, 136, 1540)
    assert (rows[:, 26:].max(axis=(1, 2)) > 100).all()


def test_a_contact_sheet_marks_images_that_do_not_decode(tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(part10(image(BitsStored=40)))
    write_sheet(tmp_path / "sheet.png", read(tmp_path))
    with Raster.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet)[26:60].max() == 170


def test_series_names_become_a_table() -> None:
    out = StringIO()
    write_name_table(["SAX_FIESTA_BH", 'T1Map, "4CH"', "Option_1", ""], load_rules(), out)
    assert list(csv.reader(StringIO(out.getvalue()))) == [
        ["name", "sequence", "view"],
        ["SAX_FIESTA_BH", "cine", "SAX"],
        ['T1Map, "4CH"', "t1map", "4CH"],
        ["Option_1", "", ""],
        ["", "", ""],
    ]


def test_a_series_name_is_no_formula_in_the_table() -> None:
    out = StringIO()
    names = ["=cmd|'/c calc'!A0", "+SAX", "-4CH", "@T1", "\tSAX"]
    write_name_table(names, load_rules(), out)
    _, *rows = csv.reader(StringIO(out.getvalue()))
    assert [row[0] for row in rows] == [f"'{name}" for name in names]
