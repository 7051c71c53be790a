"""The chest around the heart: everything that does not beat, painted from the skin inwards."""

from collections.abc import Iterator

import numpy as np

from triage.phantom.anatomy import Anatomy
from triage.phantom.shapes import (
    cover,
    ellipse_distance,
    ellipsoid_distance,
    planar_length,
    tube_distance,
)
from triage.phantom.tissue import Field, Layer, Samples, Tissue

WIRE_STEP_MM = 26.0  #: between the wires of a sternum


def paint_chest(anatomy: Anatomy, samples: Samples) -> Iterator[Layer]:
    """Yield the layers of everything that does not beat, from the skin inwards."""
    edge, half_y = samples.edge_mm, anatomy.half_mm[1]
    level = anatomy.depth(samples.patient)
    ripple = 1 + np.float32(0.006) * np.cos(samples.patient[2] / 9 + samples.patient[1] / 14)
    yield Layer(Tissue.FAT, cover((level - 1) * half_y, edge))
    yield Layer(Tissue.MUSCLE, cover((level * ripple - 1 + anatomy.skin) * half_y, edge))
    inside = (level - 1 + anatomy.skin + anatomy.muscle) * half_y
    lung = cover(inside, edge)
    yield Layer(Tissue.LUNG, lung)
    grain = anatomy.texture(samples.inner, 5.0)
    yield Layer(Tissue.PULMONARY, np.clip((grain - 1.9) * 1.5, 0, 0.8) * lung)
    if anatomy.chest.pleural_mm:
        surface = anatomy.half_mm[1] * 0.8 - anatomy.chest.pleural_mm - samples.patient[1]
        yield Layer(Tissue.FLUID, cover(surface, edge) * lung)
    yield from _paint_mediastinum(anatomy, samples, inside)
    yield from _paint_abdomen(anatomy, samples, inside, grain)
    yield from _paint_spine(anatomy, samples)
    yield from _paint_vessels(anatomy, samples)
    if anatomy.chest.wire_mm:
        yield Layer(Tissue.AIR, _wires(anatomy, samples, inside))


def _paint_mediastinum(anatomy: Anatomy, samples: Samples, inside: Field) -> Iterator[Layer]:
    x, y, z = samples.inner
    half = (
        5
        + np.clip(y, 0, 40) * 0.2
        + np.clip(-60 - y, 0, 40) * 0.5
        + np.clip((z - 30) * 0.15, 0, 14)
    )
    middle = np.maximum(abs(x - 6) - half, inside)
    yield Layer(Tissue.FAT, cover(middle, samples.edge_mm * 2))
    chest = np.abs(inside - anatomy.muscle * anatomy.half_mm[1] * 0.5) - 4
    sternum = np.maximum(np.maximum(chest, abs(samples.patient[0]) - 19), np.maximum(y, -70 - z))
    yield Layer(Tissue.BONE, cover(sternum, samples.edge_mm))


def _wires(anatomy: Anatomy, samples: Samples, inside: Field) -> Field:
    """Return the voids around the wires that close a sternum which was opened."""
    x, y, z = samples.patient
    along = (z + WIRE_STEP_MM / 2) % WIRE_STEP_MM - WIRE_STEP_MM / 2
    deep = np.abs(inside - anatomy.muscle * anatomy.half_mm[1] * 0.5)
    gap = np.sqrt(x * x + deep * deep + along * along) - np.float32(anatomy.chest.wire_mm)
    return cover(np.maximum(gap, y), 2 * samples.edge_mm)


