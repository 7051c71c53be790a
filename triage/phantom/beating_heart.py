"""The beating heart and its great vessels, painted at each phase at the samples near them."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triage.phantom.anatomy import RIGHT_END, RIGHT_WALL_MM, Anatomy, Ventricles
from triage.phantom.cavity import PAPILLARY_REACH
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
        right = cover(free + 0.9 * self.grain, self.edge) * base
        yield Layer(Tissue.RV, right)
        yield Layer(Tissue.STREAM, self._stream(phase) * right)
        rounded = -blend(-outer.distance, self.z - np.float32(now.base), 9.0)
        muscle = Surface(rounded, outer.reach).cover(self.edge) * base
        yield Layer(Tissue.MYOCARDIUM, muscle)
        if self.anatomy.heart.scars:
            depth = inner.distance / np.maximum(inner.distance - outer.distance, 1)
            yield Layer(Tissue.SCAR, self._scarred(index, depth) * muscle)
        blood = inner.cover(self.edge) * base
        yield Layer(Tissue.LV, blood)
        yield Layer(Tissue.STREAM, self._stream(phase) * blood)
        inside = self._papillary(now)
        np.maximum(inside, self._trabeculae(now, index, inner), out=inside)
        yield Layer(Tissue.PAPILLARY, inside * blood)
        if self.low < now.base + 45:
            yield from self._outlets(now, blood)

    def _levels(self, now: Ventricles) -> NDArray[np.int32]:
        scale = np.float32(LEVELS / now.length)
        levels = np.clip((self.z - np.float32(now.base)) * scale, 0, LEVELS - 1)
        return np.asarray(levels, np.int32)

    def _around(self, now: Ventricles, outer: Field, free: Field) -> Iterator[Layer]:
        """Yield the fat of the pericardium and of the grooves, then the atria."""
        fluid = np.float32(self.anatomy.chest.effusion_mm) * self.fatty
        fat = self.anatomy.heart.fat_mm * self.fatty + fluid
        cut = np.maximum(free - RIGHT_WALL_MM, now.base - 14 - self.z)
        outline = np.minimum(outer, cut)
        if self.low > now.base + 12 + self.anatomy.heart.fat_mm:
            yield Layer(Tissue.FAT, cover(outline - fat, self.edge))
            yield Layer(Tissue.FLUID, self._effusion(outline, fluid))
            return
        left, right = self._atria(now)
        outline = blend(outline, np.minimum(left, right), 12.0)
        yield Layer(Tissue.FAT, cover(outline - fat, self.edge))
        yield Layer(Tissue.FLUID, self._effusion(outline, fluid))
        soft = self.edge + self.axial * 0.3
        for distance, tissue in ((right, Tissue.RIGHT_ATRIUM), (left, Tissue.LEFT_ATRIUM)):
            yield Layer(Tissue.RIGHT_WALL, cover(distance - THIN_MM, soft))
            yield Layer(tissue, cover(distance, soft))

    def _effusion(self, outline: Field, fluid: Field) -> Field:
        if not self.anatomy.chest.effusion_mm:
            return np.zeros_like(outline)
        return cover(outline - fluid, self.edge)

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
        """Return the share of the muscles from the wall near the apex towards the mitral plane."""
        height = (self.z - now.base) / np.float32(now.length)
        low, high = PAPILLARY_REACH
        reach: Field = np.clip(np.minimum(height - low, high - height) * 14, 0, 1)
        if not reach.any():
            return reach
        # Muscles shorten with the ventricle and keep their volume.
        thick = (3.2 + 0.07 * self.anatomy.radius) * np.sqrt(self.anatomy.length / now.length)
        nearest = np.full_like(height, np.inf)
        for head in self.anatomy.relief.heads:
            turn = np.radians(head.degrees)
            column = now.endocardium[LEVELS // 2, int(head.degrees % 360 / 360 * ANGLES)]
            away = np.float32(column) * (np.float32(head.away) + np.float32(0.5) * height)
            gap = planar_length(
                self.x - away * np.float32(np.cos(turn)), self.y - away * np.float32(np.sin(turn))
            )
            np.minimum(nearest, gap - np.float32(thick * head.size), out=nearest)
        return cover(nearest, self.edge + 1) * reach

    def _trabeculae(self, now: Ventricles, index: NDArray[np.int32], inner: Surface) -> Field:
        """Return the share of trabeculae, whose volume is the same in a smaller cavity."""
        rest = np.float32(self.anatomy.radius * self.anatomy.length)
        fuller = rest / (now.endocardium.take(index) * np.float32(now.length))
        depth = self.anatomy.relief.ridges.take(index) * fuller
        soft = np.float32(self.edge) + inner.reach
        return clip_shares((depth + inner.distance) / soft + np.float32(0.5))

    def _stream(self, phase: float) -> Field:
        """Return the darkness of blood that moves: most in systole and in early filling."""
        dark = self.anatomy.relief.stream * (0.4 + 0.6 * abs(np.sin(2 * np.pi * phase)))
        drift = np.array([0, 0, 30 * phase], np.float32)[:, None, None]
        swirl = self.anatomy.texture(self.place + drift, 14.0, 2)
        return clip_shares(np.minimum(np.float32(dark) * swirl, np.float32(0.5)))

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
