"""Which tissue lies where in a body with a beating heart.

Rule: the shapes are solved for the drawn numbers. The left ventricle is a truncated ellipsoid whose
radius follows each segment's motion, the right one a crescent upon it; both volumes are closed
forms of one unknown, so that they are met at every phase. Walls keep their volume, so they thicken
as they move inwards.

Heart coordinates, mm: x from the septum to the lateral wall, y to the anterior wall, z along the
long axis from the end-diastolic mitral plane (0) to the apex. Patient coordinates: LPS, mm.
Sources: AHA 17 segments (J Am Soc Echocardiogr 2002); orientation as in clinical short-axis stacks.

Shapes are painted over one another: each is a layer of one tissue and how much of a sample it
covers, from its signed distance and the sample's own size, which is partial volume without
supersampling.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage.phantom.heart import Enhancement, Heart, Pathology, Scar, Segments

Field = NDArray[np.float32]
Vector = NDArray[np.float64]  #: (3,)


class Tissue(IntEnum):
    """What a point may lie in; blood is told apart by where it is."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    FLUID = 5  #: of the spinal canal
    LIVER = 6
    SPLEEN = 7
    STOMACH = 8
    MYOCARDIUM = 9
    PAPILLARY = 10
    SCAR = 11
    RIGHT_WALL = 12  #: thin walls: right ventricle, atria, vessels, valves
    LV = 13
    RV = 14
    LEFT_ATRIUM = 15
    RIGHT_ATRIUM = 16
    ASCENDING = 17  #: aortic root and ascending aorta
    DESCENDING = 18
    PULMONARY = 19  #: arteries and the vessels of the lung
    VEIN = 20


class Layer(NamedTuple):
    """A tissue and the share of each sample that it covers, painted over what lies below."""

    tissue: Tissue
    cover: Field


LEVELS, ANGLES = 96, 180  #: of the tables along and around the left ventricle
LENGTH_TO_RADIUS = 3.6
EQUATOR = 0.3  #: share of the length between mitral plane and widest level
FULLNESS = 0.748  #: volume over pi R^2 L of an ellipsoid cut at that level
SHORTENING = 0.25  #: of the length, for each unit of ejection fraction
RIGHT_END = 0.93  #: share of the left ventricle's length that the right one reaches
RIGHT_HALF_DEG = 92.0  #: half of the angle that it embraces
RIGHT_CENTRE_DEG = 182.0
RIGHT_WALL_MM = 2.6
THIN_MM = 2.0
BOUNCE_MM = 8.0
RING_CENTRES = (0.17, 0.52, 0.85)
RING_EDGES = (0.35, 0.70)
PAPILLARY_DEG = (38.0, 262.0)

#: Axes of a typical heart in patient coordinates: lateral, anterior, towards the apex (columns).
USUAL_AXES = np.array([[0.835, 0.16, 0.53], [0.38, -0.74, -0.56], [0.40, 0.66, -0.64]])
CENTRE = np.array([38.0, -34.0, 0.0])  #: of the left ventricle in a typical chest


@dataclass(frozen=True)
class Samples:
    """Where to look, and the size of one sample."""

    patient: Field  #: (3, rows, columns)
    normal: Vector  #: of the plane
    edge_mm: float  #: in the plane
    thickness_mm: float
    breath: tuple[float, float, float] = (0.0, 0.0, 0.0)  #: shift of heart and abdomen, LPS, mm

    @cached_property
    def inner(self) -> Field:
        """Coordinates in the organs that breathing moves, (3, rows, columns)."""
        return self.patient - np.array(self.breath, np.float32)[:, None, None]


@dataclass(frozen=True)
class Ventricles:
    """Both ventricles at one phase; tables are (LEVELS, ANGLES), mm."""

    base: float  #: z of the mitral plane
    length: float
    endocardium: Field  #: radius at the widest level
    wall: Field
    apex_wall: float
    right: Field  #: distance of the right ventricle's free wall from the axis
    right_slope: Field  #: cosine between that wall's normal and the radius
    closed: float  #: of the mitral valve, 0 to 1

    @property
    def equator(self) -> float:
        """Return z of the widest level."""
        return self.base + EQUATOR * self.length


