"""The painted tissue matches the drawn heart."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from triage.phantom.anatomy import Anatomy
from triage.phantom.beating_heart import HeartSamples
from triage.phantom.heart import Heart, Pathology, draw_heart
from triage.phantom.scene import label_tissues
from triage.phantom.stack import PhantomView
from triage.phantom.tissue import Samples, Tissue
from triage.phantom.views import PixelGrid, plan_planes, spacing_mm

GRID = PixelGrid(rows=150, columns=150, pixel_mm=1.4, thickness_mm=8.0)
STILL = (0.0, 0.0, 0.0)
CAVITY = (Tissue.LV, Tissue.PAPILLARY)
RIGHT = (Tissue.RV,)


def _measured_ml(
    heart: Heart, phase: float, *tissues: tuple[Tissue, ...], step_mm: float = 0.0
) -> list[float]:
    """Return the volumes of tissues from the pixels of a short-axis stack, as contours would.

    The slices are those of the protocol, or closer ones, which depend less on their position.
    """
    anatomy = Anatomy(heart)
    planned = plan_planes(anatomy, PhantomView.SAX, np.random.default_rng(heart.seed))
    apart, first = step_mm or spacing_mm(planned), planned[0]
    steps = np.arange(0, spacing_mm(planned) * (len(planned) - 0.5), apart)
    thin = replace(GRID, thickness_mm=min(GRID.thickness_mm, apart))
    labels = []
    for step in steps:
        plane = replace(first, centre=first.centre - first.normal * step, breath=STILL)
        labels.append(label_tissues(anatomy, plane.samples(thin), phase))
    return [
        float(np.isin(labels, kinds).sum()) * GRID.pixel_mm**2 * apart / 1e3 for kinds in tissues
    ]


def _short_axis(anatomy: Anatomy, z: float, half: float = 70, pixel: float = 0.5) -> Samples:
    """Return a plane across the long axis whose pixels are the heart's own x and -y."""
    steps = np.arange(-half, half, pixel)
    x, y = np.meshgrid(steps, -steps)
    heart = np.stack([x, y, np.full_like(x, z)])
    patient = np.tensordot(anatomy.axes, heart, axes=1) + anatomy.origin[:, None, None]
    return Samples(patient.astype(np.float32), anatomy.axes[:, 2], pixel, 1.0)


def _ray(labels: NDArray[np.uint8], degrees: float, half: float, pixel: float) -> NDArray[np.uint8]:
    """Return the labels from the axis outwards, every quarter of a millimetre."""
    away = np.arange(0, half - 1, 0.25)
    column = (half + away * np.cos(np.radians(degrees))) / pixel
    row = (half - away * np.sin(np.radians(degrees))) / pixel
    ray: NDArray[np.uint8] = labels[row.astype(int), column.astype(int)]
    return ray


