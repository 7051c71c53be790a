from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import floats, integers
from pydicom import Dataset

from tests.builders.images import SIDE, image, part10
from triage.domain.errors import DamagedInstance
from triage.imaging.clip import (
    PlacedImage,
    find_heart_centre,
    join_views,
    prepare_frames,
    prepare_view,
    resample_cycle,
    spread_indices,
    trace_frames,
    uniform_centres,
)
from triage.imaging.series import ChosenView, Image
from triage.model.bundle import ClipForm, Preprocessing, ViewSlot
from triage.ports.encoder import Frames

FORM = ClipForm(frames=64, height=32, width=32)


def prepare(*datasets: Dataset) -> Frames:
    files = {str(number): part10(dataset) for number, dataset in enumerate(datasets)}
    images = tuple(Image(str(number), dataset) for number, dataset in enumerate(datasets))
    return prepare_view(ChosenView("cine_sa", "", images), FORM, None, files.__getitem__)


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


def test_a_cycle_is_resampled_cyclically() -> None:
    frames = np.array([0, 100], np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert resample_cycle(frames, 4)[:, 0, 0].tolist() == [0, 50, 100, 50]


@given(integers(8, 60))
def test_a_resampled_cycle_begins_with_its_first_phase(count: int) -> None:
    frames = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert resample_cycle(frames, 30).shape == (30, 2, 2)
    assert resample_cycle(frames, 30)[0, 0, 0] == 0


def test_all_frames_of_a_view_share_one_window() -> None:
    dim, bright = with_pixels(RAMP), with_pixels(RAMP * 2)
    frames = prepare(dim, bright)
    assert frames.shape == (2, 32, 32)
    assert frames.dtype == np.uint8
    assert frames[1].max() == 255
    assert frames[0].max() < 160


@pytest.mark.parametrize(("share", "heart"), [(1.0, 100), (0.5, 255), (1e-6, 0)])
def test_bright_fat_does_not_darken_the_heart_if_the_window_is_of_the_middle(
    share: float, heart: int
) -> None:
    pixels = np.zeros((SIDE, SIDE))
    pixels[:4] = 1000  # fat near the coil
    pixels[SIDE // 3 : -SIDE // 3, SIDE // 3 : -SIDE // 3] = 392
    form = FORM.model_copy(update={"preprocessing": Preprocessing(window_share=share)})
    placed = PlacedImage(pixels.astype(np.float32), (1.0, 1.0), None)
    (frame,) = prepare_frames([placed], form, None)
    assert frame[16, 16] == pytest.approx(heart, abs=1)
    assert frame[0, 16] == 255


def test_inverted_greyscale_is_inverted_back() -> None:
    normal = prepare(with_pixels(RAMP))
    inverted = prepare(with_pixels(1500 - RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(normal, inverted)


def test_rescaled_intensities_are_compared() -> None:
    plain = with_pixels(RAMP * 2)
    rescaled = with_pixels(RAMP, RescaleSlope=2, RescaleIntercept=0)
    assert np.array_equal(*prepare(plain, rescaled))


def test_pixels_that_are_not_square_become_square() -> None:
    """A disc of 12 mm is as wide as high, although its columns are twice as far apart."""
    y, x = np.mgrid[:32, :16]
    disc = ((y - 15.5) ** 2 + ((x - 7.5) * 2) ** 2 < 144) * 1000
    frame = prepare(with_pixels(disc, PixelSpacing=[1, 2]))[0] > 127
    assert abs(int(frame.any(0).sum()) - int(frame.any(1).sum())) <= 1


def test_the_largest_centred_square_is_cut() -> None:
    wide = np.zeros((16, 48))
    wide[:, 16:32] = np.arange(16) * 100  # the ramp fills the centred square, and nothing else
    inside = np.s_[:, 2:-2, 2:-2]  # the resampling filter sees one pixel beyond the square
    cut, whole = prepare(with_pixels(wide))[inside], prepare(with_pixels(RAMP))[inside]
    assert np.abs(cut.astype(int) - whole.astype(int)).max() <= 8


def test_a_constant_image_does_not_divide_by_zero() -> None:
    assert prepare(with_pixels(np.zeros((16, 16)))).max() == 0


@pytest.mark.parametrize(
    "change", [{"BitsStored": 20}, {"Rows": 400}, {"SamplesPerPixel": 3}, {"BitsAllocated": 7}]
)
def test_pixels_that_do_not_decode_are_damage(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedInstance, match="decode|grey"):
        prepare(image(**change))


def view(count: int, grey: int) -> Frames:
    return np.full((count, 32, 32), grey, np.uint8)


def test_views_follow_the_order_of_the_layout() -> None:
    clip = join_views({"cine_sa": view(25, 2), "cine_lax": view(20, 1)}, FORM)
    assert clip[:, 0, 0].tolist() == [1] * 30 + [2] * 30


def test_single_views_repeat_once_for_every_slice_of_the_stack() -> None:
    views = {"lge_sa": view(10, 3), "lge_lax": view(1, 4), "lge_3ch": view(1, 6)}
    assert join_views(views, FORM)[:, 0, 0].tolist() == [3] * 10 + [4] * 10 + [6] * 10


def test_a_single_view_without_its_stack_appears_once() -> None:
    assert join_views({"lge_lax": view(1, 4)}, FORM)[:, 0, 0].tolist() == [4]


def test_a_full_study_is_thinned_to_the_frames_of_the_model() -> None:
    views = {slot.view: view(12, number) for number, slot in enumerate(FORM.layout)}
    clip = join_views(views, FORM)
    assert len(clip) == 64
    assert sorted(set(clip[:, 0, 0].tolist())) == [0, 1, 2, 3, 4, 5]


@given(floats(0.3, 4), floats(0.3, 4), integers(4, 40), integers(4, 40))
@settings(deadline=None)
def test_any_spacing_and_matrix_can_be_cut(
    row_mm: float, column_mm: float, rows: int, columns: int
) -> None:
    pixels = np.arange(rows * columns).reshape(rows, columns)
    frames = prepare(with_pixels(pixels, PixelSpacing=[f"{row_mm:.9f}", f"{column_mm:.9f}"]))
    assert frames.shape == (1, 32, 32)


def test_a_spacing_that_does_not_divide_evenly_can_be_cut() -> None:
    """224 pixels times 0.5775 mm, divided by 0.5775 mm, are a hair more than 224."""
    pixels = np.zeros((224, 224))
    assert prepare(with_pixels(pixels, PixelSpacing=[0.5775, 0.5775])).shape == (1, 32, 32)


HEART_FORM = ClipForm(
    frames=12,
    height=32,
    width=32,
    layout=(
        ViewSlot(view="cine_lax", kind="cine", phases=4),
        ViewSlot(view="lge_sa", kind="stack", slices=5),
        ViewSlot(view="lge_3ch", kind="single"),
    ),
    preprocessing=Preprocessing(
        version=2, crop="heart_square", field_mm=20, missing="black", resize="none"
    ),
)


def square_about(heart: tuple[float, float, float], pixels: np.ndarray, **values: Any) -> Frames:
    dataset = with_pixels(pixels, **values)
    chosen = ChosenView("cine_sa", "", (Image("0", dataset),))
    return prepare_view(chosen, HEART_FORM, np.array(heart), {"0": part10(dataset)}.__getitem__)


PLACED = {
    "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
    "ImagePositionPatient": [7, -20, 30],
    "PixelSpacing": [2, 0.5],
}


@pytest.mark.parametrize(("column", "row"), [(30, 12), (60, 20), (5, 31)])
def test_the_heart_is_in_the_middle_of_its_square(column: int, row: int) -> None:
    pixels = np.zeros((40, 80))
    pixels[row, column] = 1000
    heart = (99.0, -20 + column * 0.5, 30 - row * 2.0)  # off the plane, which does not matter
    frame = square_about(heart, pixels, **PLACED)[0].astype(float)
    middle = [(frame.sum(axis) @ np.arange(32)) / frame.sum() for axis in (1, 0)]
    assert middle == pytest.approx([15.5, 15.5], abs=0.6)


def test_the_square_is_dark_outside_the_image() -> None:
    bright = np.full((40, 80), 1000)
    bright[0, 0] = 10
    frame = square_about((7, -20, 30), bright, **PLACED)[0]
    assert frame[20:, 20:].min() == 255
    assert frame[:15].max() == frame[:, :15].max() == 0


@pytest.mark.parametrize("heart", [(7, 9e9, 0), (7, -9e9, 0)])
def test_a_heart_far_outside_the_image_gives_black_frames(
    heart: tuple[float, float, float],
) -> None:
    assert square_about(heart, RAMP, **PLACED).max() == 0


@pytest.mark.parametrize("spacing", [1e-9, 1e9])
def test_extreme_spacings_use_no_extra_memory(spacing: float) -> None:
    values = PLACED | {"PixelSpacing": [spacing, spacing]}
    assert square_about((7, -20, 30), RAMP, **values).shape == (1, 32, 32)


def test_without_a_position_the_square_is_cut_in_the_middle_of_the_image() -> None:
    pixels = np.zeros((40, 40))
    pixels[19:21, 19:21] = 1000
    dataset = with_pixels(pixels, ImagePositionPatient=None)
    chosen = ChosenView("cine_sa", "", (Image("0", dataset),))
    assert find_heart_centre([chosen]) is None
    frame = prepare_view(chosen, HEART_FORM, None, {"0": part10(dataset)}.__getitem__)[0]
    assert frame[15:17, 15:17].min() > 200


def test_the_heart_is_where_the_planes_of_the_views_meet() -> None:
    orientations = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])
    positions = ([-50, -60, 5], [36, -40, 70], [-20, -33, 60])  # z = 5, x = 36, y = -33
    used = [
        ChosenView(
            "view",
            "",
            (Image("0", image(ImageOrientationPatient=turn, ImagePositionPatient=first)),),
        )
        for turn, first in zip(orientations, positions, strict=True)
    ]
    assert find_heart_centre(used) == pytest.approx([36, -33, 5], abs=2)


def test_a_missing_view_is_black() -> None:
    clip = join_views({"lge_sa": view(9, 3)}, HEART_FORM)
    assert clip[:, 0, 0].tolist() == [0] * 4 + [3] * 5 + [0]


@pytest.mark.parametrize(("slices", "taken"), [(5, [0, 1, 2, 3, 4]), (10, [1, 3, 5, 7, 9])])
def test_slices_are_taken_at_uniform_centres(slices: int, taken: list[int]) -> None:
    assert spread_indices(slices, 5).tolist() == taken


def test_a_short_stack_fills_its_slot() -> None:
    assert spread_indices(3, 5).tolist() == [0, 0, 1, 2, 2]


COUNTS = st.dictionaries(st.sampled_from([slot.view for slot in FORM.layout]), st.integers(1, 40))


@given(COUNTS.filter(bool), st.sampled_from([FORM, HEART_FORM]))
@settings(deadline=None, max_examples=60)
def test_every_frame_of_a_clip_has_its_source_image(counts: dict[str, int], form: ClipForm) -> None:
    """Each image has its own grey value; the phases of a cine share one, as they are mixed."""
    slots = {slot.view: (40 * number + 1, slot.kind) for number, slot in enumerate(form.layout)}
    counts = {view: count for view, count in counts.items() if view in slots}
    views = {
        view: numbered(count, slots[view][0], rising=slots[view][1] != "cine")
        for view, count in counts.items()
    }
    traced = trace_frames(counts, form)
    for grey, origin in zip(join_views(views, form)[:, 0, 0], traced, strict=True):
        first, kind = slots[origin.view] if origin else (0, "")
        assert grey == first + (origin.image if origin and kind != "cine" else 0)


def numbered(count: int, first: int, *, rising: bool) -> Frames:
    greys = first + np.arange(count) * rising
    return greys[:, None, None].astype(np.uint8) * np.ones((1, 32, 32), np.uint8)


def test_a_mixed_phase_comes_from_the_nearer_one_around_the_cycle() -> None:
    form = HEART_FORM.model_copy(update={"layout": HEART_FORM.layout[:1]})
    of_five = trace_frames({"cine_lax": 5}, form)  # at 0, 1.25, 2.5 and 3.75 of its phases
    assert [source.image for source in of_five if source] == [0, 1, 2, 4]
    of_three = trace_frames({"cine_lax": 3}, form)  # at 0, 0.75, 1.5 and 2.25
    assert [source.image for source in of_three if source] == [0, 1, 2, 2]