class Anatomy:
    """A heart in its chest; the same heart always lies in the same chest."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        rng = np.random.default_rng([heart.seed, 2])
        size = float(np.sqrt(heart.body_surface_m2 / 1.9))
        self.half_mm = size * rng.uniform(158, 178), size * rng.uniform(108, 122)
        self.skin = float(rng.uniform(0.06, 0.15))  # share of the half width
        self.muscle = float(rng.uniform(0.09, 0.12))
        self.diaphragm = float(rng.uniform(-66, -52))
        self.atrium_mm = float(rng.uniform(23, 28)) * (
            1.15 if Pathology.AMYLOID in heart.pathologies else 1.0
        )
        swollen = (heart.lv_edv_ml / 140) ** 0.15
        self.atrium_mm *= swollen
        sphere = max(1.0, heart.lv_edv_ml / 130) ** 0.12
        ratio = LENGTH_TO_RADIUS / sphere * rng.uniform(0.95, 1.05)
        self.radius = float((heart.lv_edv_ml * 1e3 / (FULLNESS * np.pi * ratio)) ** (1 / 3))
        self.length = self.radius * ratio
        left, _, right = np.linalg.svd(USUAL_AXES)
        self.axes = left @ right @ _rotation(rng.normal(0, np.radians(5), 3))
        self.centre = CENTRE * size + rng.normal(0, 4, 3)
        self.origin = self.centre - self.axes[:, 2] * self.length * 0.5
        self.waves = rng.normal(0, 1, (2, 16, 3)), rng.uniform(0, 2 * np.pi, (2, 16))
        self.systole = 0.33 + 0.002 * (heart.heart_rate_bpm - 60)
        self.thickness = _table(heart.wall_mm, 10.0)
        self.motion = _table(heart.motion, 12.0)
        self._phases = lru_cache(maxsize=64)(self._ventricles)

    def at(self, phase: float) -> Ventricles:
        """Return the ventricles at a phase, 0 to 1 of the cycle."""
        return self._phases(round(phase % 1.0, 6))

    def to_heart(self, patient: Field) -> Field:
        """Patient coordinates (3, ...) -> heart coordinates (3, ...)."""
        shifted = patient - self.origin.astype(np.float32).reshape(3, *[1] * (patient.ndim - 1))
        turned: Field = np.tensordot(self.axes.T.astype(np.float32), shifted, axes=1)
        return turned

    def to_patient(self, heart: Vector) -> Vector:
        """Heart coordinates (3,) -> patient coordinates (3,)."""
        moved: Vector = self.axes @ np.asarray(heart, np.float64) + self.origin
        return moved

    def contraction(self, phase: float) -> float:
        """Return 0 at end diastole, 1 at end systole; fast filling, rest, atrial kick."""
        end = self.systole
        times = (0.0, end, end + 0.04, end + 0.24, 0.86, 1.0)
        levels = (0.0, 1.0, 1.0, 0.24, 0.18, 0.0)
        after = max(1, int(np.searchsorted(times, phase, side="right")) if phase < 1 else 5)
        share = (phase - times[after - 1]) / (times[after] - times[after - 1])
        smooth = (1 - np.cos(np.pi * share)) / 2
        return float(levels[after - 1] + (levels[after] - levels[after - 1]) * smooth)

    def _ventricles(self, phase: float) -> Ventricles:
        heart, done = self.heart, self.contraction(phase)
        length = self.length * (1 - SHORTENING * heart.lv_ef * done)
        level = (np.arange(LEVELS) + 0.5)[:, None] / LEVELS
        cell = length / LEVELS * 2 * np.pi / ANGLES  # of an integral over height and angle
        round_ = 1 - ((level - EQUATOR) / (1 - EQUATOR)) ** 2  # squared radius over the widest
        rest = self.radius - self._bounce(phase)
        volume = heart.lv_edv_ml * 1e3 * (1 - heart.lv_ef * done)
        inwards = self.radius * self.motion
        endo = rest - inwards * _inward_share(rest, inwards, round_ * cell / 2, volume)
        endo = np.maximum(endo, 3.0)
        ring = ((self.radius + self.thickness) ** 2 - self.radius**2) * self.length / length
        wall = np.sqrt(endo**2 + ring) - endo
        apex = float(self.thickness[-1].mean()) * 0.8
        outside = (endo + wall) * np.sqrt(
            np.clip(1 - ((level - EQUATOR) * length / (0.7 * length + apex)) ** 2, 0, 1)
        )
        right = outside + self._right_width(outside, level, cell, done)
        slope_z, slope = np.gradient(right, length / LEVELS, 2 * np.pi / ANGLES)
        steep = 1 / np.sqrt(1 + (slope / np.maximum(right, 5)) ** 2 + slope_z**2)
        return Ventricles(
            base=self.length - length,
            length=length,
            endocardium=endo.astype(np.float32),
            wall=wall.astype(np.float32),
            apex_wall=apex,
            right=right.astype(np.float32),
            right_slope=steep.astype(np.float32),
            closed=float(np.clip((self.systole + 0.05 - phase) / 0.05, 0, 1)),
        )

    def _bounce(self, phase: float) -> Segments:
        """Shift of the septum to the left in early diastole, (ANGLES,), mm."""
        early = np.exp(-(((phase - self.systole - 0.10) / 0.05) ** 2))
        septal = np.cos(np.clip((_angles() - np.pi) * 1.2, -np.pi / 2, np.pi / 2))
        shift: Segments = self.heart.septal_bounce * BOUNCE_MM * early * septal
        return shift

    def _right_width(
        self, outside: Segments, level: Segments, cell: float, done: float
    ) -> Segments:
        """Width of the right ventricle over the septum that gives its volume, mm."""
        away = (np.degrees(_angles()) - RIGHT_CENTRE_DEG) / RIGHT_HALF_DEG
        around = np.clip(1 - away**2, 0, 1)
        shape = around * np.clip(1 - (level / RIGHT_END) ** 2.3, 0, 1) ** 0.7
        square, linear = (shape**2).sum() * cell / 2, (outside * shape).sum() * cell
        volume = self.heart.rv_edv_ml * 1e3 * (1 - self.heart.rv_ef * done)
        width: Segments = shape * (np.sqrt(linear**2 + 4 * square * volume) - linear) / (2 * square)
        return width

    def texture(self, points: Field, grain_mm: float, which: int = 0) -> Field:
        """Return a smooth random field of unit variance on a plane grid (3, rows, columns).

        A sum of plane waves; on a grid each is an outer product, so their sum is a matrix product.
        """
        waves = self.waves[0][which] / grain_mm
        down = waves @ points[:, :, 0] + self.waves[1][which][:, None]  # (waves, rows)
        right = waves @ (points[:, 0, :] - points[:, 0, :1])  # (waves, columns)
        total = np.cos(down).T @ np.cos(right) - np.sin(down).T @ np.sin(right)
        field: Field = (total * np.sqrt(2 / len(waves))).astype(np.float32)
        return field

    def labels(self, samples: Samples, phase: float) -> NDArray[np.uint8]:
        """Return the tissue that prevails at each sample, (rows, columns)."""
        label = np.zeros(samples.patient.shape[1:], np.uint8)
        for tissue, cover in (*self.chest(samples), *HeartSamples(self, samples).layers(phase)):
            label[cover > 0.5] = tissue  # noqa: PLR2004 - more than half
        return label

    def depth(self, patient: Field) -> Field:
        """Return 1 at the skin, 0 in the middle; the chest slopes back towards the neck."""
        x, y, z = patient
        slope = np.clip(1 - np.float32(0.0016) * (z + 20), 0.7, 1.15)
        back = np.float32(self.half_mm[1] * 0.30)
        across = (x / np.float32(self.half_mm[0])) ** 2
        deep = (
            (y - back) / (np.where(y < back, slope * 1.30, np.float32(0.70)) * self.half_mm[1])
        ) ** 2
        both = across + deep
        level: Field = np.sqrt(0.55 * both + 0.45 * np.sqrt(both * both - 2 * across * deep))
        return level.astype(np.float32, copy=False)

    def chest(self, samples: Samples) -> Iterator[Layer]:
        """Paint all that does not beat, from the skin inwards."""
        edge, half_y = samples.edge_mm, self.half_mm[1]
        level = self.depth(samples.patient)
        ripple = 1 + np.float32(0.006) * np.cos(samples.patient[2] / 9 + samples.patient[1] / 14)
        yield Layer(Tissue.FAT, _cover((level - 1) * half_y, edge))
        yield Layer(Tissue.MUSCLE, _cover((level * ripple - 1 + self.skin) * half_y, edge))
        inside = (level - 1 + self.skin + self.muscle) * half_y
        lung = _cover(inside, edge)
        yield Layer(Tissue.LUNG, lung)
        grain = self.texture(samples.inner, 5.0)
        yield Layer(Tissue.PULMONARY, np.clip((grain - 1.9) * 1.5, 0, 0.8) * lung)
        yield from self._mediastinum(samples, inside)
        yield from self._abdomen(samples, inside, grain)
        yield from self._spine(samples)
        yield from self._vessels(samples)

    def _mediastinum(self, samples: Samples, inside: Field) -> Iterator[Layer]:
        x, y, z = samples.inner
        half = (
            5
            + np.clip(y, 0, 40) * 0.2
            + np.clip(-60 - y, 0, 40) * 0.5
            + np.clip((z - 30) * 0.15, 0, 14)
        )
        middle = np.maximum(abs(x - 6) - half, inside)
        yield Layer(Tissue.FAT, _cover(middle, samples.edge_mm * 2))
        chest = np.abs(inside - self.muscle * self.half_mm[1] * 0.5) - 4
        sternum = np.maximum(
            np.maximum(chest, abs(samples.patient[0]) - 19), np.maximum(y, -70 - z)
        )
        yield Layer(Tissue.BONE, _cover(sternum, samples.edge_mm))

    def _abdomen(self, samples: Samples, inside: Field, grain: Field) -> Iterator[Layer]:
        x, y, z = samples.inner
        if float(z.min()) > self.diaphragm + 60:
            return
        right = 46 * np.exp(-(((x + 70) / 62) ** 2) - ((y - 12) / 75) ** 2)
        left = 24 * np.exp(-(((x - 62) / 60) ** 2) - ((y + 2) / 70) ** 2)
        below = z - self.diaphragm - right - left
        wide = samples.edge_mm + 2
        belly = np.maximum(below, inside)
        yield Layer(Tissue.FAT, _cover(belly, wide))
        yield Layer(Tissue.SPLEEN, _cover(belly + 3, wide) * np.clip(0.85 - 0.35 * grain, 0.2, 1))
        depth = self.diaphragm - 45
        stomach = _ellipsoid(x - 66, y + 12, z - depth, (40.0, 46.0, 62.0))
        yield Layer(Tissue.STOMACH, _cover(np.maximum(stomach, belly + 3), wide))
        spleen = _ellipsoid(x - 108, y - 42, z - depth, (30.0, 44.0, 60.0))
        yield Layer(Tissue.SPLEEN, _cover(np.maximum(spleen, belly + 3), wide))
        liver = np.maximum(belly + 3, (x - 24) * 0.8 + (y + 30) * 0.3)
        yield Layer(Tissue.LIVER, _cover(liver, wide))
        vessel = np.clip((grain - 1.7) * 3, 0, 1) * _cover(liver + 5, wide)
        yield Layer(Tissue.VEIN, vessel * np.float32(0.7))

    def _spine(self, samples: Samples) -> Iterator[Layer]:
        x, y, z = samples.patient
        edge, back = samples.edge_mm, self.spine_y
        muscle = np.minimum(
            _ellipse(x - 34, y - back - 26, 26, 15), _ellipse(x + 34, y - back - 26, 26, 15)
        )
        yield Layer(Tissue.FAT, _cover(_ellipse(x, y - back - 5, 40.0, 30.0), 2 * edge))
        yield Layer(Tissue.MUSCLE, _cover(muscle, edge))
        disc = np.float32(2.0) * (np.cos(z * (2 * np.pi / 27)) > 0.8)  # noqa: PLR2004 - 5 of 27 mm
        bone = _ellipse(x, y - back, 19.0, 15.0) + disc
        yield Layer(Tissue.RIGHT_WALL, _cover(bone - 1.5, edge))
        yield Layer(Tissue.BONE, _cover(bone, edge))
        yield Layer(Tissue.FLUID, _cover(_ellipse(x, y - back - 24, 9.0, 8.0), edge))
        yield Layer(Tissue.MUSCLE, _cover(_ellipse(x, y - back - 24, 4.5, 3.5), edge))

    @cached_property
    def bounds(self) -> tuple[Vector, Vector]:
        """Corners of a box around all that beats, heart coordinates."""
        wall = float(self.heart.wall_mm.max())
        out = self.radius + wall + self.heart.fat_mm + 3
        right = float(self.at(0).right.max()) + RIGHT_WALL_MM + self.heart.fat_mm + 3
        vessel = max(self.heart.ascending_mm, self.heart.root_mm) / 2
        atrium = self.radius + float(self.heart.wall_mm[1]) + 18 + self.atrium_mm
        far = self.aorta[-1] - [0, 0, vessel]
        low = np.array([-max(right, atrium), -out - 12, min(-2.2 * self.atrium_mm, far[2])])
        top = max(out + 14, far[1] + vessel)
        return low, np.array([out + 4, top, self.length + wall + self.heart.fat_mm + 3])

    @property
    def spine_y(self) -> float:
        """Return how far behind the middle the vertebrae lie, mm."""
        return self.half_mm[1] * 0.60

    @cached_property
    def descending(self) -> Vector:
        """Centre of the descending aorta beside the spine, patient x and y, mm."""
        away = 17 + self.heart.descending_mm / 2
        return np.array([0.66 * away, self.spine_y - 0.75 * away])

    @cached_property
    def aorta(self) -> Vector:
        """Centres of root, ascending aorta and arch, heart coordinates, (points, 3)."""
        root, wide = self.heart.root_mm, self.heart.ascending_mm
        valve = np.array([-0.42, 0.42, 0.0]) * self.radius + [0, 0, 5]
        sinus = valve + (4 + 0.40 * root) * np.array([-0.10, 0.42, -0.90])
        start = sinus + (8 + 0.2 * wide) * np.array([-0.02, 0.66, -0.75])
        rising = start + 40 * np.array([-0.02, 0.72, -0.69])
        return np.stack([valve, sinus, start, rising])

    def _vessels(self, samples: Samples) -> Iterator[Layer]:
        x, y, z = samples.inner
        edge, (cx, cy) = samples.edge_mm, self.descending
        half = self.heart.descending_mm / 2
        top = self.centre[2] + 118
        tube = np.maximum(_hypot(x - cx, y - cy) - half, z - top)
        begin = self.to_patient(self.aorta[-1])
        arch = np.stack([begin, [(begin[0] + cx) / 2, (begin[1] + cy) / 2, top + 8], [cx, cy, top]])
        bow = _tube(samples.inner, arch, [self.heart.ascending_mm / 2, half + 1, half])
        gullet = _ellipse(x - cx + half + 12, y - cy + 4, 8.0, 5.0)
        yield Layer(Tissue.RIGHT_WALL, _cover(gullet, edge))
        tube = np.minimum(tube, bow)
        yield Layer(Tissue.RIGHT_WALL, _cover(tube - 1.5, edge))
        yield Layer(Tissue.DESCENDING, _cover(tube, edge))
        cava = self.to_patient(np.array([-self.radius - 34, 0.0, -25.0]))
        caval = np.minimum(
            np.maximum(_hypot(x - cava[0], y - cava[1]) - 9, cava[2] - z),
            np.maximum(_hypot(x - cava[0] - 4, y - cava[1] - 10) - 11, z - cava[2]),
        )
        yield Layer(Tissue.RIGHT_WALL, _cover(caval - 1.2, edge))
        yield Layer(Tissue.VEIN, _cover(caval, edge))
        branch = self.to_patient(np.array([4.0, 38.0, -62.0]))
        arteries = branch + np.array([[-75, 25, 4], [0, 0, 0], [60, 35, 12]])
        pulmonary = _tube(samples.inner, arteries, [8.0, 11.0, 8.0])
        yield Layer(Tissue.RIGHT_WALL, _cover(pulmonary - 1.2, edge))
        yield Layer(Tissue.PULMONARY, _cover(pulmonary, edge))


class HeartSamples:
    """The samples near a heart, and what lies there at each phase."""

    def __init__(self, anatomy: Anatomy, samples: Samples) -> None:
        self.anatomy, self.edge = anatomy, samples.edge_mm
        self.place: Field = anatomy.to_heart(samples.inner)  # (3, rows, columns)
        self.x, self.y, self.z = self.place
        self.rho: Field = _hypot(self.x, self.y)
        turn = np.arctan2(self.y, self.x) * np.float32(ANGLES / (2 * np.pi))
        self.angle = np.floor(turn).astype(np.int32) % ANGLES
        across = abs(float(samples.normal @ anatomy.axes[:, 2]))
        self.axial = samples.thickness_mm * across  # extent of a sample along the long axis
        self.low, self.high = float(self.z.min()), float(self.z.max())

    @cached_property
    def grain(self) -> Field:
        """Return the texture of trabeculae and of patchy scars."""
        return self.anatomy.texture(self.place, 6.0, 1)

    @cached_property
    def fatty(self) -> Field:
        """Return how thick the fat is: most over the right heart and the grooves."""
        share: Field = np.clip(0.55 - self.x / np.float32(70), 0.25, 1.0)
        return share

    def layers(self, phase: float) -> Iterator[Layer]:
        """Paint the heart and its great vessels at a phase, from the pericardium inwards."""
        now = self.anatomy.at(phase)
        index = self._levels(now) * ANGLES + self.angle
        endo, wall = now.endocardium.take(index), now.wall.take(index)
        height = self.z - np.float32(now.equator)
        half = 0.7 * now.length
        inner = _spheroid(self.rho, height, endo, half, self.axial)
        outer = _spheroid(self.rho, height, endo + wall, half + now.apex_wall, self.axial)
        free = (self.rho - now.right.take(index)) * now.right_slope.take(index)
        free = np.maximum(free, self.z - np.float32(now.base + RIGHT_END * now.length))
        base = _cover(now.base - self.z, max(self.edge, self.axial))
        yield from self._around(now, outer.distance, free)
        thin = _cover(np.maximum(free - RIGHT_WALL_MM, now.base - 1 - self.z), self.edge)
        yield Layer(Tissue.RIGHT_WALL, thin)
        yield Layer(Tissue.RV, _cover(free + 0.9 * self.grain, self.edge) * base)
        rounded = -_blend(-outer.distance, self.z - np.float32(now.base), 9.0)
        muscle = Surface(rounded, outer.reach).cover(self.edge) * base
        yield Layer(Tissue.MYOCARDIUM, muscle)
        if self.anatomy.heart.scars:
            depth = inner.distance / np.maximum(inner.distance - outer.distance, 1)
            yield Layer(Tissue.SCAR, self._scarred(index, depth) * muscle)
        blood = inner.cover(self.edge) * base
        yield Layer(Tissue.LV, blood)
        yield Layer(Tissue.PAPILLARY, self._papillary(now) * blood)
        if self.low < now.base + 45:
            yield from self._outlets(now, blood)

    def _levels(self, now: Ventricles) -> NDArray[np.int32]:
        scale = np.float32(LEVELS / now.length)
        levels = np.clip((self.z - np.float32(now.base)) * scale, 0, LEVELS - 1)
        return np.asarray(levels, np.int32)

    def _around(self, now: Ventricles, outer: Field, free: Field) -> Iterator[Layer]:
        """Fat of the pericardium and of the grooves; then the atria."""
        fat = self.anatomy.heart.fat_mm * self.fatty
        cut = np.maximum(free - RIGHT_WALL_MM, now.base - 14 - self.z)
        outline = np.minimum(outer, cut)
        if self.low > now.base + 12 + self.anatomy.heart.fat_mm:
            yield Layer(Tissue.FAT, _cover(outline - fat, self.edge))
            return
        left, right = self._atria(now)
        outline = _blend(outline, np.minimum(left, right), 12.0)
        yield Layer(Tissue.FAT, _cover(outline - fat, self.edge))
        soft = self.edge + self.axial * 0.3
        for distance, tissue in ((right, Tissue.RIGHT_ATRIUM), (left, Tissue.LEFT_ATRIUM)):
            yield Layer(Tissue.RIGHT_WALL, _cover(distance - THIN_MM, soft))
            yield Layer(tissue, _cover(distance, soft))

    def _atria(self, now: Ventricles) -> tuple[Field, Field]:
        """Distances to the left and the right atrium, longer while the ventricles contract."""
        size, radius = self.anatomy.atrium_mm, self.anatomy.radius
        far, near = -2.0 * size, now.base + 0.45 * size
        middle, half = (far + near) / 2, (near - far) / 2
        left = _ellipsoid(self.x - 4, self.y + 5, self.z - middle, (size * 1.05, size * 0.95, half))
        aside = radius + float(self.anatomy.heart.wall_mm[1]) + 16
        right = _ellipsoid(
            self.x + aside, self.y + 1, self.z - middle - 6, (size, size * 1.1, half)
        )
        return left, right

    def _papillary(self, now: Ventricles) -> Field:
        """Two muscles that run from the wall near the apex towards the mitral plane."""
        height = (self.z - now.base) / np.float32(now.length)
        reach: Field = np.clip(np.minimum(height - 0.36, 0.82 - height) * 14, 0, 1)
        if not reach.any():
            return reach
        thick = 3.2 + 0.07 * self.anatomy.radius
        away = 0.40 + 0.50 * height
        distance = np.full_like(height, np.inf)
        for degrees in PAPILLARY_DEG:
            turn = np.radians(degrees)
            column = now.endocardium[LEVELS // 2, int(degrees / 360 * ANGLES)]
            across = np.float32(np.cos(turn) * column), np.float32(np.sin(turn) * column)
            gap = _hypot(self.x - away * across[0], self.y - away * across[1])
            np.minimum(distance, gap, out=distance)
        return _cover(distance - np.float32(thick), self.edge + 1) * reach

    def _scarred(self, index: NDArray[np.int32], depth: Field) -> Field:
        """Share of enhancement at each place of the wall; depth 0 at the cavity, 1 outside."""
        share = np.zeros_like(depth)
        for scar in self.anatomy.heart.scars:
            where = _scar_table(scar.segments).take(index)
            np.maximum(share, where * self._within(scar, depth), out=share)
        return share

    def _within(self, scar: Scar, depth: Field) -> Field:
        """Share of enhancement across the wall where a scar's segments are."""
        if scar.enhancement is Enhancement.SUBENDOCARDIAL:
            share = (scar.depth + 0.04 * self.grain - depth) * 6 + 0.5
        elif scar.enhancement is Enhancement.MIDWALL:
            share = (0.12 + 0.42 * scar.depth + 0.08 * self.grain - abs(depth - 0.52)) * 7
        else:
            patchy = 0.35 + 0.45 * scar.depth + 0.22 * self.grain + 0.3 * (0.5 - depth)
            share = np.maximum(patchy, np.float32(0.15))
        return _clipped(share)

    def _outlets(self, now: Ventricles, blood: Field) -> Iterator[Layer]:
        """Closed mitral valve, outflow tract of the right ventricle, root and ascending aorta."""
        if now.closed and self.axial < 4:  # noqa: PLR2004 - a leaflet vanishes in a slice across it
            leaf = abs(self.z - now.base - 2) - 1.2
            inside = _cover(self.rho - 0.95 * self.anatomy.radius, self.edge)
            yield Layer(
                Tissue.RIGHT_WALL, _cover(leaf, self.edge) * inside * np.float32(now.closed)
            )
        radius, wall = self.anatomy.radius, float(self.anatomy.heart.wall_mm[1])
        conus = np.array(
            [
                [-0.75 * radius - wall, 0.72 * radius + 0.4 * wall, now.base + 15],
                [-0.40 * radius - wall, 1.10 * radius + wall, now.base - 9],
                [4.0, 38.0, -62.0],
            ]
        )
        above = self.z - np.float32(now.base + 4)
        outlet = np.maximum(_tube(self.place, conus, [15.0, 14.0, 11.5]), above)
        yield Layer(Tissue.RIGHT_WALL, _cover(outlet - 1.5, self.edge))
        yield Layer(Tissue.PULMONARY, _cover(outlet, self.edge))
        centres = self.anatomy.aorta + np.array([[1.0], [0.8], [0.6], [0.0]]) * [0, 0, now.base]
        root, wide = self.anatomy.heart.root_mm / 2, self.anatomy.heart.ascending_mm / 2
        radii = [min(root * 0.75, 0.5 * radius), root, wide, wide]
        vessel = np.maximum(_tube(self.place, centres, radii), above)
        yield Layer(Tissue.RIGHT_WALL, _cover(vessel - 1.6, self.edge) * (1 - blood))
        yield Layer(Tissue.ASCENDING, _cover(vessel, self.edge))


