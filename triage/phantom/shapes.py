"""Signed distances to simple shapes, and the share of a sample that a shape covers; mm."""

from typing import NamedTuple

import numpy as np

from triage.phantom.tissue import Field, Vector


class Surface(NamedTuple):
    """Signed distance to a surface, and the extent of a thick sample across it."""

    distance: Field
    reach: Field

    def cover(self, edge_mm: float) -> Field:
        """Return the share of each sample that is inside."""
        return clip_shares(np.float32(0.5) - self.distance / (edge_mm + self.reach))


def spheroid_surface(rho: Field, z: Field, radius: Field, half: float, axial: float) -> Surface:
    """Return the distance to a spheroid of varying radius (first order, by its gradient)."""
    across, along = rho / radius, z * np.float32(1 / half)
    level = np.sqrt(across * across + along * along)
    across /= radius
    along *= np.float32(1 / half)
    steep = np.sqrt(across * across + along * along) + np.float32(1e-6)
    return Surface(level * (level - 1) / steep, np.abs(along) / steep * np.float32(axial))


def ellipsoid_distance(x: Field, y: Field, z: Field, axes: tuple[float, float, float]) -> Field:
    """Return the distance to an ellipsoid (first order, by its gradient)."""
    a, b, c = (np.float32(1 / axis) for axis in axes)
    x, y, z = x * a, y * b, z * c
    level = np.sqrt(x * x + y * y + z * z)
    x, y, z = x * a, y * b, z * c
    distance: Field = level * (level - 1) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-6))
    return distance


def ellipse_distance(x: Field, y: Field, a: float, b: float) -> Field:
    """Return a rough distance to an ellipse, exact along its shorter axis."""
    distance: Field = (planar_length(x / np.float32(a), y / np.float32(b)) - 1) * np.float32(
        min(a, b)
    )
    return distance


def planar_length(x: Field, y: Field) -> Field:
    """Return the length of (x, y); faster than np.hypot, which guards against overflow."""
    length: Field = np.sqrt(x * x + y * y)
    return length


def tube_distance(points: Field, centres: Vector, radii: list[float]) -> Field:
    """Return the distance of points (3, ...) to a tube with a varying radius along a polyline."""
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


def blend(one: Field, other: Field, width: float) -> Field:
    """Return the smooth minimum of two distances, which fills grooves between shapes."""
    share = np.clip(width - abs(one - other), 0, None) / np.float32(width)
    blended: Field = np.minimum(one, other) - share * share * np.float32(width / 4)
    return blended


def cover(distance: Field, width: float) -> Field:
    """Return the share of each sample inside a surface, with an edge of `width` mm."""
    return clip_shares(0.5 - distance * np.float32(1 / width))


def clip_shares(values: Field) -> Field:
    """Clip values to 0..1 in place and return them."""
    np.maximum(values, 0, out=values)
    np.minimum(values, 1, out=values)
    return values
