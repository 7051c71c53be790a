"""Which planes belong to one stack: parallel planes that stand next to each other.

Only normals and depths decide. The depth of a plane is that of the centre of its image, because a
small tilt moves the corner of an image by millimetres and its centre by none. A smaller field of
view, another matrix, a shift within the plane or a turn of the image changes neither.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from triage.imaging.acquisitions import Frame, group_by
from triage.imaging.geometry import Vector

#: Planes whose normals differ by less are parallel. Scanners round orientations to 0.1 degrees, and
#: a plane that is planned anew on the same anatomy differs by a few. Planes 10 mm apart and tilted
#: by 5 degrees are still 7 mm apart at the edge of a heart, 35 mm from its axis: they do not cross.
#: Other angulations are meant to show other anatomy: long-axis planes differ by 40 degrees.
PARALLEL_DEG = 5.0
#: Parallel planes with a larger gap show different structures. The three levels of a long
#: ventricle, and a stack that lost two slices, have gaps of 30 mm; the two-chamber planes of the
#: left and the right ventricle are 40 mm apart.
NEIGHBOUR_MM = 35.0
SAME_POSITION_MM = 0.5  #: depths of one plane; the partitions of a volume are further apart
DIGITS = 3  #: decimals of a normal: 0.06 degrees

T = TypeVar("T")


class Direction(NamedTuple):
    """Frames with parallel planes."""

    frames: list[Frame]
    normal: Vector  #: their common unit normal


class Position(NamedTuple):
    """The frames of one plane."""

    depth_mm: float  #: along the normal of the direction
    frames: list[Frame]


def find_directions(frames: Sequence[Frame]) -> list[Direction]:
    """Return frames by the direction of their normals, without sign.

    A direction is led by the normal with most frames around it, so neither the order nor the UIDs
    of the images matter.
    """
    counts = {plane: len(own) for plane, own in group_by(frames, lambda f: f.plane).items()}
    axes = np.array([_without_sign(plane.normal) for plane in counts])
    distinct, of_plane = np.unique(np.round(axes, DIGITS), axis=0, return_inverse=True)
    near = np.abs(distinct @ distinct.T) > np.cos(np.radians(PARALLEL_DEG))
    weights = near @ np.bincount(of_plane.ravel(), list(counts.values()))
    leaders = np.full(len(distinct), -1)
    for index in np.argsort(-weights, kind="stable"):
        if leaders[index] < 0:
            leaders[near[index] & (leaders < 0)] = index
    leader_of = dict(zip(counts, leaders[of_plane.ravel()].tolist(), strict=True))
    groups = group_by(frames, lambda frame: leader_of[frame.plane])
    return [Direction(own, _towards(own, distinct[leader])) for leader, own in groups.items()]


def _without_sign(normal: Vector) -> Vector:
    """Return a normal, or its opposite, whose largest component is positive."""
    return normal if normal[np.abs(normal).argmax()] > 0 else -normal


def _towards(frames: Iterable[Frame], axis: Vector) -> Vector:
    """Return the unit vector along an axis, in the direction of most normals."""
    signs = sum(float(np.sign(frame.plane.normal @ axis)) for frame in frames)
    unit: Vector = axis / np.linalg.norm(axis) * (1 if signs >= 0 else -1)
    return unit


def find_positions(direction: Direction) -> list[Position]:
    """Return the planes of a direction with their frames, along the normal."""
    planes = group_by(direction.frames, lambda frame: frame.plane)
    depths = {plane: float(own[0].centre @ direction.normal) for plane, own in planes.items()}
    found: list[Position] = []
    for plane in sorted(planes, key=depths.__getitem__):
        if not found or depths[plane] - found[-1].depth_mm >= SAME_POSITION_MM:
            found.append(Position(depths[plane], []))
        found[-1].frames.extend(planes[plane])
    return found


def split_at_gaps(values: Iterable[T], depth_mm: Callable[[T], float]) -> list[list[T]]:
    """Split values of parallel planes, in order of depth, where two are no neighbours."""
    found: list[list[T]] = []
    for value in sorted(values, key=depth_mm):  # a stable order
        if not found or depth_mm(value) - depth_mm(found[-1][-1]) > NEIGHBOUR_MM:
            found.append([])
        found[-1].append(value)
    return found
