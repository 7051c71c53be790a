"""Real hearts beside drawn ones: the same field of view, the same window, and which is which."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

from tests.builders.real_beside_drawn import (
    COLUMNS,
    FOLDER,
    PATIENTS,
    build_sheet,
    describe_row,
    draw_like,
    frame_drawn,
    frame_real,
)
from tests.builders.sunnybrook import PHASES, PIXEL_MM, read_heart
from tests.peers import real_data
from triage.model.bundle import ClipForm, open_bundle
from triage.phantom.archive import draw_examination
from triage.phantom.heart import draw_heart
from triage.phantom.sheet import CAPTION, FONT_SIZE, TILE
from triage.runtime.model import DEMO_BUNDLE

PATIENT = "SC-N-99"
DIASTOLE, SYSTOLE = 2, 9  #: phases
RADII = {DIASTOLE: 18, SYSTOLE: 10}  #: of the cavity, pixels


def disc(radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:256, :256] - 127.5
    inside: NDArray[np.bool_] = np.hypot(x, y) < radius
    return inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A heart of three slices; the last one is contoured at end diastole alone."""
    for name in ("images", "lv_masks"):
        (tmp_path / name).mkdir()
    for slice_, phase in ((0, 2), (0, 9), (1, 2), (1, 9), (2, 2)):
        cavity = disc(RADII[phase])
        name = f"{PATIENT}-IM-0001-{slice_ * PHASES + phase + 1:04d}.dcm.png"
        image = np.where(cavity, 200 + slice_, 40).astype(np.uint8)
        Image.fromarray(image).convert("RGB").save(tmp_path / "images" / name)
        mask = np.where(cavity, 255, 0).astype(np.uint8)
        Image.fromarray(mask).convert("RGB").save(tmp_path / "lv_masks" / name)
    table = f"patient,group,sex,age,ef_percent,edv_ml,esv_ml\n{PATIENT},N,Male,63,62.5,,\n"
    (tmp_path / "patients.csv").write_text(table)
    return tmp_path


@pytest.fixture(scope="module")
def form() -> ClipForm:
    return open_bundle(DEMO_BUNDLE).manifest.clip


def test_the_middle_slice_is_shown_at_its_largest_and_its_smallest(folder: Path) -> None:
    heart = read_heart(folder, PATIENT)
    assert (heart.group, heart.ejection_fraction) == ("N", 0.625)
    np.testing.assert_array_equal(heart.diastole, np.where(disc(18), 201, 40))
    np.testing.assert_array_equal(heart.systole, np.where(disc(10), 201, 40))


def test_a_real_heart_has_the_size_and_the_window_of_the_model_s_frames(
    folder: Path, form: ClipForm
) -> None:
    frames = frame_real(read_heart(folder, PATIENT), form)
    assert frames.shape == (2, form.height, form.width)
    assert (frames.min(), frames.max()) == (0, 255)
    field_mm = form.preprocessing.field_mm
    assert field_mm is not None
    for frame, radius in zip(frames, RADII.values(), strict=True):
        area_mm2 = (frame > 127).sum() * (field_mm / form.width) ** 2
        assert area_mm2 == pytest.approx(np.pi * (radius * PIXEL_MM) ** 2, rel=0.06)


def test_a_drawn_heart_is_shown_as_it_is_to_the_model(form: ClipForm) -> None:
    frames = frame_drawn(draw_examination(draw_heart(3)), form)
    assert frames.shape == (2, form.height, form.width)
    assert not np.array_equal(*frames)


def test_a_sheet_has_a_row_for_every_patient(folder: Path, form: ClipForm) -> None:
    sheet = build_sheet(folder, [PATIENT], form)
    assert sheet.size == (len(COLUMNS) * TILE, CAPTION + TILE + CAPTION)
    assert [name.split(",")[0] for name in COLUMNS] == ["REAL"] * 2 + ["drawn"] * 4


@pytest.mark.parametrize("patient", PATIENTS)
def test_the_real_hearts_contract_and_their_captions_fit(patient: str, form: ClipForm) -> None:
    heart = read_heart(real_data(FOLDER), patient)
    diastole, systole = frame_real(heart, form).astype(int)
    assert np.abs(diastole - systole).mean() > 1
    caption = describe_row(heart, draw_like(heart, 1))
    assert caption.startswith(f"REAL: {patient} (Sunnybrook Cardiac Data, CC0 1.0)")
    assert "|   drawn: " in caption
    assert ImageFont.load_default(FONT_SIZE).getlength(caption) < len(COLUMNS) * TILE
