"""The cardiac view of each stack, by geometry; names decide only what geometry leaves open.

Series names are often wrong, planes are not. The short axis is the normal of the largest stack of
cine slices. A long-axis plane contains that direction; its rotation about the axis distinguishes
two-, three- and four-chamber views, and all long-axis planes of one kind are assigned together. The
planes of the left ventricle meet in one point; a plane that misses the point belongs to the right
heart. Every result states its angles. Millimetres and degrees, patient coordinates (LPS).

Typical rotations were measured on public and synthetic studies: where it cuts the short axis, a
four-chamber plane runs from the patient's right to left; a two-chamber plane is rotated by about 70
degrees from there, a three-chamber plane by about 135.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from types import MappingProxyType

import numpy as np

from triage.imaging.geometry import Vector, angle_deg
from triage.imaging.recognition import NOT_LEFT, RecognisedStack
from triage.imaging.rules import SequenceType, View
from triage.imaging.stacks import Slice, Stack

PARALLEL_DEG = 15.0
LONG_AXIS_DEG = 30.0  #: the normal of a long-axis plane is this close to a right angle to the axis
BODY_DEG = 15.0
STACK_SLICES = 3
#: Rotation of each view about the long axis, from the patient's left towards front and head.
ROTATIONS_DEG: Mapping[View, float] = MappingProxyType(
    {View.FOUR_CHAMBER: 0.0, View.TWO_CHAMBER: 70.0, View.THREE_CHAMBER: 135.0}
)
SAME_PLANE_DEG = 8.0  #: repetitions of a plane differ by no more than this
NAME_WEIGHT_DEG = 30.0  #: weight of a matching name against the angle
NO_VIEW_DEG = 45.0  #: a plane rotated further than this from every view is none of them
ASSIGNED_TOGETHER = 4  #: more planes than this are a radial set, assigned one by one
#: An upright plane that misses the centre of the left ventricle by more is the right heart's; the
#: second value applies if the centre is less certain.
RIGHT_HEART_MM = 15.0
RIGHT_HEART_UNSURE_MM = 20.0
MEETING_MM = 12.0
CERTAIN_PLANES = 3  #: planes that must meet for the centre to be certain
INDEPENDENT = 0.3  #: least determinant of three unit normals whose planes have a common point
#: The apex is to the left, in front of and below the base.
BASE_TO_APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
BODY_AXES = MappingProxyType({View.SAGITTAL: 0, View.CORONAL: 1, View.AXIAL: 2})
LEFT = {View.SAX, *ROTATIONS_DEG}


@dataclass(frozen=True)
class StackView:
    """A stack with its view, and the evidence for both."""

    recognised: RecognisedStack
    view: View | None
    why: str  #: the evidence for the view, or the reason why there is none
    rotation_deg: float | None = None  #: of a long-axis plane

    @property
    def stack(self) -> Stack:
        """The stack."""
        return self.recognised.stack


@dataclass(frozen=True)
class LongAxis:
    """The long axis of the left ventricle, from base to apex."""

    direction: Vector
    why: str  #: the evidence for it

    def rotation_deg(self, normal: Vector) -> float:
        """Return the rotation of a plane about the axis, 0 to 180."""
        left = np.array([1.0, 0.0, 0.0])
        across = left - (left @ self.direction) * self.direction
        across /= np.linalg.norm(across)
        up = np.cross(self.direction, across)
        cut = np.cross(normal, self.direction)
        return float(np.degrees(np.arctan2(cut @ up, cut @ across)) % 180)


@dataclass(frozen=True)
class VentriclePosition:
    """The position of the left ventricle, as far as the planes show it."""

    axis: LongAxis
    #: where the long-axis planes meet, halfway along the short-axis stack; None if unknown
    middle: Vector | None
    tolerance_mm: float  #: an upright plane that misses `middle` by more is the right heart's


def find_views(
    recognised: Sequence[RecognisedStack],
) -> tuple[list[StackView], VentriclePosition | None]:
    """Return the view of every stack, in the given order, and the position of the heart.

    The position is None if there is no short-axis stack.
    """
    axis = find_long_axis([stack for stack in recognised if stack.stack.replaced is None])
    if axis is None:
        return [_view_by_name(stack) for stack in recognised], None
    views = [_view_by_angle(stack, axis) for stack in recognised]
    cines = [
        view
        for view in views
        if view.recognised.sequence is SequenceType.CINE and view.stack.replaced is None
    ]
    heart = VentriclePosition(axis, *_find_left_middle(cines))
    views = [_assign_right_heart(view, heart) for view in views]
    kinds = {view.recognised.sequence for view in views}
    assigned = {id(v.stack): v for kind in kinds for v in _assign_long_axis_views(views, kind)}
    return [assigned.get(id(view.stack), view) for view in views], heart


def find_long_axis(recognised: Sequence[RecognisedStack]) -> LongAxis | None:
    """Return the common direction of the short-axis slices, or None if there are none."""
    left = [stack for stack in recognised if stack.named_view not in NOT_LEFT]
    for kind, label in ((SequenceType.CINE, "cine"), (SequenceType.LGE, "LGE")):
        of_kind = [stack for stack in left if stack.sequence is kind]
        families = [_ParallelStacks(stack, of_kind) for stack in of_kind]
        large = [family for family in families if len(family.slices) >= STACK_SLICES]
        if large:
            slices = max(large, key=_short_axis_rank).slices
            return LongAxis(_towards_apex(slices[0]), f"{len(slices)} parallel {label} slices")
    for stack in left:
        beating_or_late = stack.sequence in {SequenceType.CINE, SequenceType.LGE}
        if stack.named_view is View.SAX and beating_or_late:
            return LongAxis(_towards_apex(stack.stack.slices[0]), "a series named short axis")
    return None


class _ParallelStacks:
    """A stack, with the stacks parallel to it if it is too small on its own."""

    def __init__(self, stack: RecognisedStack, others: Sequence[RecognisedStack]) -> None:
        self.stack = stack
        self.normal = stack.stack.slices[0].plane.normal
        is_large = len(stack.stack.slices) >= STACK_SLICES
        self.members = [stack] if is_large else [stack, *filter(self._is_parallel, others)]
        self.slices = short_axis_slices([member.stack for member in self.members])

    def _is_parallel(self, other: RecognisedStack) -> bool:
        normal = other.stack.slices[0].plane.normal
        return other is not self.stack and angle_deg(normal, self.normal) < PARALLEL_DEG


def _short_axis_rank(family: _ParallelStacks) -> tuple[bool, bool, int, int, str]:
    """Prefer stacks named short axis, oblique in the body, with many slices and phases."""
    return (
        any(member.named_view is View.SAX for member in family.members),
        bool(np.abs(family.normal).max() < np.cos(np.radians(BODY_DEG))),
        len(family.slices),
        len(family.stack.stack.fullest.images),
        str(family.stack.stack.first.header.SOPInstanceUID),
    )


def short_axis_slices(stacks: Sequence[Stack]) -> list[Slice]:
    """Return one slice per position of parallel stacks, along the first stack's normal.

    If slices are less than a millimetre apart, one with a heartbeat is returned, then the one with
    more images.
    """
    normal = stacks[0].slices[0].plane.normal
    by_depth: dict[int, Slice] = {}
    for part in (part for stack in stacks for part in stack.slices):
        depth = round(float(part.centre @ normal))
        if depth not in by_depth or _fullness(part) > _fullness(by_depth[depth]):
            by_depth[depth] = part
    return [by_depth[depth] for depth in sorted(by_depth)]


def _fullness(part: Slice) -> tuple[bool, int]:
    return part.has_beat, len(part.images)


def order_from_base(slices: Sequence[Slice]) -> list[Slice]:
    """Return parallel slices in order from base to apex."""
    normal = slices[0].plane.normal
    return list(slices) if normal @ BASE_TO_APEX > 0 else list(slices)[::-1]


def _towards_apex(part: Slice) -> Vector:
    normal = part.plane.normal
    direction: Vector = normal if normal @ BASE_TO_APEX > 0 else -normal
    return direction


def _view_by_name(stack: RecognisedStack) -> StackView:
    named = stack.named_view
    if named is None or named is View.SEVERAL:
        why = "its view cannot be determined, because the study has no short-axis stack"
        return StackView(stack, _body_plane(stack), why)
    return StackView(stack, named, f"{named} by its name, not confirmed by geometry")


def _view_by_angle(stack: RecognisedStack, axis: LongAxis) -> StackView:
    """Return the view of a stack by its angle to the long axis."""
    normal = stack.stack.slices[0].plane.normal
    tilt = angle_deg(normal, axis.direction)
    if stack.named_view in NOT_LEFT:
        return StackView(stack, stack.named_view, f"{stack.named_view} by its name")
    if tilt < PARALLEL_DEG:
        within = max(1, int(np.ceil(tilt)))
        degrees = "degree" if within == 1 else "degrees"
        why = f"SAX: plane normal within {within} {degrees} of the long axis"
        return StackView(stack, View.SAX, why)
    if stack.named_view in BODY_AXES and _body_plane(stack) is stack.named_view:
        why = f"{stack.named_view} by its name and its angles"
        return StackView(stack, stack.named_view, why)
    if tilt > 90 - LONG_AXIS_DEG:
        return StackView(stack, None, "a long-axis plane", axis.rotation_deg(normal))
    why = f"an oblique plane, {tilt:.0f} degrees from the short axis"
    return StackView(stack, _body_plane(stack), why)


def _body_plane(stack: RecognisedStack) -> View | None:
    normal = np.abs(stack.stack.slices[0].plane.normal)
    near = np.cos(np.radians(BODY_DEG))
    return next((view for view, axis in BODY_AXES.items() if normal[axis] > near), None)


# -- left and right heart


def _find_left_middle(cines: Sequence[StackView]) -> tuple[Vector | None, float]:
    """Return the centre of the left ventricle, and the tolerance of its own planes, mm.

    A four-chamber plane cuts both ventricles; at the height of the middle slice, every other
    long-axis plane crosses it in one of them. The point where three planes meet is in the left
    one. If no three meet, the point farthest to the patient's left is used, which is less certain.
    """
    planes = [view for view in cines if view.rotation_deg is not None]
    short = [view.stack for view in cines if view.view is View.SAX]
    if not short:
        return None, 0.0
    slices = short_axis_slices(short)
    level = slices[len(slices) // 2]
    places = [nearest_slice(view.stack, None) for view in planes]
    points = _crossings(planes, level)
    meeting = [sum(_distance_mm(part, point) < MEETING_MM for part in places) for point in points]
    leftmost = max(
        zip(meeting, points, strict=True),
        key=lambda candidate: (candidate[0] >= CERTAIN_PLANES, float(candidate[1][0])),
        default=None,
    )
    if leftmost is None:
        return None, 0.0
    count, point = leftmost
    return point, RIGHT_HEART_MM if count >= CERTAIN_PLANES else RIGHT_HEART_UNSURE_MM


def _crossings(planes: Sequence[StackView], level: Slice) -> list[Vector]:
    """Return where four-chamber planes cross the other long-axis planes in a short-axis slice."""
    across = [view for view in planes if _nearest_view(view.rotation_deg) is View.FOUR_CHAMBER]
    crossings = (
        _crossing([nearest_slice(one.stack, None), nearest_slice(other.stack, None), level])
        for one in across
        for other in planes
    )
    return [point for point in crossings if point is not None]


def _crossing(slices: Sequence[Slice]) -> Vector | None:
    """Return the common point of three planes, or None if they are nearly parallel."""
    normals = np.array([part.plane.normal for part in slices])
    if abs(np.linalg.det(normals)) < INDEPENDENT:
        return None
    places = np.array([part.plane.position for part in slices])
    point: Vector = np.linalg.solve(normals, np.sum(normals * places, axis=1))
    return point


def _nearest_view(rotation_deg: float | None) -> View | None:
    """Return the view with the nearest typical rotation; None for no rotation."""
    if rotation_deg is None:
        return None
    return min(ROTATIONS_DEG, key=lambda view: _deviation_deg(rotation_deg, view))


def _distance_mm(part: Slice, point: Vector) -> float:
    return abs(float((point - part.plane.position) @ part.plane.normal))


def nearest_slice(stack: Stack, point: Vector | None) -> Slice:
    """Return the slice of a stack nearest to a point, or the middle slice if point is None."""
    if point is None:
        return stack.slices[len(stack.slices) // 2]
    return min(stack.slices, key=lambda part: _distance_mm(part, point))


def _assign_right_heart(view: StackView, heart: VentriclePosition) -> StackView:
    """Assign an upright plane to the right heart if it passes the left ventricle on that side."""
    if view.rotation_deg is None or heart.middle is None:
        return view
    part = nearest_slice(view.stack, heart.middle)
    missed_mm = _distance_mm(part, heart.middle)
    if missed_mm < heart.tolerance_mm or _nearest_view(view.rotation_deg) is not View.TWO_CHAMBER:
        return view
    normal = part.plane.normal
    offset = ((part.plane.position - heart.middle) @ normal) * normal  # from middle to plane
    side = "left" if offset[0] > 0 else "right"
    why = f"passes {missed_mm:.0f} mm to the {side} of the centre of the left ventricle"
    if side == "left":
        return replace(view, why=f"a long-axis plane that {why}", rotation_deg=None)
    is_sagittal = angle_deg(normal, np.array([1.0, 0.0, 0.0])) < BODY_DEG
    is_tilted = angle_deg(normal, heart.axis.direction) < 90 - BODY_DEG
    right = View.RVOT if is_sagittal and is_tilted else View.RV_TWO_CHAMBER
    return replace(view, view=right, why=f"{right}: {why}", rotation_deg=None)


# -- two, three and four chambers


def _assign_long_axis_views(
    views: Sequence[StackView], kind: SequenceType | None
) -> list[StackView]:
    """Return the long-axis stacks of one sequence, with views that fit all of them best."""
    planes = sorted(
        (v for v in views if v.recognised.sequence is kind and v.rotation_deg is not None),
        key=lambda v: (v.rotation_deg, str(v.stack.first.header.SOPInstanceUID)),
    )
    groups = _group_by_rotation(planes)
    options: list[View | None] = [*ROTATIONS_DEG, *[None] * len(groups)]
    many = len(groups) > ASSIGNED_TOGETHER
    best = min(
        [_best_views(groups)] if many else permutations(options, len(groups)),
        key=lambda assignment: sum(map(_cost, groups, assignment)),
        default=(),
    )
    return [
        _with_view(plane, view or _free_named_view(group, best))
        for group, view in zip(groups, best, strict=True)
        for plane in group
    ]


def _group_by_rotation(planes: Sequence[StackView]) -> list[list[StackView]]:
    """Group planes, sorted by rotation, whose neighbours are repetitions of one plane."""
    groups: list[list[StackView]] = []
    for plane in planes:
        before_deg = groups[-1][-1].rotation_deg or 0 if groups else 0
        if groups and _difference_deg(plane.rotation_deg or 0, before_deg) < SAME_PLANE_DEG:
            groups[-1].append(plane)
        else:
            groups.append([plane])
    return groups


def _free_named_view(group: Sequence[StackView], assigned: Sequence[View | None]) -> View | None:
    """Return the view that a plane at no typical angle is named after, if no other has it."""
    named = {plane.recognised.named_view for plane in group}
    return next((view for view in ROTATIONS_DEG if view in named and view not in assigned), None)


def _best_views(groups: Sequence[Sequence[StackView]]) -> tuple[View | None, ...]:
    options: tuple[View | None, ...] = (*ROTATIONS_DEG, None)
    return tuple(min(options, key=lambda view: _cost(group, view)) for group in groups)


def _cost(group: Sequence[StackView], view: View | None) -> float:
    """Return the squared deviation of planes from a view, less the weight of a matching name."""
    if view is None:
        return NO_VIEW_DEG**2
    deviation = np.mean([_deviation_deg(plane.rotation_deg or 0, view) ** 2 for plane in group])
    is_named = any(plane.recognised.named_view is view for plane in group)
    return float(deviation) - (NAME_WEIGHT_DEG**2 if is_named else 0)


def _with_view(plane: StackView, view: View | None) -> StackView:
    rotation = f"rotated {plane.rotation_deg:.0f} degrees about the long axis"
    if view is None:
        why = f"a long-axis plane, {rotation}, which matches no standard view"
        return replace(plane, why=why)
    named = plane.recognised.named_view
    if named is view:
        fits = _deviation_deg(plane.rotation_deg or 0, view) < NO_VIEW_DEG
        conjunction = "and" if fits else "although"
        return replace(plane, view=view, why=f"{view} by its name, {conjunction} {rotation}")
    name_note = f", although named {named}" if named in LEFT else ""
    return replace(plane, view=view, why=f"{view}: {rotation}{name_note}")


def _deviation_deg(rotation_deg: float, view: View) -> float:
    return _difference_deg(rotation_deg, ROTATIONS_DEG[view])


def _difference_deg(a: float, b: float) -> float:
    """Return the angle between two rotations of a line without sign, 0 to 90."""
    return abs((a - b + 90) % 180 - 90)


def rotation_key(view: View) -> Callable[[StackView], tuple[float, str]]:
    """Return a sort key that orders long-axis planes by their rotation away from a view."""

    def key(plane: StackView) -> tuple[float, str]:
        rotation_deg = plane.rotation_deg
        if rotation_deg is None and plane.view:
            rotation_deg = ROTATIONS_DEG.get(plane.view, 90.0)
        deviation = _deviation_deg(rotation_deg or 0.0, view)
        return deviation, str(plane.stack.first.header.SOPInstanceUID)

    return key
