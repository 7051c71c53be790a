"""The stacks of a study are reproducible, complete as requested, and show the drawn heart."""

import numpy as np
import pytest
from numpy.typing import NDArray

from triage.phantom.anatomy import Anatomy
from triage.phantom.heart import Pathology, draw_heart
from triage.phantom.scene import label_tissues
from triage.phantom.signal import LOOKS
from triage.phantom.stack import PhantomSequence, PhantomStack, PhantomView
from triage.phantom.study import MODEL_VIEWS, REST, StudyPart, acquire_stacks
from triage.phantom.tissue import Tissue
from triage.phantom.views import PixelGrid, ViewPlane

SIEMENS = LOOKS["siemens"]
CORE = [
    (PhantomSequence.CINE, PhantomView.FOUR_CHAMBER),
    (PhantomSequence.CINE, PhantomView.TWO_CHAMBER),
    (PhantomSequence.CINE, PhantomView.THREE_CHAMBER),
    (PhantomSequence.CINE, PhantomView.SAX),
    (PhantomSequence.LGE, PhantomView.SAX),
    (PhantomSequence.LGE, PhantomView.FOUR_CHAMBER),
    (PhantomSequence.LGE, PhantomView.TWO_CHAMBER),
    (PhantomSequence.LGE, PhantomView.THREE_CHAMBER),
]


def _kinds(stacks: tuple[PhantomStack, ...]) -> list[tuple[PhantomSequence, PhantomView]]:
    return [(one.sequence, one.view) for one in stacks]


