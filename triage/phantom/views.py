"""The planes of a cardiac protocol, planned through a heart as a technologist would.

Planes follow the axes of the heart with the small errors of planning. The four-chamber plane is
tilted towards the outflow tract, so that the aortic root is visible at its base, as it often is.
Each slice of a stack is a separate breath-hold, so heart and abdomen are at slightly different
positions. Display: short axis with the lateral wall to the right; four-chamber as seen from the
feet, two- and three-chamber as seen from the left. LPS, mm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from triage.phantom.anatomy import Anatomy
from triage.phantom.stack import PhantomView
from triage.phantom.tissue import Field, Samples, Vector

LEFT, POSTERIOR, FEET = np.eye(3) * np.array([1.0, 1.0, -1.0])
SAGITTAL_LIKE = (PhantomView.TWO_CHAMBER, PhantomView.THREE_CHAMBER)
BREATH_MM = np.array([0.4, 0.7, 1.6])  #: variation between breath-holds
BODY_SHARE = (
    0.4  #: centre of the field of view, as a share of the way from heart to middle of the body
)
FOUR_CHAMBER_SHARE = (
    0.75  #: the same for the four-chamber view, so that the descending aorta is visible
)
INLET_DEG = 150.0  #: angle of the three-chamber plane, through root and inferolateral wall


@dataclass(frozen=True)
class PixelGrid:
    """The pixels of one acquisition."""

    rows: int
    columns: int
    pixel_mm: float
    thickness_mm: float
    soft: float = 1.25  #: width of an edge in pixels


@dataclass(frozen=True)
class ViewPlane:
    """The plane of one slice, and the shift of its breath-hold."""

    view: PhantomView
    row: Vector  #: unit vector to the right
    column: Vector  #: unit vector downwards
    centre: Vector
    breath: tuple[float, float, float]

    @property
    def normal(self) -> Vector:
        """Return the direction through the plane."""
        normal: Vector = np.cross(self.row, self.column)
        return normal

    def position(self, grid: PixelGrid) -> Vector:
        """Return the centre of the first pixel."""
        right = self.row * (grid.columns - 1) / 2 * grid.pixel_mm
        down = self.column * (grid.rows - 1) / 2 * grid.pixel_mm
        first: Vector = self.centre - right - down
        return first

    def samples(self, grid: PixelGrid) -> Samples:
        """Return the pixels' coordinates, (3, rows, columns)."""
        right = np.arange(grid.columns, dtype=np.float32) * np.float32(grid.pixel_mm)
        down = np.arange(grid.rows, dtype=np.float32) * np.float32(grid.pixel_mm)
        first = self.position(grid).astype(np.float32)[:, None, None]
        patient: Field = (
            first
            + self.row.astype(np.float32)[:, None, None] * right[None, None, :]
            + self.column.astype(np.float32)[:, None, None] * down[None, :, None]
        )
        edge = grid.soft * grid.pixel_mm
        return Samples(patient, self.normal, edge, grid.thickness_mm, self.breath)


def plan_planes(
    anatomy: Anatomy, view: PhantomView, rng: Generator, slices: int | None = None
) -> list[ViewPlane]:
    """Return the planes of a view; those of a stack are in order from base to apex."""
    return _PLANS[view](anatomy, rng, slices)


def spacing_mm(planned: list[ViewPlane]) -> float:
    """Return the distance between neighbouring slices, 0 for a single one."""
    if len(planned) < 2:  # noqa: PLR2004 - neighbours
        return 0.0
    return float(np.linalg.norm(planned[1].centre - planned[0].centre))


def _short_axis(anatomy: Anatomy, rng: Generator, slices: int | None) -> list[ViewPlane]:
    """Return planes from above the mitral plane to beyond the apex, about 8 to 10 mm apart."""
    axis = _tilted(anatomy.axes[:, 2], rng, 2.0)
    above, below = rng.uniform(17, 24), rng.uniform(6, 12)
    reach = anatomy.length + above + below
    count = int(np.clip(np.ceil(reach / rng.uniform(9, 10)) + 1, 9, 14))
    row, column = _on_screen(PhantomView.SAX, -axis, np.radians(rng.normal(0, 4)))
    middle = _between_heart_and_body(anatomy, axis, anatomy.centre)
    shift = anatomy.to_patient(np.zeros(3)) - anatomy.centre
    start = middle + axis * (shift @ axis) - axis * above
    steps = np.arange(count) * reach / (count - 1)
    if slices:  # a few around the middle of the ventricle
        steps = above + anatomy.length * (
            0.5 + 0.5 * (np.arange(slices) - (slices - 1) / 2) / slices
        )
    return [
        ViewPlane(PhantomView.SAX, row, column, start + axis * step, _breath(rng)) for step in steps
    ]


