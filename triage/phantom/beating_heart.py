"""The beating heart and its great vessels, painted at each phase at the samples near them."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triage.phantom.anatomy import RIGHT_END, RIGHT_WALL_MM, Anatomy, Ventricles
from triage.phantom.heart import Enhancement, Scar
from triage.phantom.segments import ANGLES, LEVELS, scar_table
from triage.phantom.shapes import (
    Surface,
    blend,
    clip_shares,
    cover,
    ellipsoid_distance,
    planar_length,
    spheroid_surface,
    tube_distance,
)
from triage.phantom.tissue import Field, Layer, Samples, Tissue

THIN_MM = 2.0  #: wall of the atria
#: Angles of the two papillary muscles around the long axis.
PAPILLARY_DEG = (38.0, 262.0)


class HeartSamples:
    """The samples near a heart, and the layers at each phase."""

    def __init__(self, anatomy: Anatomy, samples: Samples) -> None:
        self.anatomy, self.edge = anatomy, samples.edge_mm
        self.place: Field = anatomy.to_heart(samples.inner)  # (3, rows, columns)
        self.x, self.y, self.z = self.place
        self.rho: Field = planar_length(self.x, self.y)
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
        """Return the relative thickness of the fat, largest at right heart and grooves."""
        share: Field = np.clip(0.55 - self.x / np.float32(70), 0.25, 1.0)
        return share

    def layers(self, phase: float) -> Iterator[Layer]:
        """Yield the layers of the heart and great vessels, from the pericardium inwards."""
        now = self.anatomy.at(phase)
        index = self._levels(now) * ANGLES + self.angle
        endo, wall = now.endocardium.take(index), now.wall.take(index)
        height = self.z - np.float32(now.equator)
        half = 0.7 * now.length
        inner = spheroid_surface(self.rho, height, endo, half, self.axial)
        outer = spheroid_surface(self.rho, height, endo + wall, half + now.apex_wall, self.axial)
        free = (self.rho - now.right.take(index)) * now.right_slope.take(index)
        free = np.maximum(free, self.z - np.float32(now.base + RIGHT_END * now.length))
        base = cover(now.base - self.z, max(self.edge, self.axial))
        yield from self._around(now, outer.distance, free)
        thin = cover(np.maximum(free - RIGHT_WALL_MM, now.base - 1 - self.z), self.edge)
        yield Layer(Tissue.RIGHT_WALL, thin)
        yield Layer(Tissue.RV, cover(free + 0.9 * self.grain, self.edge) * base)
        rounded = -blend(-outer.distance, self.z - np.float32(now.base), 9.0)
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
        """Yield the fat of the pericardium and of the grooves, then the atria."""
        fat = self.anatomy.heart.fat_mm * self.fatty
        cut = np.maximum(free - RIGHT_WALL_MM, now.base - 14 - self.z)
        outline = np.minimum(outer, cut)
        if self.low > now.base + 12 + self.anatomy.heart.fat_mm:
            yield Layer(Tissue.FAT, cover(outline - fat, self.edge))
            return
        left, right = self._atria(now)
        outline = blend(outline, np.minimum(left, right), 12.0)
        yield Layer(Tissue.FAT, cover(outline - fat, self.edge))
        soft = self.edge + self.axial * 0.3
        for distance, tissue in ((right, Tissue.RIGHT_ATRIUM), (left, Tissue.LEFT_ATRIUM)):
            yield Layer(Tissue.RIGHT_WALL, cover(distance - THIN_MM, soft))
            yield Layer(tissue, cover(distance, soft))

    def _atria(self, now: Ventricles) -> tuple[Field, Field]:
        """Return the distances to left and right atrium, which lengthen in systole."""
        size, radius = self.anatomy.atrium_mm, self.anatomy.radius
        far, near = -2.0 * size, now.base + 0.45 * size
        middle, half = (far + near) / 2, (near - far) / 2
        left = ellipsoid_distance(
            self.x - 4, self.y + 5, self.z - middle, (size * 1.05, size * 0.95, half)
        )
        right_x = radius + float(self.anatomy.heart.wall_mm[1]) + 16
        right = ellipsoid_distance(
            self.x + right_x, self.y + 1, self.z - middle - 6, (size, size * 1.1, half)
        )
        return left, right

    def _papillary(self, now: Ventricles) -> Field:
        """Return the share of two muscles from the wall near the apex towards the mitral plane."""
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
            gap = planar_length(self.x - away * across[0], self.y - away * across[1])
            np.minimum(distance, gap, out=distance)
        return cover(distance - np.float32(thick), self.edge + 1) * reach

    def _scarred(self, index: NDArray[np.int32], depth: Field) -> Field:
        """Return the share of enhancement within the wall; depth is 0 at the cavity, 1 outside."""
        share = np.zeros_like(depth)
        for scar in self.anatomy.heart.scars:
            where = scar_table(scar.segments).take(index)
            np.maximum(share, where * self._within(scar, depth), out=share)
        return share

    def _within(self, scar: Scar, depth: Field) -> Field:
        """Return the share of enhancement across the wall within a scar's segments."""
        if scar.enhancement is Enhancement.SUBENDOCARDIAL:
            share = (scar.depth + 0.04 * self.grain - depth) * 6 + 0.5
        elif scar.enhancement is Enhancement.MIDWALL:
            share = (0.12 + 0.42 * scar.depth + 0.08 * self.grain - abs(depth - 0.52)) * 7
        else:
            patchy = 0.35 + 0.45 * scar.depth + 0.22 * self.grain + 0.3 * (0.5 - depth)
            share = np.maximum(patchy, np.float32(0.15))
        return clip_shares(share)

    def _outlets(self, now: Ventricles, blood: Field) -> Iterator[Layer]:
        """Yield the mitral valve, the right outflow tract, and root and ascending aorta."""
        if now.closed and self.axial < 4:  # noqa: PLR2004 - a leaflet vanishes in a slice across it
            leaf = abs(self.z - now.base - 2) - 1.2
            inside = cover(self.rho - 0.95 * self.anatomy.radius, self.edge)
            yield Layer(Tissue.RIGHT_WALL, cover(leaf, self.edge) * inside * np.float32(now.closed))
        radius, wall = self.anatomy.radius, float(self.anatomy.heart.wall_mm[1])
        conus = np.array(
            [
                [-0.75 * radius - wall, 0.72 * radius + 0.4 * wall, now.base + 15],
                [-0.40 * radius - wall, 1.10 * radius + wall, now.base - 9],
                [4.0, 38.0, -62.0],
            ]
        )
        above = self.z - np.float32(now.base + 4)
        outlet = np.maximum(tube_distance(self.place, conus, [15.0, 14.0, 11.5]), above)
        yield Layer(Tissue.RIGHT_WALL, cover(outlet - 1.5, self.edge))
        yield Layer(Tissue.PULMONARY, cover(outlet, self.edge))
        centres = self.anatomy.aorta + np.array([[1.0], [0.8], [0.6], [0.0]]) * [0, 0, now.base]
        root, wide = self.anatomy.heart.root_mm / 2, self.anatomy.heart.ascending_mm / 2
        radii = [min(root * 0.75, 0.5 * radius), root, wide, wide]
        vessel = np.maximum(tube_distance(self.place, centres, radii), above)
        yield Layer(Tissue.RIGHT_WALL, cover(vessel - 1.6, self.edge) * (1 - blood))
        yield Layer(Tissue.ASCENDING, cover(vessel, self.edge))
