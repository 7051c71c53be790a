"""Which plane of the heart each stack shows, by geometry; names decide only where it cannot.

Rule: names lie, planes do not. The short axis is the direction of the largest stack of cine
slices. A long-axis plane holds that direction; how far it is turned about it tells two, three and
four chambers apart, and planes of one study are told apart together. The planes of the left
ventricle meet in one point, and one that misses it belongs to the right heart. Every answer says
its angles. Millimetres and degrees, patient coordinates (LPS).

Typical angles: measured on public and synthetic studies; a four-chamber plane runs from the
patient's right to left where it cuts the short axis, a two-chamber plane is turned by about 70
degrees from there, a three-chamber plane by about 135.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from types import MappingProxyType

import numpy as np

from triage.imaging.geometry import Vector, angle_deg
from triage.imaging.recognition import NOT_LEFT, RecognisedStack
from triage.imaging.rules import SequenceType as Kind
from triage.imaging.rules import View
from triage.imaging.stacks import Slice, Stack

PARALLEL_DEG = 15.0
LONG_AXIS_DEG = 30.0  #: a long-axis plane's normal is this near to a right angle with the axis
BODY_DEG = 15.0
STACK_SLICES = 3
#: Turn of each plane about the long axis, from the patient's left towards front and head.
TURNS_DEG: Mapping[View, float] = MappingProxyType(
    {View.FOUR_CHAMBER: 0.0, View.TWO_CHAMBER: 70.0, View.THREE_CHAMBER: 135.0}
)
ONE_PLANE_DEG = 8.0  #: repetitions of a plane are turned no further
TRUSTED_DEG = 30.0  #: what a name weighs against the angle
NO_VIEW_DEG = 45.0  #: a plane farther than this from every view is none of them
RIGHT_HEART_MM = 15.0  #: an upright plane that misses the left ventricle's middle by more, and
RIGHT_HEART_UNSURE_MM = 20.0  #: where the middle is less sure, is the right heart's
MEETING_MM = 12.0
BASE_TO_APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)  #: the apex lies left, in front and below
SIDEWAYS = MappingProxyType({View.SAGITTAL: 0, View.CORONAL: 1, View.AXIAL: 2})
LEFT = {View.SAX, *TURNS_DEG}


@dataclass(frozen=True)
class StackView:
    """A stack with its view, and the evidence for both."""

    known: RecognisedStack
    view: View | None
    why: str  #: the evidence for the view, or why it is none
    turn_deg: float | None = None  #: of a long-axis plane

    @property
    def stack(self) -> Stack:
        """The stack."""
        return self.known.stack


@dataclass(frozen=True)
class VentriclePosition:
    """Where the left ventricle lies, as far as the planes tell."""

    axis: "LongAxis"
    middle: Vector | None  #: where its long-axis planes meet, halfway along the short-axis stack
    own_mm: float  #: upright planes that miss the middle by more are not the left ventricle's


@dataclass(frozen=True)
class LongAxis:
    """The left ventricle's long axis, from base to apex, and how it was found."""

    direction: Vector
    why: str

    def turn_deg(self, normal: Vector) -> float:
        """Return how far a plane is turned about the axis, 0 to 180."""
        left = np.array([1.0, 0.0, 0.0])
        across = left - (left @ self.direction) * self.direction
        across /= np.linalg.norm(across)
        up = np.cross(self.direction, across)
        cut = np.cross(normal, self.direction)
        return float(np.degrees(np.arctan2(cut @ up, cut @ across)) % 180)


def find_views(
    known: Sequence[RecognisedStack],
) -> tuple[list[StackView], VentriclePosition | None]:
    """Return the view of every stack, in the order of `known`, and where the heart lies."""
    axis = find_long_axis(known)
    if axis is None:
        return [_by_name(each) for each in known], None
    seen = [_placed(each, axis) for each in known]
    heart = VentriclePosition(
        axis, *_left_middle([one for one in seen if one.known.sequence is Kind.CINE])
    )
    seen = [_beside(each, heart) for each in seen]
    kinds = {each.known.sequence for each in seen}
    named = {id(each.stack): each for kind in kinds for each in _told_apart(seen, kind)}
    return [named.get(id(each.stack), each) for each in seen], heart