def _paint_abdomen(
    anatomy: Anatomy, samples: Samples, inside: Field, grain: Field
) -> Iterator[Layer]:
    x, y, z = samples.inner
    if float(z.min()) > anatomy.diaphragm + 60:
        return
    right = 46 * np.exp(-(((x + 70) / 62) ** 2) - ((y - 12) / 75) ** 2)
    dome = anatomy.chest.dome_mm
    left = dome * np.exp(-(((x - 55) / 60) ** 2) - ((y + 12) / 70) ** 2)
    below = z - anatomy.diaphragm - right - left
    wide = samples.edge_mm + 2
    belly = np.maximum(below, inside)
    yield Layer(Tissue.FAT, cover(belly, wide))
    yield Layer(Tissue.SPLEEN, cover(belly + 3, wide) * np.clip(0.85 - 0.35 * grain, 0.2, 1))
    depth = anatomy.diaphragm - 45
    stomach = ellipsoid_distance(x - 66, y + 12, z - depth, (40.0, 46.0, 62.0))
    yield Layer(Tissue.STOMACH, cover(np.maximum(stomach, belly + 3), wide))
    spleen = ellipsoid_distance(x - 108, y - 42, z - depth, (30.0, 44.0, 60.0))
    yield Layer(Tissue.SPLEEN, cover(np.maximum(spleen, belly + 3), wide))
    liver = np.maximum(belly + 3, (x - 24) * 0.8 + (y + 30) * 0.3)
    yield Layer(Tissue.LIVER, cover(liver, wide))
    vessel = np.clip((grain - 1.7) * 3, 0, 1) * cover(liver + 5, wide)
    yield Layer(Tissue.VEIN, vessel * np.float32(0.7))


def _paint_spine(anatomy: Anatomy, samples: Samples) -> Iterator[Layer]:
    x, y, z = samples.patient
    edge, back = samples.edge_mm, anatomy.spine_y
    muscle = np.minimum(
        ellipse_distance(x - 34, y - back - 26, 26, 15),
        ellipse_distance(x + 34, y - back - 26, 26, 15),
    )
    yield Layer(Tissue.FAT, cover(ellipse_distance(x, y - back - 5, 40.0, 30.0), 2 * edge))
    yield Layer(Tissue.MUSCLE, cover(muscle, edge))
    disc = np.float32(2.0) * (np.cos(z * (2 * np.pi / 27)) > 0.8)  # noqa: PLR2004 - 5 of 27 mm
    bone = ellipse_distance(x, y - back, 19.0, 15.0) + disc
    yield Layer(Tissue.RIGHT_WALL, cover(bone - 1.5, edge))
    yield Layer(Tissue.BONE, cover(bone, edge))
    yield Layer(Tissue.FLUID, cover(ellipse_distance(x, y - back - 24, 9.0, 8.0), edge))
    yield Layer(Tissue.MUSCLE, cover(ellipse_distance(x, y - back - 24, 4.5, 3.5), edge))


def _paint_vessels(anatomy: Anatomy, samples: Samples) -> Iterator[Layer]:
    x, y, z = samples.inner
    edge, (cx, cy) = samples.edge_mm, anatomy.descending
    half = anatomy.heart.descending_mm / 2
    top = anatomy.centre[2] + 118
    tube = np.maximum(planar_length(x - cx, y - cy) - half, z - top)
    begin = anatomy.to_patient(anatomy.aorta[-1])
    arch = np.stack([begin, [(begin[0] + cx) / 2, (begin[1] + cy) / 2, top + 8], [cx, cy, top]])
    bow = tube_distance(samples.inner, arch, [anatomy.heart.ascending_mm / 2, half + 1, half])
    gullet = ellipse_distance(x - cx + half + 12, y - cy + 4, 8.0, 5.0)
    yield Layer(Tissue.RIGHT_WALL, cover(gullet, edge))
    tube = np.minimum(tube, bow)
    yield Layer(Tissue.RIGHT_WALL, cover(tube - 1.5, edge))
    yield Layer(Tissue.DESCENDING, cover(tube, edge))
    cava = anatomy.to_patient(np.array([-anatomy.radius - 34, 0.0, -25.0]))
    caval = np.minimum(
        np.maximum(planar_length(x - cava[0], y - cava[1]) - 9, cava[2] - z),
        np.maximum(planar_length(x - cava[0] - 4, y - cava[1] - 10) - 11, z - cava[2]),
    )
    yield Layer(Tissue.RIGHT_WALL, cover(caval - 1.2, edge))
    yield Layer(Tissue.VEIN, cover(caval, edge))
    branch = anatomy.to_patient(np.array([4.0, 38.0, -62.0]))
    arteries = branch + np.array([[-75, 25, 4], [0, 0, 0], [60, 35, 12]])
    pulmonary = tube_distance(samples.inner, arteries, [8.0, 11.0, 8.0])
    yield Layer(Tissue.RIGHT_WALL, cover(pulmonary - 1.2, edge))
    yield Layer(Tissue.PULMONARY, cover(pulmonary, edge))
