"""Which images of a study fill which view of the bundle, and why not the others.

Rule: attributes before names, geometry before both where it can tell, and every decision carries
its evidence in words. A cine is ten or more trigger times at one position of one series; the
short axis is the direction that several cine planes share; a long-axis plane holds that direction.
Facts about names: architecture of the published name lists (cmr_toolkit, ukbb_cardiac).

Simple rules for classic MR; richer ones (Enhanced MR, mixed series, site tables) take this
module's place without changing its answer, `Selection`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from triage.domain.assessment import MissingView, UnusedStack
from triage.imaging.geometry import Plane, Vector, angle_deg, number, plane_of

CINE_PHASES = 10  #: fewer images at one position are no cine
BEAT_MS = 2500.0  #: trigger times that span more than a slow beat are plain time: perfusion
PARALLEL_DEG = 15.0
LONG_AXIS_DEG = 30.0  #: a long-axis plane's normal is this near to a right angle with the axis
STACK_SLICES = 3

#: What a series is not, by its name, first match wins; names in lower case.
EXCLUDED = (
    (r"ti[ _-]?scout|look[ _-]?locker|cine_?ir", "TI scout"),
    (r"(?<![a-z])loc(?![a-z])|(?<![a-z])locat|locali[sz]|scout|survey|3-?pl", "localizer"),
    (r"flow|(?<![a-z])(fast)?(card_)?pc(?![a-z])|4df|velocity|venc|phase.?contrast", "flow"),
    (r"(?<![a-z])m?tags?(?![a-z])|tagging", "tagging"),
    (r"t1.?map|t2.?map|molli|shmolli|_moco_t1|t2\*", "mapping"),
    (r"perfus|(?<![a-z])s?perf(?![a-z])|first.?pass", "perfusion"),
    (
        r"[td]irfse|haste|stir|(?<![a-z])[bd]b(?![a-z])|dark.?blood|t2w",
        "T2-weighted or black blood",
    ),
    (r"mra|angio|mfast", "angiography"),
)
#: "de" only between underscores: it is a word of several languages.
LGE = r"lge|psir|delay|(^|_)de_|irp?-fgre|del.?enh|\blate\b|(?<![a-z])(dhe|mde|dme)(?![a-z])|viab"
RIGHT_HEART_OR_VESSEL = r"rvot|\brv|_rv|aort|_ao|\bao\b|pulm|\b[lr]?pa\b"
LONG_AXES = (
    ("4ch", r"4.?ch|4c\b|hla|four"),
    ("3ch", r"3.?ch|3c\b|lvot|three"),
    ("2ch", r"2.?ch|2c\b|vla|two"),
)
SHORT_AXIS = r"sax|short|\bsa\b|_sa\b|\bsa_|_sa_"


@dataclass(frozen=True)
class Image:
    """A received image: its header (no pixels) and where its file lies in the spool."""

    path: str
    header: Dataset


class Location(NamedTuple):
    """The images of one series at one position, by phase."""

    series_uid: str
    description: str
    plane: Plane
    images: tuple[Image, ...]

    @property
    def is_cine(self) -> bool:
        """Ten or more phases with distinct trigger times (constant ones are no cine) of a beat."""
        stated = (number(image.header, "TriggerTime") for image in self.images)
        times = {time for time in stated if time is not None}
        return len(times) >= CINE_PHASES and max(times) - min(times) <= BEAT_MS


class Chosen(NamedTuple):
    """The images of a view, in the order of the clip, with the evidence for the choice."""

    view: str
    why: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Selection:
    """What of a study the model will look at, and what not."""

    used: tuple[Chosen, ...]
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]


def select_views(images: Sequence[Image], views: Sequence[str]) -> Selection:
    """Choose the images of every view in `views` (slot names of the bundle's manifest)."""
    reasons: dict[str, str] = {}
    locations = _locations(images, reasons)
    cines = [at for at in locations if at.is_cine and not _is_lge(at)]
    stills = [at for at in locations if _is_lge(at) and not at.is_cine]
    axis, axis_why = _short_axis(cines, stills)
    chosen = {
        **_cine_views(cines, axis, axis_why),
        **_lge_views(stills, axis),
    }
    for at in locations:
        reasons.setdefault(at.series_uid, _left_over(at, axis))
    used = tuple(chosen[view] for view in views if view in chosen)
    missing = tuple(_missing(view, cines, stills) for view in views if view not in chosen)
    return Selection(used, missing, _unused(images, used, reasons))


# -- grouping


def _locations(images: Sequence[Image], reasons: dict[str, str]) -> list[Location]:
    """Group by series and position; `reasons` learns why a series is left out at once."""
    groups: dict[tuple[object, ...], list[Image]] = defaultdict(list)
    planes: dict[tuple[object, ...], Plane] = {}
    for image in images:
        series_uid = str(image.header.SeriesInstanceUID)
        plane = plane_of(image.header)
        if reason := _excluded(image.header, plane):
            reasons.setdefault(series_uid, reason)
        elif plane is not None:
            key = (series_uid, *np.round([*plane.position, *plane.row, *plane.column], 1))
            groups[key].append(image)
            planes[key] = plane
    return [
        Location(str(key[0]), _name(group[0].header), planes[key], _by_phase(group))
        for key, group in groups.items()
    ]


def _excluded(header: Dataset, plane: Plane | None) -> str | None:
    modality = str(header.get("Modality") or "unknown")
    if modality != "MR":
        return f"modality {modality}, not MR"
    if header.SOPClassUID != MRImageStorage:
        return f"{header.SOPClassUID.name} is not read yet"
    stated = header.get("ImageType") or ()
    values = (stated,) if isinstance(stated, str) else stated
    kinds = {str(value).upper() for value in values}
    if "P" in kinds or "VELOCITY MAP" in kinds:
        return "phase images, not magnitude"
    for pattern, meaning in EXCLUDED:
        if re.search(pattern, _name(header).lower()):
            return f"{meaning}, by its name"
    return "its position in the patient is not given" if plane is None else None


def _by_phase(images: Iterable[Image]) -> tuple[Image, ...]:
    def order(image: Image) -> tuple[float, float, str]:
        trigger = number(image.header, "TriggerTime")
        instance = number(image.header, "InstanceNumber")
        uid = str(image.header.SOPInstanceUID)
        return (0.0 if trigger is None else trigger, 0.0 if instance is None else instance, uid)

    return tuple(sorted(images, key=order))


def _name(header: Dataset) -> str:
    return str(header.get("SeriesDescription") or header.get("ProtocolName") or "").strip()


def _says(at: Location, pattern: str) -> bool:
    return re.search(pattern, at.description.lower()) is not None


def _is_lge(at: Location) -> bool:
    return _says(at, LGE)


# -- geometry


def _short_axis(cines: list[Location], stills: list[Location]) -> tuple[Vector | None, str]:
    """Return the direction of the short-axis stack and how it was found."""
    for kind, locations in (("cine", cines), ("LGE", stills)):
        for hint in (SHORT_AXIS, ""):
            stack = max((_slices(locations, at, hint) for at in locations), key=len, default=[])
            if len(stack) >= STACK_SLICES:
                return stack[0].plane.normal, f"{len(stack)} parallel {kind} slices"
    named = [at for at in cines + stills if _says(at, SHORT_AXIS)]
    return (named[0].plane.normal, "a name that says short axis") if named else (None, "")


def _slices(locations: list[Location], like: Location, hint: str = "") -> list[Location]:
    """Return one location per position of those parallel to `like`, base and apex in order."""
    normal = like.plane.normal
    parallel = [
        at
        for at in locations
        if angle_deg(at.plane.normal, normal) < PARALLEL_DEG and _says(at, hint)
    ]
    by_depth = {round(float(at.plane.position @ normal)): at for at in parallel}
    return [by_depth[depth] for depth in sorted(by_depth)]


def _along(locations: list[Location], axis: Vector | None) -> list[Location]:
    if axis is None:
        return []
    return [at for at in locations if angle_deg(at.plane.normal, axis) < PARALLEL_DEG]


def _across(locations: list[Location], axis: Vector | None) -> list[Location]:
    """Return the long-axis planes of the left heart, those most like a four-chamber view first."""
    if axis is None:
        return []
    across = [
        at
        for at in locations
        if angle_deg(at.plane.normal, axis) > 90 - LONG_AXIS_DEG
        and not _says(at, RIGHT_HEART_OR_VESSEL)
    ]
    return sorted(across, key=lambda at: -_left_to_right(at, axis))


def _left_to_right(at: Location, axis: Vector) -> float:
    """How far the plane runs from the patient's right to left where it cuts the short axis.

    A four-chamber plane cuts septum and side wall and runs nearly left to right there; two- and
    three-chamber planes are turned by about 90 and 60 degrees about the long axis.
    """
    return abs(float(np.cross(at.plane.normal, axis)[0]))


# -- views


def _cine_views(cines: list[Location], axis: Vector | None, axis_why: str) -> dict[str, Chosen]:
    found = {}
    if parallel := _along(cines, axis):
        slices = _slices(parallel, parallel[0])
        middle = slices[len(slices) // 2]
        why = f"slice {len(slices) // 2 + 1} of {len(slices)}, short axis by {axis_why}"
        found["cine_sa"] = _cine("cine_sa", middle, why)
    if across := _across(cines, axis):
        four_chamber = [at for at in across if _says(at, LONG_AXES[0][1])]
        at = (four_chamber or across)[0]
        why = "a long-axis plane " + (
            "named four-chamber" if four_chamber else "nearest to a four-chamber view"
        )
        found["cine_lax"] = _cine("cine_lax", at, why)
    return found


def _cine(view: str, at: Location, why: str) -> Chosen:
    times = [number(image.header, "TriggerTime") or 0.0 for image in at.images]
    span = f"{len(at.images)} phases over {min(times):.0f}-{max(times):.0f} ms at one position"
    return Chosen(view, f"cine: {span}; {why}", at.images)


def _lge_views(stills: list[Location], axis: Vector | None) -> dict[str, Chosen]:
    found = {}
    series: dict[str, list[Location]] = defaultdict(list)
    for at in _along(stills, axis):
        series[at.series_uid].append(at)
    if series:
        slices = max((_slices(group, group[0]) for group in series.values()), key=len)
        if len(slices) < STACK_SLICES:  # one series a slice
            along = _along(stills, axis)
            slices = _slices(along, along[0])
        why = f"LGE by its name, {len(slices)} slices along the short axis"
        found["lge_sa"] = Chosen("lge_sa", why, tuple(at.images[0] for at in slices))
    across = _across(stills, axis)
    for view, (chamber, pattern) in zip(("lge_lax", "lge_3ch", "lge_2ch"), LONG_AXES, strict=True):
        named = [at for at in across if _says(at, pattern)]
        if named:
            why = f"LGE and {chamber} by its name, a long-axis plane"
            found[view] = Chosen(view, why, (named[0].images[0],))
    return found


def _missing(view: str, cines: list[Location], stills: list[Location]) -> MissingView:
    if view.startswith("lge"):
        seen = f"{len(stills)} delayed-enhancement images" if stills else "none"
        return MissingView(view, f"no delayed-enhancement series shows this view ({seen})")
    seen = f"{len(cines)} cine planes" if cines else "no cine at all"
    return MissingView(view, f"no cine shows this view ({seen})")


def _left_over(at: Location, axis: Vector | None) -> str:
    """Why a series with readable images may still fill no view."""
    if not at.is_cine and not _is_lge(at):
        return f"no cine ({len(at.images)} images at one position) and no delayed enhancement"
    kind = "cine" if at.is_cine else "delayed enhancement"
    if _along([at], axis):
        return f"{kind} along the short axis, but not the slices that the model looks at"
    if _across([at], axis):
        return f"{kind} in a long-axis plane, but another one fills the view"
    return f"{kind} in a plane that is none of the views"


def _unused(
    images: Sequence[Image], used: tuple[Chosen, ...], reasons: dict[str, str]
) -> tuple[UnusedStack, ...]:
    """Return the series of which no view took an image, with the reason."""
    taken = {str(image.header.SeriesInstanceUID) for view in used for image in view.images}
    series: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        series[str(image.header.SeriesInstanceUID)].append(image)
    return tuple(
        UnusedStack(
            uid,
            _name(group[0].header),
            len(group),
            reasons[uid],
        )
        for uid, group in sorted(series.items())
        if uid not in taken
    )
