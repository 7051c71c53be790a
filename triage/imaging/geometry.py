"""Image planes in patient coordinates (LPS, mm; PS3.3 C.7.6.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage.dicom.unreadable import UNREADABLE

Vector = NDArray[np.float64]  #: (3,)
#: Weight of a step within a plane, relative to a step away from it, in `meeting_point`.
ALONG = 0.01


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of an image; images with the same position and orientation share one."""

    position: Vector  #: centre of the first pixel
    row: Vector  #: unit vector along a row, to the right
    column: Vector  #: unit vector along a column, downwards

    @cached_property
    def normal(self) -> Vector:
        """Return the unit normal."""
        return np.cross(self.row, self.column)


def read_plane(header: Dataset) -> Plane | None:
    """Return the plane of an image, or None if the header does not describe one."""
    orientation = read_numbers(header, "ImageOrientationPatient")
    return _build_plane(tuple(orientation), tuple(read_numbers(header, "ImagePositionPatient")))


@lru_cache(maxsize=4096)
def _build_plane(orientation: tuple[float, ...], position: tuple[float, ...]) -> Plane | None:
    if len(orientation) != 6 or len(position) != 3:  # noqa: PLR2004 - two vectors and a point
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:  # noqa: PLR2004
        return None
    return Plane(np.array(position), row / lengths[0], column / lengths[1])


def read_spacing(header: Dataset) -> tuple[float, float]:
    """Return the spacing of rows and of columns, mm; 1 if the header states none."""
    stated = read_numbers(header, "PixelSpacing")
    usable = len(stated) == 2 and min(stated) > 0  # noqa: PLR2004 - rows and columns
    return (stated[0], stated[1]) if usable else (1.0, 1.0)


def read_centre(header: Dataset, plane: Plane) -> Vector:
    """Return the centre of the image of a header, mm."""
    shape = int(read_number(header, "Rows") or 1), int(read_number(header, "Columns") or 1)
    return image_centre(plane, shape, read_spacing(header))


def image_centre(plane: Plane, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> Vector:
    """Return the centre of an image; `shape` and `spacing_mm` are (of rows, of columns)."""
    (rows, columns), (row_mm, column_mm) = shape, spacing_mm
    right = plane.row * (columns - 1) / 2 * column_mm
    down = plane.column * (rows - 1) / 2 * row_mm
    centre: Vector = plane.position + right + down
    return centre


def meeting_point(planes: Sequence[tuple[Plane, Vector]]) -> Vector | None:
    """Return the point nearest to all planes, or None for no planes.

    Each plane comes with the centre of its image. Long- and short-axis planes meet in the centre
    of the left ventricle. If the planes share more than one point (two planes share a line), the
    point nearest to the image centres is returned.
    """
    if not planes:
        return None
    mean_centre = np.mean([centre for _, centre in planes], axis=0)
    left, right = ALONG * np.eye(3), ALONG * mean_centre  # least squares: left @ point = right
    for plane, centre in planes:
        across = np.outer(plane.normal, plane.normal)
        left, right = left + across, right + across @ centre
    point: Vector = np.linalg.solve(left, right)
    return point


def angle_deg(a: Vector, b: Vector) -> float:
    """Return the angle between two lines (directions without sign), 0 to 90 degrees."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(a @ b))))))


def read_numbers(header: Dataset, keyword: str) -> list[float]:
    """Return the values of a numeric element; empty if missing, not numeric or not finite."""
    try:
        value = header.get(keyword)
        values = [] if value is None else np.atleast_1d(np.array(value, dtype=float)).tolist()
    except UNREADABLE:
        return []
    return values if np.isfinite(values).all() else []


def read_number(header: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric element, or None as for `read_numbers`."""
    try:
        value = header.get(keyword)
    except UNREADABLE:
        return None
    if value is None:
        return None
    if isinstance(value, int | float):  # the usual case, without an array
        return float(value) if isfinite(value) else None
    values = read_numbers(header, keyword)
    return values[0] if values else None