def find_long_axis(known: Sequence[RecognisedStack]) -> LongAxis | None:
    """Return the direction that the short-axis slices share, or None where there are none."""
    left = [each for each in known if each.named_view not in NOT_LEFT]
    for kind, called in ((Kind.CINE, "cine"), (Kind.LGE, "LGE")):
        of_kind = [each for each in left if each.sequence is kind]
        families = [_ParallelStacks(each, of_kind) for each in of_kind]
        stacks = [each for each in families if len(each.slices) >= STACK_SLICES]
        if stacks:
            slices = max(stacks, key=_like_short_axis).slices
            return LongAxis(_towards_apex(slices[0]), f"{len(slices)} parallel {called} slices")
    named = [
        each
        for each in left
        if each.named_view is View.SAX and each.sequence in {Kind.CINE, Kind.LGE}
    ]
    if named:
        direction = _towards_apex(named[0].stack.slices[0])
        return LongAxis(direction, "a name that says short axis")
    return None


class _ParallelStacks:
    """A stack, with those parallel to it where it is no stack by itself."""

    def __init__(self, like: RecognisedStack, others: Sequence[RecognisedStack]) -> None:
        self.like = like
        self.normal = like.stack.slices[0].plane.normal
        alone = len(like.stack.slices) >= STACK_SLICES
        self.members = [like] if alone else [like, *filter(self._parallel, others)]
        self.slices = short_axis_slices([each.stack for each in self.members])

    def _parallel(self, other: RecognisedStack) -> bool:
        normal = other.stack.slices[0].plane.normal
        return other is not self.like and angle_deg(normal, self.normal) < PARALLEL_DEG


def _like_short_axis(family: _ParallelStacks) -> tuple[bool, bool, int, int, str]:
    """Rank: named so, oblique in the body, many slices, many phases."""
    return (
        any(each.named_view is View.SAX for each in family.members),
        bool(np.abs(family.normal).max() < np.cos(np.radians(BODY_DEG))),
        len(family.slices),
        len(family.like.stack.fullest.images),
        str(family.like.stack.first.header.SOPInstanceUID),
    )


def short_axis_slices(stacks: Sequence[Stack]) -> list[Slice]:
    """Return one slice per position of parallel stacks, along the first one's normal.

    Of slices less than a millimetre apart the one with more phases is taken.
    """
    normal = stacks[0].slices[0].plane.normal
    at: dict[int, Slice] = {}
    for one in (one for stack in stacks for one in stack.slices):
        depth = round(float(one.plane.position @ normal))
        if depth not in at or len(one.images) > len(at[depth].images):
            at[depth] = one
    return [at[depth] for depth in sorted(at)]


def order_from_base(slices: Sequence[Slice]) -> list[Slice]:
    """Return parallel slices in order from base to apex."""
    normal = slices[0].plane.normal
    return list(slices) if normal @ BASE_TO_APEX > 0 else list(slices)[::-1]


def _towards_apex(one: Slice) -> Vector:
    normal = one.plane.normal
    direction: Vector = normal if normal @ BASE_TO_APEX > 0 else -normal
    return direction


def _by_name(known: RecognisedStack) -> StackView:
    if known.named_view is None or known.named_view is View.SEVERAL:
        return StackView(
            known, _body_plane(known), "no short-axis stack tells how it lies in the heart"
        )
    return StackView(known, known.named_view, f"{known.named_view} by its name, unconfirmed")