def _long_axis(view: PhantomView, across_deg: float) -> Callable[..., list[ViewPlane]]:
    """Return a function that plans a plane through the long axis."""

    def plan(anatomy: Anatomy, rng: Generator, _slices: int | None) -> list[ViewPlane]:
        turn = np.radians(across_deg + rng.normal(0, 3))
        across = np.cos(turn) * anatomy.axes[:, 0] + np.sin(turn) * anatomy.axes[:, 1]
        normal = _unit(np.cross(anatomy.axes[:, 2], across))
        middle = anatomy.centre
        if view is PhantomView.FOUR_CHAMBER:
            lean = np.radians(rng.uniform(2.0, 5.0))
            normal = _unit(normal + np.tan(lean) * anatomy.axes[:, 2] * _side(normal, anatomy))
            middle = anatomy.to_patient(np.array([0.0, 0.0, anatomy.length]))
        row, column = _on_screen(view, normal, np.radians(rng.normal(0, 4)))
        share = FOUR_CHAMBER_SHARE if view is PhantomView.FOUR_CHAMBER else BODY_SHARE
        centre = _between_heart_and_body(anatomy, normal, middle, share)
        return [ViewPlane(view, row, column, centre, _breath(rng))]

    return plan


def _side(normal: Vector, anatomy: Anatomy) -> float:
    """Return the sign with which a tilted plane passes in front of the axis at the base."""
    return float(np.sign(normal @ anatomy.axes[:, 1]))


def _body_planes(view: PhantomView) -> Callable[..., list[ViewPlane]]:
    """Return a function that plans parallel planes along the axes of the body."""

    def plan(anatomy: Anatomy, rng: Generator, slices: int | None) -> list[ViewPlane]:
        row, column = {
            PhantomView.AXIAL: (LEFT, POSTERIOR),
            PhantomView.CORONAL: (LEFT, FEET),
            PhantomView.SAGITTAL: (POSTERIOR, FEET),
        }[view]
        normal = np.cross(row, column)
        count = slices or 5
        steps = (np.arange(count) - (count - 1) / 2) * 18
        centre = _between_heart_and_body(anatomy, normal, anatomy.centre)
        return [
            ViewPlane(view, row, column, centre + normal * step, _breath(rng)) for step in steps
        ]

    return plan


def _on_screen(view: PhantomView, normal: Vector, turn: float) -> tuple[Vector, Vector]:
    """Return row and column directions of an oblique plane as displayed."""
    towards = FEET if view in SAGITTAL_LIKE else POSTERIOR
    row = _unit(np.cross(towards, normal))  # horizontal in the body
    row = row * np.sign(row @ (POSTERIOR if view in SAGITTAL_LIKE else LEFT))
    column = np.cross(normal, row)
    column = column * np.sign(column @ towards)
    turned = np.cos(turn) * row + np.sin(turn) * column
    return turned, np.cos(turn) * column - np.sin(turn) * row


def _between_heart_and_body(
    anatomy: Anatomy, normal: Vector, middle: Vector, share: float = BODY_SHARE
) -> Vector:
    """Return the centre of the field of view, in the plane through `middle`."""
    middle = anatomy.centre + normal * ((middle - anatomy.centre) @ normal)
    towards = np.array([0.0, 4.0, middle[2]]) - middle
    moved: Vector = middle + share * (towards - normal * (towards @ normal))
    return moved


def _tilted(axis: Vector, rng: Generator, degrees: float) -> Vector:
    return _unit(axis + rng.normal(0, np.radians(degrees), 3))


def _breath(rng: Generator) -> tuple[float, float, float]:
    x, y, z = (rng.normal(0, 1, 3) * BREATH_MM).tolist()
    return x, y, z


def _unit(vector: Vector) -> Vector:
    unit: Vector = vector / np.linalg.norm(vector)
    return unit


_PLANS: Mapping[PhantomView, Callable[[Anatomy, Generator, int | None], list[ViewPlane]]] = (
    MappingProxyType(
        {
            PhantomView.SAX: _short_axis,
            PhantomView.TWO_CHAMBER: _long_axis(PhantomView.TWO_CHAMBER, 84.0),
            PhantomView.THREE_CHAMBER: _long_axis(PhantomView.THREE_CHAMBER, INLET_DEG),
            PhantomView.FOUR_CHAMBER: _long_axis(PhantomView.FOUR_CHAMBER, 178.0),
            PhantomView.AXIAL: _body_planes(PhantomView.AXIAL),
            PhantomView.CORONAL: _body_planes(PhantomView.CORONAL),
            PhantomView.SAGITTAL: _body_planes(PhantomView.SAGITTAL),
        }
    )
)