@pytest.mark.parametrize("seed", range(20))
def test_volumes_are_those_drawn(seed: int) -> None:
    heart = draw_heart(seed)
    left, right = _measured_ml(heart, 0.0, CAVITY, RIGHT, step_mm=3.0)
    assert left == pytest.approx(heart.lv_edv_ml, rel=0.06)
    assert right == pytest.approx(heart.rv_edv_ml, rel=0.09)
    left_end, right_end = _measured_ml(heart, Anatomy(heart).systole, CAVITY, RIGHT, step_mm=3.0)
    assert 1 - left_end / left == pytest.approx(heart.lv_ef, abs=0.03)
    assert 1 - right_end / right == pytest.approx(heart.rv_ef, abs=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_volumes_from_the_slices_of_the_protocol_are_near_those_drawn(seed: int) -> None:
    heart = draw_heart(seed)
    left, right = _measured_ml(heart, 0.0, CAVITY, RIGHT)
    assert left == pytest.approx(heart.lv_edv_ml, rel=0.08)
    assert right == pytest.approx(heart.rv_edv_ml, rel=0.14)  # one basal slice more or less
    left_end, right_end = _measured_ml(heart, Anatomy(heart).systole, CAVITY, RIGHT)
    assert 1 - left_end / left == pytest.approx(heart.lv_ef, abs=0.04)
    assert 1 - right_end / right == pytest.approx(heart.rv_ef, abs=0.10)


@pytest.mark.parametrize("kind", [Pathology.NORMAL, Pathology.HYPERTROPHIC, Pathology.DILATED])
def test_the_mid_wall_is_as_thick_as_drawn_in_each_segment(kind: Pathology) -> None:
    heart = draw_heart(3, (kind,))
    anatomy = Anatomy(heart)
    labels = label_tissues(anatomy, _short_axis(anatomy, 0.50 * anatomy.length), 0.0)
    for segment in range(6):
        if segment == 5:  # a papillary muscle touches this wall
            continue
        ray = _ray(labels, 90 + 60 * segment, 70, 0.5)
        measured = np.isin(ray, (Tissue.MYOCARDIUM, Tissue.SCAR)).sum() * 0.25
        neighbours = heart.wall_mm[[6 + (segment + step) % 6 for step in (-1, 0, 1)]]
        assert neighbours.min() - 1.2 < measured < neighbours.max() + 1.2


def test_a_healthy_wall_thickens_and_an_akinetic_one_does_not() -> None:
    heart = draw_heart(1, (Pathology.NORMAL,))
    motion = heart.motion.copy()
    motion[[1, 7, 13]] = 0.0
    anatomy = Anatomy(replace(heart, motion=motion))
    rest, contracted = anatomy.at(0), anatomy.at(anatomy.systole)
    thickened = contracted.wall[48] / rest.wall[48]
    assert thickened[75] < 1.25  # 150 degrees: anteroseptal
    assert thickened[165] > 1.4  # 330 degrees: inferolateral


def test_muscle_keeps_its_volume() -> None:
    heart = draw_heart(2, (Pathology.NORMAL,))
    anatomy = Anatomy(heart)
    wall = (Tissue.MYOCARDIUM, Tissue.SCAR)
    rest, contracted = (
        _measured_ml(heart, phase, wall, step_mm=3.0)[0] for phase in (0.0, anatomy.systole)
    )
    assert contracted == pytest.approx(rest, rel=0.12)
    assert 60 < rest * 1.05 < 180  # grams of a normal heart


@pytest.mark.parametrize("seed", range(6))
def test_the_descending_aorta_is_as_wide_as_drawn(seed: int) -> None:
    heart = draw_heart(seed, (Pathology.AORTA,))
    anatomy = Anatomy(heart)
    plane = plan_planes(anatomy, PhantomView.AXIAL, np.random.default_rng(0), 1)[0]
    labels = label_tissues(anatomy, plane.samples(GRID), 0.0)
    area = (labels == Tissue.DESCENDING).sum() * GRID.pixel_mm**2
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(heart.descending_mm, rel=0.06)


def test_a_wider_root_and_ascending_aorta_are_visible_in_the_long_axes() -> None:
    heart = draw_heart(4, (Pathology.NORMAL,))
    seen = {}
    for view in (PhantomView.FOUR_CHAMBER, PhantomView.THREE_CHAMBER):
        for wide in (30.0, 50.0):
            anatomy = Anatomy(replace(heart, root_mm=wide, ascending_mm=wide))
            plane = plan_planes(anatomy, view, np.random.default_rng(0))[0]
            labels = label_tissues(anatomy, plane.samples(GRID), 0.0)
            seen[view, wide] = (labels == Tissue.ASCENDING).sum() * GRID.pixel_mm**2
    assert seen[PhantomView.THREE_CHAMBER, 50.0] > 1.5 * seen[PhantomView.THREE_CHAMBER, 30.0]
    assert seen[PhantomView.FOUR_CHAMBER, 50.0] > seen[PhantomView.FOUR_CHAMBER, 30.0] + 150


@pytest.mark.parametrize("seed", range(8))
def test_the_four_chamber_plane_shows_four_chambers_and_the_descending_aorta(seed: int) -> None:
    anatomy = Anatomy(draw_heart(seed))
    plane = plan_planes(anatomy, PhantomView.FOUR_CHAMBER, np.random.default_rng(seed))[0]
    labels = label_tissues(anatomy, plane.samples(PixelGrid(192, 224, 1.55, 6.0)), 0.0)
    chambers = (
        Tissue.LV,
        Tissue.RV,
        Tissue.LEFT_ATRIUM,
        Tissue.RIGHT_ATRIUM,
        Tissue.DESCENDING,
    )
    assert all((labels == tissue).sum() > 60 for tissue in chambers)


def test_a_drawn_septal_bounce_moves_the_septum() -> None:
    heart = draw_heart(1, (Pathology.NORMAL,))
    early = Anatomy(heart).systole + 0.10
    flat = Anatomy(heart).at(early).endocardium[48]
    bounced = Anatomy(replace(heart, septal_bounce=1.0)).at(early).endocardium[48]
    assert bounced[90] < flat[90] - 3  # 180 degrees: septum
    assert bounced[0] > flat[0]  # the lateral wall compensates: the volume is the same


def test_covers_are_between_zero_and_one() -> None:
    anatomy = Anatomy(draw_heart(1, (Pathology.ISCHAEMIC,)))
    samples = _short_axis(anatomy, 30.0, half=60, pixel=2.0)
    for tissue, cover in HeartSamples(anatomy, samples).layers(0.2):
        assert cover.dtype == np.float32, tissue
        assert cover.min() >= 0
        assert cover.max() <= 1
