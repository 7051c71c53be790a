"""Finds the subject of a judgement: the sites and properties before and after it in its part.

"LV size normal" and "normal LV size" are both usual. A judgement takes what is named between the
judgement before it and itself, else what follows; "of" and "in" point to what follows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from triage.findings.extraction.clauses import is_state
from triage.findings.extraction.phrases import Mark

VENTRICLES = {"lv": ("lv",), "rv": ("rv",), "both": ("lv", "rv")}
AORTA = ("root", "ascending", "descending", "arch", "aorta")
#: Places of the left ventricular wall.
WALL = ("septum", "region", "myocardium")
#: Other parts of the body, about which no finding is read.
OTHER = ("other", "pleura")
QUALITIES = {"size": "size", "function": "function", "ef": "function", "thickness": "thickness"}
QUALITIES |= {"lv_size": "size", "rv_size": "size", "lv_ef": "function", "rv_ef": "function"}
QUALITIES["both_size"] = "size"
OWN_SITES = {"both_size": "both", "lv_size": "lv", "rv_size": "rv", "lv_ef": "lv", "rv_ef": "rv"}


@dataclass(frozen=True)
class Target:
    """The subject of a judgement: size, function or thickness of a site."""

    quality: str
    site: str


@dataclass
class Context:
    """The subjects of the text so far: for "its function is normal", or "(mildly reduced)"."""

    sites: tuple[str, ...] = ()  #: of the sentence
    ventricles: tuple[str, ...] = ()  #: of the paragraph
    targets: tuple[Target, ...] = field(default=())  #: that were judged last in the sentence


def window(marks: Sequence[Mark], state: int) -> tuple[range, range]:
    """Return the places before a state back to the one before, and after it up to the next."""
    first = next((i + 1 for i in range(state - 1, -1, -1) if _bounds(marks[i])), 0)
    last = next((i for i in range(state + 1, len(marks)) if _bounds(marks[i])), len(marks))
    return range(first, state), range(state + 1, last)


def _bounds(mark: Mark) -> bool:
    return is_state(mark) and mark.kind != "number" and mark.value != "borderline"


def sites_of(marks: Sequence[Mark], state: int) -> tuple[str, ...]:
    """Return the sites that a state is about; empty if its part names none."""
    before, after = window(marks, state)
    if _points_ahead(marks, after) and (ahead := _first_sites(marks, after)):
        return ahead
    named = tuple(_sites(marks, before))
    ahead = () if set(named) - {"study"} else _first_sites(marks, after)
    return ahead or named


def _points_ahead(marks: Sequence[Mark], after: range) -> bool:
    following = next((marks[i] for i in after if marks[i].kind != "severity"), None)
    return following is not None and following.has("join", "of")


def _sites(marks: Sequence[Mark], places: Iterable[int]) -> Iterator[str]:
    for place in places:
        mark = marks[place]
        if mark.kind == "site":
            yield mark.value
        elif mark.value in OWN_SITES:
            yield OWN_SITES[mark.value]


def _first_sites(marks: Sequence[Mark], places: Iterable[int]) -> tuple[str, ...]:
    """Return the sites up to the next verb or "with"."""
    near = takewhile(lambda i: not marks[i].has("join", "verb", "with"), places)
    return tuple(_sites(marks, near))


def targets_of(marks: Sequence[Mark], state: int, context: Context) -> list[Target]:
    """Return the properties that a judgement is about, each with its sites."""
    before, after = window(marks, state)
    earlier = [i for i in before if marks[i].kind == "property"]
    later = [i for i in after if marks[i].kind == "property"]
    if _points_ahead(marks, after):
        earlier, later = later, earlier
    chosen = earlier or later
    targets: list[Target] = []
    sites: tuple[str, ...] = ()
    for place in chosen:
        value = marks[place].value
        if value not in QUALITIES:
            targets.append(Target("other", "other"))
            continue
        sites = _sites_of_property(marks, place, state) or sites or sites_of(marks, state)
        targets += _combine(QUALITIES[value], sites, context)
    return targets


def _sites_of_property(marks: Sequence[Mark], place: int, state: int) -> tuple[str, ...]:
    own = OWN_SITES.get(marks[place].value)
    if own is not None:
        return (own,)
    following = range(place + 1, min(place + 4, len(marks)))
    found: list[str] = []
    for i in range(place - 1, -1, -1):
        mark = marks[i]
        if mark.kind == "property" or (_bounds(mark) and i != state):
            break
        found += _sites(marks, (i,))
    if found:
        return tuple(reversed(found))
    if following and marks[following[0]].has("join", "of"):
        return _first_sites(marks, range(place + 1, len(marks)))
    return ()


def _combine(quality: str, sites: tuple[str, ...], context: Context) -> list[Target]:
    """Return the targets of a property at its sites, or at those of the context."""
    if quality == "thickness":
        is_other = set(sites) & {"rv", *OTHER, *AORTA}
        return [Target("other", "other")] if is_other else [Target("thickness", "lv")]
    named = [each for site in sites for each in VENTRICLES.get(site, (site,))]
    fitting = [s for s in named if s in {"lv", "rv"} or (quality == "size" and s in AORTA)]
    if fitting:
        return [Target(quality, site) for site in dict.fromkeys(fitting)]
    if set(named) & {"pericardium", *OTHER} or "study" in context.sites:
        return [Target("other", "other")]
    if quality == "size":
        known = [s for each in context.sites for s in VENTRICLES.get(each, (each,))]
        usual = [site for site in known if site in {"lv", "rv", *AORTA}]
        if not usual and not set(known) & {*OTHER}:
            usual = list(context.ventricles)
        return [Target(quality, site) for site in usual]
    return [Target(quality, site) for site in context.ventricles or ("lv",)]
