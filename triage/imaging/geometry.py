"""Where an image lies in the patient (PS3.3 C.7.6.2). Millimetres, patient coordinates (LPS)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage.dicom.header import UNREADABLE

Vector = NDArray[np.float64]  #: (3,)
#: How much a step along a plane counts beside one away from it, in `meeting_point`.
ALONG = 0.01


@dataclass(frozen=True)
class Plane:
    """The plane of an image: its first pixel's position and its two directions, unit vectors."""

    position: Vector
    row: Vector  #: along a row, to the right
    column: Vector  #: along a column, downwards

    @property
    def normal(self) -> Vector:
        """The unit normal."""
        return np.cross(self.row, self.column)


def read_plane(header: Dataset) -> Plane | None:
    """Return the plane of an image, or None where the header describes none."""
    orientation = read_numbers(header, "ImageOrientationPatient")
    position = read_numbers(header, "ImagePositionPatient")
    if len(orientation) != 6 or len(position) != 3:  # noqa: PLR2004 - two vectors and a point
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:  # noqa: PLR2004
        return None
    return Plane(np.array(position), row / lengths[0], column / lengths[1])


def image_centre(plane: Plane, shape: tuple[int, int], spacing_mm: tuple[float, float]) -> Vector:
    """Return the middle of an image of `shape` (rows, columns) and spacing (of rows, columns)."""
    (rows, columns), (row_mm, column_mm) = shape, spacing_mm
    right = plane.row * (columns - 1) / 2 * column_mm
    down = plane.column * (rows - 1) / 2 * row_mm
    middle: Vector = plane.position + right + down
    return middle


def meeting_point(planes: Sequence[tuple[Plane, Vector]]) -> Vector | None:
    """Return the point nearest to all planes, each with the middle of its image; None for none.

    Long- and short-axis planes meet in the middle of the left ventricle. Of the points that some
    planes share, as two do a line, the one nearest to the middles of the images is taken.
    """
    if not planes:
        return None
    middle = np.mean([centre for _, centre in planes], axis=0)
    left, right = ALONG * np.eye(3), ALONG * middle  # least squares: left @ point = right
    for plane, centre in planes:
        across = np.outer(plane.normal, plane.normal)
        left, right = left + across, right + across @ centre
    point: Vector = np.linalg.solve(left, right)
    return point


def angle_deg(a: Vector, b: Vector) -> float:
    """Return the angle between two directions, 0 to 90 degrees: a line has no sign."""
    return float(np.degrees(np.arccos(min(1.0, abs(float(a @ b))))))


def read_numbers(header: Dataset, keyword: str) -> list[float]:
    """Return the finite values of a numeric element; empty where it is missing or no number."""
    try:
        value = header.get(keyword)
        values = [] if value is None else np.atleast_1d(np.array(value, dtype=float)).tolist()
    except UNREADABLE:
        return []
    return values if np.isfinite(values).all() else []


def read_number(header: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric element, or None."""
    values = read_numbers(header, keyword)
    return values[0] if values else None