def _placed(known: RecognisedStack, axis: LongAxis) -> StackView:
    """Return what a plane is by its angle with the long axis."""
    normal = known.stack.slices[0].plane.normal
    tilt = angle_deg(normal, axis.direction)
    if known.named_view in NOT_LEFT:
        return StackView(known, known.named_view, f"{known.named_view} by its name")
    if tilt < PARALLEL_DEG:
        within = max(1, int(np.ceil(tilt)))
        degrees = "degree" if within == 1 else "degrees"
        return StackView(known, View.SAX, f"SAX: normal within {within} {degrees} of the long axis")
    if known.named_view in SIDEWAYS and _body_plane(known) is known.named_view:
        return StackView(known, known.named_view, f"{known.named_view} by its name and its angles")
    if tilt > 90 - LONG_AXIS_DEG:
        return StackView(known, None, "a long-axis plane", axis.turn_deg(normal))
    return StackView(known, _body_plane(known), f"oblique, {tilt:.0f} degrees from the short axis")


def _body_plane(known: RecognisedStack) -> View | None:
    normal = np.abs(known.stack.slices[0].plane.normal)
    near = np.cos(np.radians(BODY_DEG))
    return next((view for view, along in SIDEWAYS.items() if normal[along] > near), None)


# -- left and right heart


