from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers
from pydicom import Dataset

from tests.builders.images import SIDE, image, part10
from triage.domain.errors import DamagedInstance
from triage.imaging.clip import join, over_cycle, uniform_centres, view_frames
from triage.imaging.series import Chosen, Image
from triage.model.bundle import ClipForm
from triage.ports import Frames

FORM = ClipForm(frames=64, height=32, width=32)


def frames_of(*datasets: Dataset) -> Frames:
    files = {str(number): part10(each) for number, each in enumerate(datasets)}
    images = tuple(Image(str(number), each) for number, each in enumerate(datasets))
    return view_frames(Chosen("cine_sa", "", images), FORM, None, files.__getitem__)


def with_pixels(pixels: np.ndarray, **values: Any) -> Dataset:
    rows, columns = pixels.shape
    return image(Rows=rows, Columns=columns, PixelData=pixels.astype(np.uint16).tobytes(), **values)


RAMP = np.tile(np.arange(SIDE) * 100, (SIDE, 1))


@given(integers(1, 500))
def test_frames_are_taken_at_uniform_centres_as_published(count: int) -> None:
    edges = np.linspace(0, count, min(64, count) + 1).astype(int)
    published = [(edges[i] + edges[i + 1] - 1) // 2 for i in range(len(edges) - 1)]
    assert uniform_centres(count, 64).tolist() == published


def test_few_frames_are_all_taken() -> None:
    assert uniform_centres(5, 64).tolist() == [0, 1, 2, 3, 4]


def test_a_cycle_is_resampled_and_its_end_meets_its_start() -> None:
    frames = np.array([0, 100], np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert over_cycle(frames, 4)[:, 0, 0].tolist() == [0, 50, 100, 50]


@given(integers(8, 60))
def test_a_cycle_of_any_length_begins_with_its_first_phase(count: int) -> None:
    frames = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert over_cycle(frames, 30).shape == (30, 2, 2)
    assert over_cycle(frames, 30)[0, 0, 0] == 0


def test_one_window_holds_for_the_whole_view_so_brightness_does_not_flicker() -> None:
    dim, bright = with_pixels(RAMP), with_pixels(RAMP * 2)
    frames = frames_of(dim, bright)
    assert frames.shape == (2, 32, 32)
    assert frames.dtype == np.uint8
    assert frames[1].max() == 255
    assert frames[0].max() < 160


def test_inverted_grey_is_turned_round() -> None:
    normal = frames_of(with_pixels(RAMP))
    inverted = frames_of(with_pixels(1500 - RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(normal, inverted)


def test_rescaled_intensities_are_compared() -> None:
    plain = with_pixels(RAMP * 2)
    rescaled = with_pixels(RAMP, RescaleSlope=2, RescaleIntercept=0)
    assert np.array_equal(*frames_of(plain, rescaled))


def test_pixels_that_are_not_square_become_square() -> None:
    """A disc of 12 mm is as wide as high, though its columns are twice as far apart."""
    y, x = np.mgrid[:32, :16]
    disc = ((y - 15.5) ** 2 + ((x - 7.5) * 2) ** 2 < 144) * 1000
    frame = frames_of(with_pixels(disc, PixelSpacing=[1, 2]))[0] > 127
    assert abs(int(frame.any(0).sum()) - int(frame.any(1).sum())) <= 1


def test_the_largest_centred_square_is_cut() -> None:
    wide = np.zeros((16, 48))
    wide[:, 16:32] = np.arange(16) * 100  # the ramp fills the centred square, and nothing else
    inside = np.s_[:, 2:-2, 2:-2]  # the resampling filter sees one pixel beyond the square
    cut, whole = frames_of(with_pixels(wide))[inside], frames_of(with_pixels(RAMP))[inside]
    assert np.abs(cut.astype(int) - whole.astype(int)).max() <= 8


def test_a_constant_image_does_not_divide_by_zero() -> None:
    assert frames_of(with_pixels(np.zeros((16, 16)))).max() == 0


@pytest.mark.parametrize(
    "change", [{"BitsStored": 20}, {"Rows": 400}, {"SamplesPerPixel": 3}, {"BitsAllocated": 7}]
)
def test_pixels_that_do_not_decode_are_damage(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedInstance, match="decode|grey"):
        frames_of(image(**change))


def view(count: int, grey: int) -> Frames:
    return np.full((count, 32, 32), grey, np.uint8)


def test_views_stand_in_the_order_of_the_layout() -> None:
    clip = join({"cine_sa": view(25, 2), "cine_lax": view(20, 1)}, FORM)
    assert clip[:, 0, 0].tolist() == [1] * 30 + [2] * 30


def test_single_views_repeat_once_for_every_slice_of_the_stack() -> None:
    views = {"lge_sa": view(10, 3), "lge_lax": view(1, 4), "lge_3ch": view(1, 6)}
    assert join(views, FORM)[:, 0, 0].tolist() == [3] * 10 + [4] * 10 + [6] * 10


def test_a_single_view_without_its_stack_stands_once() -> None:
    assert join({"lge_lax": view(1, 4)}, FORM)[:, 0, 0].tolist() == [4]


def test_a_full_study_is_thinned_to_what_the_model_takes() -> None:
    views = {slot.view: view(12, number) for number, slot in enumerate(FORM.layout)}
    clip = join(views, FORM)
    assert len(clip) == 64
    assert sorted(set(clip[:, 0, 0].tolist())) == [0, 1, 2, 3, 4, 5]


@given(floats(0.3, 4), floats(0.3, 4), integers(4, 40), integers(4, 40))
@settings(deadline=None)
def test_any_spacing_and_matrix_can_be_cut(
    row_mm: float, column_mm: float, rows: int, columns: int
) -> None:
    pixels = np.arange(rows * columns).reshape(rows, columns)
    frames = frames_of(with_pixels(pixels, PixelSpacing=[f"{row_mm:.9f}", f"{column_mm:.9f}"]))
    assert frames.shape == (1, 32, 32)


def test_a_spacing_that_does_not_divide_evenly_can_be_cut() -> None:
    """224 pixels times 0.5775 mm, divided by 0.5775 mm, are a hair more than 224."""
    pixels = np.zeros((224, 224))
    assert frames_of(with_pixels(pixels, PixelSpacing=[0.5775, 0.5775])).shape == (1, 32, 32)
