"""The shape of a beating heart in its chest.

The shapes are solved for the drawn numbers. The left ventricle is a truncated ellipsoid with a
radius that follows each segment's motion; the right ventricle is a crescent on it. Both volumes are
closed forms of one unknown, so that they are exact at every phase. Walls keep their volume, so they
thicken as they move inwards.

Heart coordinates, mm: x from the septum to the lateral wall, y to the anterior wall, z along the
long axis from the end-diastolic mitral plane (0) to the apex. Patient coordinates: LPS, mm.
Sources: AHA 17 segments (J Am Soc Echocardiogr 2002); orientation as in clinical short-axis stacks.

chest.py paints the organs around the heart, beating_heart.py the heart itself.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from triage.phantom.cavity import draw_relief
from triage.phantom.habitus import draw_habitus
from triage.phantom.heart import Heart, Pathology, Segments
from triage.phantom.segments import ANGLES, LEVELS, angles, segment_table
from triage.phantom.tissue import Field, Vector

LENGTH_TO_RADIUS = 3.6
EQUATOR = 0.3  #: share of the length between mitral plane and widest level
FULLNESS = 0.748  #: volume over pi R^2 L of an ellipsoid cut at that level
SHORTENING = 0.25  #: of the length, for each unit of ejection fraction
RIGHT_END = 0.93  #: share of the left ventricle's length that the right one reaches
RIGHT_HALF_DEG = 92.0  #: half of the angle that the right ventricle covers
RIGHT_CENTRE_DEG = 182.0
RIGHT_WALL_MM = 2.6
BOUNCE_MM = 8.0

#: Axes of a typical heart in patient coordinates: lateral, anterior, towards the apex (columns).
USUAL_AXES = np.array([[0.835, 0.16, 0.53], [0.38, -0.74, -0.56], [0.40, 0.66, -0.64]])
CENTRE = np.array([38.0, -34.0, 0.0])  #: of the left ventricle in a typical chest


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
    closed: float  #: closure of the mitral valve, 0 to 1

    @property
    def equator(self) -> float:
        """Return z of the widest level."""
        return self.base + EQUATOR * self.length


class Anatomy:
    """A heart in its chest; the same heart always gets the same chest."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        rng = np.random.default_rng([heart.seed, 2])
        size = float(np.sqrt(heart.body_surface_m2 / 1.9))
        self.half_mm = size * rng.uniform(158, 178), size * rng.uniform(108, 122)
        self.skin = float(rng.uniform(0.06, 0.15))  # share of the half width
        self.muscle = float(rng.uniform(0.09, 0.12))
        self.diaphragm = float(rng.uniform(-64, -40))
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
        self.waves = rng.normal(0, 1, (3, 16, 3)), rng.uniform(0, 2 * np.pi, (3, 16))
        self.systole = 0.33 + 0.002 * (heart.heart_rate_bpm - 60)
        self.thickness = segment_table(heart.wall_mm, 10.0)
        self.motion = segment_table(heart.motion, 12.0)
        self.relief = draw_relief(np.random.default_rng([heart.seed, 8]))
        self.chest = draw_habitus(np.random.default_rng([heart.seed, 9]))
        self._phases = lru_cache(maxsize=64)(self._ventricles)

    def at(self, phase: float) -> Ventricles:
        """Return the ventricles at a phase, 0 to 1 of the cycle."""
        return self._phases(round(phase % 1.0, 6))

    def to_heart(self, patient: Field) -> Field:
        """Convert patient coordinates (3, ...) to heart coordinates (3, ...)."""
        shifted = patient - self.origin.astype(np.float32).reshape(3, *[1] * (patient.ndim - 1))
        turned: Field = np.tensordot(self.axes.T.astype(np.float32), shifted, axes=1)
        return turned

    def to_patient(self, heart: Vector) -> Vector:
        """Convert heart coordinates (3,) to patient coordinates (3,)."""
        moved: Vector = self.axes @ np.asarray(heart, np.float64) + self.origin
        return moved

    def contraction(self, phase: float) -> float:
        """Return the contraction at a phase: 0 at end diastole, 1 at end systole.

        Fast filling, rest and the atrial kick follow the systole.
        """
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
        cell = (
            length / LEVELS * 2 * np.pi / ANGLES
        )  # cell size of an integral over height and angle
        round_ = 1 - ((level - EQUATOR) / (1 - EQUATOR)) ** 2  # squared share of the widest radius
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
        """Return the shift of the septum to the left in early diastole, (ANGLES,), mm."""
        early = np.exp(-(((phase - self.systole - 0.10) / 0.05) ** 2))
        septal = np.cos(np.clip((angles() - np.pi) * 1.2, -np.pi / 2, np.pi / 2))
        shift: Segments = self.heart.septal_bounce * BOUNCE_MM * early * septal
        return shift

    def _right_width(
        self, outside: Segments, level: Segments, cell: float, done: float
    ) -> Segments:
        """Return the width of the right ventricle over the septum that gives its volume, mm."""
        away = (np.degrees(angles()) - RIGHT_CENTRE_DEG) / RIGHT_HALF_DEG
        around = np.clip(1 - away**2, 0, 1)
        shape = around * np.clip(1 - (level / RIGHT_END) ** 2.3, 0, 1) ** 0.7
        square, linear = (shape**2).sum() * cell / 2, (outside * shape).sum() * cell
        volume = self.heart.rv_edv_ml * 1e3 * (1 - self.heart.rv_ef * done)
        width: Segments = shape * (np.sqrt(linear**2 + 4 * square * volume) - linear) / (2 * square)
        return width

    def texture(self, points: Field, grain_mm: float, which: int = 0) -> Field:
        """Return a smooth random field of unit variance on a plane grid (3, rows, columns).

        It is a sum of plane waves. On a grid each wave is an outer product, so the sum is computed
        as a matrix product.
        """
        waves = self.waves[0][which] / grain_mm
        down = waves @ points[:, :, 0] + self.waves[1][which][:, None]  # (waves, rows)
        right = waves @ (points[:, 0, :] - points[:, 0, :1])  # (waves, columns)
        total = np.cos(down).T @ np.cos(right) - np.sin(down).T @ np.sin(right)
        field: Field = (total * np.sqrt(2 / len(waves))).astype(np.float32)
        return field

    def depth(self, patient: Field) -> Field:
        """Return the depth in the chest: 1 at the skin, 0 in the middle.

        The chest slopes back towards the neck.
        """
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

    @cached_property
    def bounds(self) -> tuple[Vector, Vector]:
        """Two corners of a box around the beating parts, heart coordinates."""
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
        """Return the distance of the vertebrae behind the middle, mm."""
        return self.half_mm[1] * 0.60

    @cached_property
    def descending(self) -> Vector:
        """Centre of the descending aorta next to the spine, patient x and y, mm."""
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


def _inward_share(rest: Segments, inwards: Segments, weight: Segments, volume: float) -> float:
    """Solve sum(weight * (rest - c * inwards)^2) = volume for the smaller c."""
    square = float((weight * inwards**2).sum())
    linear = float((weight * rest * inwards).sum())
    missing = float((weight * rest**2 * np.ones_like(inwards)).sum()) - volume
    return (linear - math.sqrt(max(linear**2 - square * missing, 0.0))) / square


def _rotation(angles: Vector) -> Vector:
    """Return the rotation about a vector by its length in radians (Rodrigues)."""
    x, y, z = angles
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    size = float(np.linalg.norm(angles)) or 1e-9
    turned: Vector = (
        np.eye(3) + np.sin(size) / size * skew + (1 - np.cos(size)) / size**2 * skew @ skew
    )
    return turned