class Surface(NamedTuple):
    """Signed distance to a surface, and how far a thick sample reaches along it."""

    distance: Field
    reach: Field

    def cover(self, edge_mm: float) -> Field:
        """Return the share of each sample that lies inside."""
        return _clipped(np.float32(0.5) - self.distance / (edge_mm + self.reach))


def _spheroid(rho: Field, z: Field, radius: Field, half: float, axial: float) -> Surface:
    """Return the distance to a spheroid of varying radius (first order, by its gradient)."""
    across, along = rho / radius, z * np.float32(1 / half)
    level = np.sqrt(across * across + along * along)
    across /= radius
    along *= np.float32(1 / half)
    steep = np.sqrt(across * across + along * along) + np.float32(1e-6)
    return Surface(level * (level - 1) / steep, np.abs(along) / steep * np.float32(axial))


def _ellipsoid(x: Field, y: Field, z: Field, axes: tuple[float, float, float]) -> Field:
    """Return the distance to an ellipsoid (first order, by its gradient)."""
    a, b, c = (np.float32(1 / axis) for axis in axes)
    x, y, z = x * a, y * b, z * c
    level = np.sqrt(x * x + y * y + z * z)
    x, y, z = x * a, y * b, z * c
    distance: Field = level * (level - 1) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-6))
    return distance