def _left_middle(cines: Sequence[StackView]) -> tuple[Vector | None, float]:
    """Return the middle of the left ventricle, and by how much its own planes may miss it, mm.

    A four-chamber plane cuts both ventricles, and every other long-axis plane cuts it, at the
    height of the middle slice, in the one or the other. Where three planes meet is the left one;
    where no three meet it is the point farthest to the patient's left, which tells less.
    """
    planes = [each for each in cines if each.turn_deg is not None]
    across = [each for each in planes if _likest(each.turn_deg) is View.FOUR_CHAMBER]
    short = [each.stack for each in cines if each.view is View.SAX]
    if not short:
        return None, 0.0
    slices = short_axis_slices(short)
    level = slices[len(slices) // 2]
    places = [nearest_slice(each.stack, None) for each in planes]
    points = [
        point
        for one in across
        for other in planes
        if (
            point := _crossing(
                [nearest_slice(one.stack, None), nearest_slice(other.stack, None), level]
            )
        )
        is not None
    ]
    meeting = [sum(_misses_mm(each, point) < MEETING_MM for each in places) for point in points]
    leftmost = max(
        zip(meeting, points, strict=True),
        key=lambda each: (each[0] >= 3, float(each[1][0])),  # noqa: PLR2004 - as said above
        default=None,
    )
    if leftmost is None:
        return None, 0.0
    count, point = leftmost
    return point, RIGHT_HEART_MM if count >= 3 else RIGHT_HEART_UNSURE_MM  # noqa: PLR2004


def _crossing(slices: Sequence[Slice]) -> Vector | None:
    """Return where three planes cross, or None where they hardly do."""
    normals = np.array([each.plane.normal for each in slices])
    if abs(np.linalg.det(normals)) < 0.3:  # noqa: PLR2004 - of unit normals
        return None
    places = np.array([each.plane.position for each in slices])
    point: Vector = np.linalg.solve(normals, np.sum(normals * places, axis=1))
    return point


def _likest(turn_deg: float | None) -> View | None:
    """Return the view whose typical turn is nearest."""
    if turn_deg is None:
        return None
    return min(TURNS_DEG, key=lambda view: _off(turn_deg, view))


def _misses_mm(one: Slice, point: Vector) -> float:
    return abs(float((point - one.plane.position) @ one.plane.normal))


def nearest_slice(stack: Stack, point: Vector | None) -> Slice:
    """Return the slice of a stack that passes nearest to a point; the middle one for no point."""
    if point is None:
        return stack.slices[len(stack.slices) // 2]
    return min(stack.slices, key=lambda one: _misses_mm(one, point))


def _beside(seen: StackView, heart: VentriclePosition) -> StackView:
    """Give a plane to the right heart where it misses the left ventricle's middle on that side."""
    if seen.turn_deg is None or heart.middle is None:
        return seen
    one = nearest_slice(seen.stack, heart.middle)
    missed = _misses_mm(one, heart.middle)
    if missed < heart.own_mm or _likest(seen.turn_deg) is not View.TWO_CHAMBER:
        return seen
    normal = one.plane.normal
    foot = ((one.plane.position - heart.middle) @ normal) * normal  # from the middle to the plane
    why = f"passes {missed:.0f} mm beside the middle of the left ventricle"
    if foot[0] > 0:
        return replace(seen, why=f"a long-axis plane that {why}", turn_deg=None)
    sideways = angle_deg(normal, np.array([1.0, 0.0, 0.0])) < BODY_DEG
    leans = angle_deg(normal, heart.axis.direction) < 90 - BODY_DEG
    view = View.RVOT if sideways and leans else View.RV_TWO_CHAMBER
    return replace(seen, view=view, why=f"{view}: {why}, to the right", turn_deg=None)


# -- two, three and four chambers


def _told_apart(seen: Sequence[StackView], kind: Kind | None) -> list[StackView]:
    """Give the long-axis planes of one kind of series their views, all together."""
    planes = sorted(
        (each for each in seen if each.known.sequence is kind and each.turn_deg is not None),
        key=lambda each: (each.turn_deg, str(each.stack.first.header.SOPInstanceUID)),
    )
    turns: list[list[StackView]] = []
    for each in planes:
        if turns and _between(each.turn_deg or 0, turns[-1][-1].turn_deg or 0) < ONE_PLANE_DEG:
            turns[-1].append(each)
        else:
            turns.append([each])
    views: list[View | None] = [*TURNS_DEG, *[None] * len(turns)]
    best = min(
        permutations(views, len(turns)) if len(turns) <= MANY else [_each(turns)],
        key=lambda each: sum(map(_cost, turns, each)),
        default=(),
    )
    return [
        _named(each, view or _left_over(turn, best))
        for turn, view in zip(turns, best, strict=True)
        for each in turn
    ]


def _left_over(turn: Sequence[StackView], given: Sequence[View | None]) -> View | None:
    """Return the view that a plane at no known angle is named after, if no other plane shows it."""
    named = {each.known.named_view for each in turn}
    return next((view for view in TURNS_DEG if view in named and view not in given), None)


MANY = 4  #: more planes than this are a radial set: each is named by itself


def _each(turns: Sequence[Sequence[StackView]]) -> tuple[View | None, ...]:
    options: tuple[View | None, ...] = (*TURNS_DEG, None)
    return tuple(min(options, key=lambda view: _cost(turn, view)) for turn in turns)


def _cost(turn: Sequence[StackView], view: View | None) -> float:
    """How ill a view fits a plane: its angle squared, less what a name is worth."""
    if view is None:
        return NO_VIEW_DEG**2
    off = np.mean([_off(each.turn_deg or 0, view) ** 2 for each in turn])
    named = any(each.known.named_view is view for each in turn)
    return float(off) - (TRUSTED_DEG**2 if named else 0)


def _named(seen: StackView, view: View | None) -> StackView:
    turn = f"turned {seen.turn_deg:.0f} degrees about the long axis"
    if view is None:
        return replace(seen, why=f"a long-axis plane {turn}, which is none of the views")
    said = seen.known.named_view
    if said is view:
        joined = "and" if _off(seen.turn_deg or 0, view) < NO_VIEW_DEG else "though"
        return replace(seen, view=view, why=f"{view} by its name, {joined} {turn}")
    but = f", though named {said}" if said in LEFT else ""
    return replace(seen, view=view, why=f"{view}: {turn}{but}")


def _off(turn_deg: float, view: View) -> float:
    return _between(turn_deg, TURNS_DEG[view])


def _between(a: float, b: float) -> float:
    """Return the angle between two turns, 0 to 90: a line has no sign."""
    return abs((a - b + 90) % 180 - 90)


def turn_key(view: View) -> Callable[[StackView], tuple[float, str]]:
    """Return a key that orders long-axis planes by how far they are turned from a view."""

    def key(seen: StackView) -> tuple[float, str]:
        turn_deg = TURNS_DEG.get(seen.view, 90.0) if seen.turn_deg is None and seen.view else None
        turn_deg = seen.turn_deg if turn_deg is None else turn_deg
        return _off(turn_deg or 0.0, view), str(seen.stack.first.header.SOPInstanceUID)

    return key