def test_the_same_seed_gives_the_same_bytes() -> None:
    once, again = (acquire_stacks(draw_heart(7), SIEMENS, 7, only=MODEL_VIEWS) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert one.times_ms == other.times_ms
        for slice_, same in zip(one.slices, other.slices, strict=True):
            assert slice_.pixels.tobytes() == same.pixels.tobytes()
            assert slice_.position.tobytes() == same.position.tobytes()


def test_another_seed_gives_other_images_of_the_same_heart() -> None:
    only = (StudyPart(PhantomSequence.LGE, PhantomView.FOUR_CHAMBER),)
    one, other = (acquire_stacks(draw_heart(7), SIEMENS, seed, only=only)[0] for seed in (1, 2))
    assert not np.array_equal(one.slices[0].pixels, other.slices[0].pixels)


def test_a_part_has_the_same_pixels_as_in_the_whole() -> None:
    heart, look = draw_heart(5), LOOKS["external"]
    whole = {(one.sequence, one.view): one for one in acquire_stacks(heart, look, 5)}
    for part in acquire_stacks(heart, look, 5, only=MODEL_VIEWS):
        full = whole[part.sequence, part.view]
        first = (len(full.slices) - 1) // 2 if len(part.slices) < len(full.slices) else 0
        assert np.array_equal(part.slices[0].pixels, full.slices[first].pixels)
        assert part.gap_mm == full.gap_mm


def test_a_study_has_all_stacks_of_the_protocol_except_dropped_ones() -> None:
    heart, gone = (
        draw_heart(3),
        {(PhantomSequence.CINE, PhantomView.SAX), (PhantomSequence.LGE, PhantomView.SAX)},
    )
    stacks = acquire_stacks(heart, LOOKS["external"], 3, drop=gone)
    assert _kinds(stacks) == [kind for kind in CORE if kind not in gone]


@pytest.mark.parametrize("name", LOOKS)
def test_stacks_are_consistent(name: str) -> None:
    look = LOOKS[name]
    only = (
        StudyPart(PhantomSequence.CINE, PhantomView.FOUR_CHAMBER),
        StudyPart(PhantomSequence.LGE, PhantomView.SAX),
        StudyPart(PhantomSequence.LGE, PhantomView.THREE_CHAMBER),
    )
    for one in acquire_stacks(draw_heart(9), look, 9, only=only):
        assert np.allclose([one.row @ one.row, one.column @ one.column], 1)
        assert one.row @ one.column == pytest.approx(0, abs=1e-9)
        assert 300 <= one.pixel_mm * look.columns <= 400
        for slice_ in one.slices:
            assert slice_.pixels.shape == (len(one.times_ms), look.rows, look.columns)
            assert slice_.pixels.dtype == np.uint16
            assert slice_.pixels.max() <= 4095
            assert slice_.pixels.std() > 10


def test_the_short_axis_stack_runs_from_base_to_apex_with_even_spacing() -> None:
    stack = acquire_stacks(
        draw_heart(9), SIEMENS, 9, only=(StudyPart(PhantomSequence.LGE, PhantomView.SAX),)
    )[0]
    steps = np.diff([slice_.position for slice_ in stack.slices], axis=0)
    towards_apex = -np.cross(stack.row, stack.column)
    assert 9 <= len(stack.slices) <= 14
    assert np.allclose(steps @ towards_apex, stack.thickness_mm + stack.gap_mm)
    assert towards_apex @ [1, -1, -1] > 1  # left, anterior, to the feet
    assert 8 <= stack.thickness_mm + stack.gap_mm <= 12


def test_extras_come_after_the_core_and_do_not_change_it() -> None:
    heart = draw_heart(6)
    extras = acquire_stacks(heart, LOOKS["external"], 6, extras=True)
    assert _kinds(extras)[: len(CORE)] == CORE
    more = {one.sequence for one in extras[len(CORE) :]}
    assert more == set(PhantomSequence) - {PhantomSequence.CINE, PhantomSequence.LGE}
    assert sum(one.velocity for one in extras) == 1
    lone = acquire_stacks(
        heart,
        LOOKS["external"],
        6,
        only=(StudyPart(PhantomSequence.CINE, PhantomView.TWO_CHAMBER),),
    )
    assert np.array_equal(lone[0].slices[0].pixels, extras[1].slices[0].pixels)


def test_a_t1_map_contains_t1() -> None:
    only = (StudyPart(PhantomSequence.T1_MAP, PhantomView.SAX),)
    heart = draw_heart(2, (Pathology.NORMAL,))
    stack = acquire_stacks(heart, SIEMENS, 2, extras=True, only=only)[0]
    labels = _labels(Anatomy(heart), stack, 1)
    assert np.median(stack.slices[1].pixels[0][labels == Tissue.MYOCARDIUM]) == pytest.approx(
        1000, rel=0.05
    )


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("seed", range(4))
def test_scar_is_brighter_than_remote_muscle_and_within_its_segments(name: str, seed: int) -> None:
    heart = draw_heart(seed, (Pathology.ISCHAEMIC,))
    anatomy = Anatomy(heart)
    stack = acquire_stacks(
        heart, LOOKS[name], seed, only=(StudyPart(PhantomSequence.LGE, PhantomView.SAX),)
    )[0]
    scar, remote, inside = [], [], []
    for index in range(2, len(stack.slices) - 3):
        labels = _labels(anatomy, stack, index)
        pixels = stack.slices[index].pixels[0].astype(float)
        scar.append(pixels[labels == Tissue.SCAR])
        remote.append(pixels[labels == Tissue.MYOCARDIUM])
        inside.append(_segments(anatomy, stack, index)[labels == Tissue.SCAR])
    spread = np.concatenate(remote).std()
    assert np.concatenate(scar).mean() > np.concatenate(remote).mean() + 1.5 * spread
    chosen = np.isin(np.concatenate(inside), heart.scars[0].segments)
    assert chosen.mean() > 0.85


def test_healthy_muscle_is_nulled_and_blood_is_not() -> None:
    heart = draw_heart(1, (Pathology.NORMAL,))
    only = (StudyPart(PhantomSequence.LGE, PhantomView.SAX, middle=True),)
    stack = acquire_stacks(heart, LOOKS["ge"], 1, only=only)[0]
    full = acquire_stacks(
        heart, LOOKS["ge"], 1, only=(StudyPart(PhantomSequence.LGE, PhantomView.SAX),)
    )[0]
    labels = _labels(Anatomy(heart), full, (len(full.slices) - 1) // 2)
    pixels = stack.slices[0].pixels[0]
    muscle, blood = (pixels[labels == kind].mean() for kind in (Tissue.MYOCARDIUM, Tissue.LV))
    assert blood > 2.5 * muscle


def _plane(stack: PhantomStack, index: int) -> tuple[ViewPlane, PixelGrid]:
    rows, columns = stack.slices[index].pixels.shape[1:]
    grid = PixelGrid(rows, columns, stack.pixel_mm, stack.thickness_mm)
    first = ViewPlane(stack.view, stack.row, stack.column, np.zeros(3), (0, 0, 0)).position(grid)
    centre = stack.slices[index].position - first
    return ViewPlane(stack.view, stack.row, stack.column, centre, (0.0, 0.0, 0.0)), grid


def _labels(anatomy: Anatomy, stack: PhantomStack, index: int) -> NDArray[np.uint8]:
    plane, grid = _plane(stack, index)
    return label_tissues(anatomy, plane.samples(grid), REST)


def _segments(anatomy: Anatomy, stack: PhantomStack, index: int) -> NDArray[np.int64]:
    """Return the AHA segment's index of each pixel, (rows, columns)."""
    plane, grid = _plane(stack, index)
    x, y, z = anatomy.to_heart(plane.samples(grid).patient)
    now = anatomy.at(REST)
    degrees = np.degrees(np.arctan2(y, x)) % 360
    six = ((degrees - 60) // 60 % 6).astype(int)
    four = ((degrees - 45) // 90 % 4).astype(int)
    level = (z - now.base) / now.length
    return np.asarray(np.where(level < 0.35, six, np.where(level < 0.70, 6 + six, 12 + four)))