def _ellipse(x: Field, y: Field, a: float, b: float) -> Field:
    """Return a rough distance to an ellipse, exact along its shorter axis."""
    distance: Field = (_hypot(x / np.float32(a), y / np.float32(b)) - 1) * np.float32(min(a, b))
    return distance


def _hypot(x: Field, y: Field) -> Field:
    """Return the length of (x, y); faster than numpy's, which guards against overflow."""
    length: Field = np.sqrt(x * x + y * y)
    return length


def _tube(points: Field, centres: Vector, radii: list[float]) -> Field:
    """Return the distance to a tube along a polyline whose radius changes, points (3, ...)."""
    best: Field = np.full(points.shape[1:], np.inf, np.float32)
    for start, end, near, far in zip(centres[:-1], centres[1:], radii[:-1], radii[1:], strict=True):
        away = [points[axis] - np.float32(start[axis]) for axis in range(3)]
        line = (end - start).astype(np.float32)
        share = sum(a * b for a, b in zip(away, line / (line @ line), strict=True))
        share = np.clip(share, 0, 1)
        gaps = [a - share * b for a, b in zip(away, line, strict=True)]
        gap = np.sqrt(gaps[0] ** 2 + gaps[1] ** 2 + gaps[2] ** 2)
        gap -= np.float32(near) + share * np.float32(far - near)
        np.minimum(best, gap, out=best)
    return best


def _blend(one: Field, other: Field, width: float) -> Field:
    """Return the smooth minimum of two distances: grooves between shapes fill up."""
    share = np.clip(width - abs(one - other), 0, None) / np.float32(width)
    blended: Field = np.minimum(one, other) - share * share * np.float32(width / 4)
    return blended


def _cover(distance: Field, width: float) -> Field:
    return _clipped(0.5 - distance * np.float32(1 / width))


def _clipped(values: Field) -> Field:
    np.maximum(values, 0, out=values)
    np.minimum(values, 1, out=values)
    return values


def _inward_share(rest: Segments, inwards: Segments, weight: Segments, volume: float) -> float:
    """Solve sum(weight * (rest - c * inwards)^2) = volume for the smaller c."""
    square = float((weight * inwards**2).sum())
    linear = float((weight * rest * inwards).sum())
    missing = float((weight * rest**2 * np.ones_like(inwards)).sum()) - volume
    return (linear - math.sqrt(max(linear**2 - square * missing, 0.0))) / square


@cache
def _angles() -> Segments:
    return (np.arange(ANGLES) + 0.5) * 2 * np.pi / ANGLES


def _rings(values: Segments, blur_deg: float) -> Segments:
    """Spread segments around three rings, smoothly, (3, ANGLES)."""
    degrees = np.degrees(_angles())
    six = (((degrees - 60) // 60) % 6).astype(int)
    four = (((degrees - 45) // 90) % 4).astype(int)
    rings = np.stack([values[six], values[6 + six], values[12 + four]])
    turns = np.fft.rfftfreq(ANGLES, 1 / ANGLES)
    smooth = np.exp(-0.5 * (turns * np.radians(blur_deg)) ** 2)
    spread: Segments = np.fft.irfft(np.fft.rfft(rings) * smooth, ANGLES)
    return spread


def _table(values: Segments, blur_deg: float) -> Segments:
    """Interpolate segments around and along, (LEVELS, ANGLES)."""
    rings = _rings(values, blur_deg)
    level = (np.arange(LEVELS) + 0.5) / LEVELS
    low, mid, high = RING_CENTRES
    upper = np.clip((level - low) / (mid - low), 0, 1)[:, None]
    lower = np.clip((level - mid) / (high - mid), 0, 1)[:, None]
    table: Segments = rings[0] * (1 - upper) + rings[1] * (upper - lower) + rings[2] * lower
    return table


@lru_cache(maxsize=64)
def _scar_table(segments: tuple[int, ...]) -> Field:
    """Return where some segments lie, with borders a few millimetres soft, (LEVELS, ANGLES)."""
    chosen = np.zeros(16)
    chosen[list(segments)] = 1.0
    rings = _rings(chosen, 7.0)
    level = ((np.arange(LEVELS) + 0.5) / LEVELS)[:, None]
    first, second = (np.clip((level - edge) / 0.08 + 0.5, 0, 1) for edge in RING_EDGES)
    table = rings[0] * (1 - first) + rings[1] * (first - second) + rings[2] * second
    return np.asarray(np.clip(table, 0, 1), np.float32)


def _rotation(angles: Vector) -> Vector:
    """Return the rotation about a vector by its length in radians (Rodrigues)."""
    x, y, z = angles
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    size = float(np.linalg.norm(angles)) or 1e-9
    turned: Vector = (
        np.eye(3) + np.sin(size) / size * skew + (1 - np.cos(size)) / size**2 * skew @ skew
    )
    return turned
