"""Makes statements about findings from the parts of a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType

from triage.domain.outcome import OutcomeStatus
from triage.findings.extraction.clauses import Part, is_state, split_clauses, split_parts
from triage.findings.extraction.measurements import judge_measurement
from triage.findings.extraction.phrases import Mark
from triage.findings.extraction.scope import judge_scope
from triage.findings.extraction.subjects import (
    AORTA,
    OTHER,
    OWN_SITES,
    VENTRICLES,
    WALL,
    Context,
    Target,
    sites_of,
    targets_of,
    window,
)

FINDINGS: Mapping[Target, str] = MappingProxyType(
    {
        Target("size", "lv"): "lv_dilation",
        Target("size", "rv"): "rv_dilation",
        Target("function", "lv"): "lv_dysfunction",
        Target("function", "rv"): "rv_dysfunction",
        Target("thickness", "lv"): "lv_hypertrophy",
        **{Target("size", site): "aortic_dilation" for site in AORTA},
    }
)
LGE, EFFUSION = "lge", "pericardial_effusion"
ENTITIES = {"lge": LGE, "effusion": EFFUSION}
#: Findings that a normal study denies.
ALL = (*dict.fromkeys(FINDINGS.values()), LGE, EFFUSION)
#: Judgements of a property that state its finding (True) or its absence (False).
JUDGEMENTS: Mapping[tuple[str, str], bool] = MappingProxyType(
    {
        ("size", "increased"): True,
        ("size", "reduced"): False,
        ("function", "reduced"): True,
        ("function", "abnormal"): True,
        ("function", "increased"): False,
        ("thickness", "increased"): True,
        ("thickness", "abnormal"): True,
    }
)
#: States that deny an abnormality, as "nondilated".
HEALTHY = ("undilated", "contracting")
DIAGNOSES = {"hcm": ("lv_hypertrophy",), "dcm": ("lv_dilation", "lv_dysfunction")}
PRESENT, ABSENT, UNCERTAIN = OutcomeStatus.PRESENT, OutcomeStatus.ABSENT, OutcomeStatus.UNCERTAIN


@dataclass(frozen=True)
class FindingStatement:
    """The statement of one judgement about a finding."""

    finding_id: str
    status: OutcomeStatus
    place: str = ""  #: the part of the aorta; parts are judged apart
    is_measured: bool = False  #: from a number; the reader's own judgement takes precedence


@dataclass(frozen=True)
class _Judged:
    """A judgement in its part, with what surrounds it."""

    parts: Sequence[Part]
    at: int
    state: int
    context: Context

    @property
    def marks(self) -> Sequence[Mark]:
        return self.parts[self.at].marks

    @property
    def mark(self) -> Mark:
        return self.marks[self.state]

    @property
    def may_inherit(self) -> bool:
        """Return whether a judgement may be about what the part before is about."""
        return self.parts[self.at].joined_by in {"open", "comma", "label", "and", "close", ""}


def list_statements(marks: Sequence[Mark], context: Context) -> Iterator[FindingStatement]:
    """Yield the statements of a sentence; `context` is brought up to date."""
    for clause in split_clauses(marks):
        parts = split_parts(clause)
        for at, part in enumerate(parts):
            _look_ahead(parts, at, context)
            for state, mark in enumerate(part.marks):
                if is_state(mark) and not _is_severity(part.marks, state):
                    yield from _judge(_Judged(parts, at, state, context))
            _remember(part, context)


def _is_severity(marks: Sequence[Mark], state: int) -> bool:
    """Return whether "large" describes a scar or an effusion, "borderline" another judgement."""
    following = next((m for m in marks[state + 1 :] if m.kind != "severity"), None)
    if marks[state].text in {"large", "wide", "prominent"}:
        return following is not None and following.kind == "entity"
    if marks[state].value == "borderline":
        return any(is_state(m) for i, m in enumerate(marks) if i != state and m.kind != "number")
    return False


def _look_ahead(parts: Sequence[Part], at: int, context: Context) -> None:
    """Take the sites of a later part: "no dilation or hypertrophy of the left ventricle"."""
    if any(mark.kind == "site" or _own(mark) for mark in parts[at].marks):
        return
    for later in parts[at + 1 :]:
        if later.joined_by not in {"or", "and", "comma"}:
            return
        named = [i for i, mark in enumerate(later.marks) if mark.kind == "site"]
        if named:
            is_of = named[0] > 0 and later.marks[named[0] - 1].has("join", "of")
            if is_of or (not context.sites and later.joined_by != "comma"):
                context.sites = tuple(later.marks[i].value for i in named)
                _remember(later, context)
            return


def _remember(part: Part, context: Context) -> None:
    named = tuple(mark.value for mark in part.marks if mark.kind == "site" or _own(mark))
    sites = tuple(_own(Mark("property", value)) or value for value in named)
    if sites:
        context.sites = sites
    if sides := tuple(side for site in sites for side in VENTRICLES.get(site, ())):
        context.ventricles = tuple(dict.fromkeys(sides))


def _own(mark: Mark) -> str:
    return OWN_SITES.get(mark.value, "") if mark.kind == "property" else ""


def _judge(judged: _Judged) -> Iterator[FindingStatement]:
    kind, value = judged.mark.kind, judged.mark.value
    if kind == "number":
        yield from _measured(judged)
    elif kind == "entity":
        yield from _entity(judged)
    elif kind == "physiology":
        yield FindingStatement(EFFUSION, ABSENT)
    elif kind == "diagnosis":
        status = _scope(judged)
        if status in {PRESENT, UNCERTAIN}:
            yield from (FindingStatement(finding, status) for finding in DIAGNOSES[value])
    elif value in {"normal", "abnormal", "reduced", "increased", "borderline"}:
        yield from _evaluated(judged)
    else:
        yield from _abnormal(judged)


def _scope(judged: _Judged) -> OutcomeStatus | None:
    status = judge_scope(judged.parts, judged.at, judged.state)
    is_borderline = any(mark.has("state", "borderline") for mark in judged.marks)
    return UNCERTAIN if is_borderline and status is PRESENT else status


# -- abnormalities


def _abnormal(judged: _Judged) -> Iterator[FindingStatement]:
    """Yield what "dilated", "hypertrophy", "dysfunction" and "hypokinetic" state."""
    targets = list(_abnormal_targets(judged))
    judged.context.targets = tuple(targets) or judged.context.targets
    status = _scope(judged)
    if judged.mark.value in HEALTHY:
        status = ABSENT if status is PRESENT else None
    if status is not None:
        yield from (_about(target, status) for target in targets if target in FINDINGS)


def _abnormal_targets(judged: _Judged) -> Iterator[Target]:
    value, context = judged.mark.value, judged.context
    sites = sites_of(judged.marks, judged.state)
    if value == "lvh":
        yield Target("thickness", "lv")
    elif value == "thick":
        if not set(sites) & {"rv", "pericardium", *OTHER, *AORTA}:
            yield Target("thickness", "lv")
    elif value in {"dilated", "undilated"}:
        used = sites or (context.sites if judged.mark.text != "large" else ())
        known = [each for site in used for each in VENTRICLES.get(site, (site,))]
        yield from (Target("size", site) for site in dict.fromkeys(known))
    elif value in {"dysfunction", "contracting"}:
        if not set(sites) & {*OTHER, *AORTA}:
            sides = [side for site in sites for side in VENTRICLES.get(site, ())]
            used = tuple(sides) or context.ventricles or ("lv",)
            yield from (Target("function", side) for side in used)
    else:
        yield from _hypokinetic_targets(judged, sites)


def _hypokinetic_targets(judged: _Judged, sites: tuple[str, ...]) -> Iterator[Target]:
    """Yield the ventricles that are hypokinetic as a whole; a hypokinetic wall is none."""
    everywhere = [mark.value for mark in judged.marks if mark.kind == "site"]
    is_global = judged.mark.text.startswith(("global", "diffuse", "general")) or any(
        mark.text in {"global", "globally", "diffuse"} for mark in judged.marks[: judged.state]
    )
    if not is_global and set(everywhere) & {"septum", "region", *OTHER}:
        return
    sides = [side for site in sites for side in VENTRICLES.get(site, ())]
    if not sides and (is_global or set(judged.context.sites) & set(VENTRICLES)):
        sides = list(judged.context.ventricles or ("lv",))
    yield from (Target("function", side) for side in sides)


def _entity(judged: _Judged) -> Iterator[FindingStatement]:
    """Yield what "late enhancement" and "effusion" state."""
    value = judged.mark.value
    if value == "none":
        return
    before, after = window(judged.marks, judged.state)
    near = {judged.marks[i].value for i in (*before, *after) if judged.marks[i].kind == "site"}
    if _is_elsewhere(judged, near):
        return
    status = _scope(judged)
    if status is PRESENT and _is_called_normal(judged):
        status = ABSENT
    if status is not None:
        yield FindingStatement(ENTITIES.get(value, value), status)


def _is_elsewhere(judged: _Judged, near: AbstractSet[str]) -> bool:
    """Return whether a pleural effusion is meant, or the enhancement of no myocardium."""
    text, before = judged.mark.text, judged.marks[max(0, judged.state - 1) : judged.state]
    if judged.mark.value == "effusion":
        is_bare = text in {"effusion", "effusions", "eff"}
        return is_bare and "pleura" in near and "pericardium" not in near
    if text in {"enhances", "enhance", "enhancing"}:
        return not near & {"lv", *WALL}
    return judged.mark.value == "lge" and any(mark.value == "pericardium" for mark in before)


def _is_called_normal(judged: _Judged) -> bool:
    """Return whether "normal" is all that is said of an entity: "LGE normal"."""
    others = {mark.kind for mark in judged.marks} & {"property", "number", "diagnosis"}
    named = {m.value for m in judged.marks if m.kind == "site"} - {*WALL, "lv"}
    is_normal = any(mark.has("state", "normal") for mark in judged.marks)
    return is_normal and not others and not named


# -- judgements of a property


def _evaluated(judged: _Judged) -> Iterator[FindingStatement]:
    value = judged.mark.value
    targets = targets_of(judged.marks, judged.state, judged.context)
    if not targets:
        if any(mark.kind == "imaging" for mark in judged.marks):
            yield from _of_images(judged)
            return
        sites = sites_of(judged.marks, judged.state)
        if "study" in sites and set(sites) <= {"study"} and value == "normal":
            yield from (FindingStatement(finding, ABSENT) for finding in _denied_by_normal(judged))
            return
        targets = list(_targets_of_sites(judged, sites))
    judged.context.targets = tuple(targets)
    for target in targets:
        status = _evaluate(judged, target)
        if status is not None and target in FINDINGS:
            yield _about(target, status)
        elif target.site == "pericardium" and value == "normal":
            yield FindingStatement(EFFUSION, ABSENT)


def _denied_by_normal(judged: _Judged) -> Sequence[str]:
    return ALL if _scope(judged) is PRESENT else ()


def _of_images(judged: _Judged) -> Iterator[FindingStatement]:
    """Yield what normal or abnormal images of late enhancement state."""
    status = _scope(judged)
    if status is PRESENT:
        is_abnormal = judged.mark.value == "abnormal"
        is_other = any(mark.kind == "entity" for mark in judged.marks)
        if is_abnormal or (judged.mark.value == "normal" and not is_other):
            yield FindingStatement(LGE, PRESENT if is_abnormal else ABSENT)


def _targets_of_sites(judged: _Judged, sites: Sequence[str]) -> Iterator[Target]:
    """Yield what "normal" and "borderline" judge of a site, or what was judged just before."""
    value = judged.mark.value
    if value in {"normal", "borderline"} and sites:
        for site in dict.fromkeys(each for s in sites for each in VENTRICLES.get(s, (s,))):
            if site == "values":
                yield from FINDINGS
            else:
                yield Target("size", site)
            if site in {"lv", "rv"} and value == "normal":
                yield Target("function", site)
            if site == "pericardium":
                yield Target("effusion", site)
    elif not sites and judged.may_inherit:
        has_entity = any(mark.kind in {"entity", "imaging"} for mark in judged.marks)
        yield from () if has_entity else judged.context.targets


def _evaluate(judged: _Judged, target: Target) -> OutcomeStatus | None:
    status, value = _scope(judged), judged.mark.value
    if status is None:
        return None
    if value == "normal":
        return ABSENT if status is PRESENT else UNCERTAIN if status is UNCERTAIN else None
    if value == "borderline":
        return UNCERTAIN if status is PRESENT else status
    states = JUDGEMENTS.get((target.quality, value))
    if states is None:
        return None
    if status is UNCERTAIN or states:
        return status
    return ABSENT if status is PRESENT else None


# -- measurements


def _measured(judged: _Judged) -> Iterator[FindingStatement]:
    """Yield what a measurement states by `measurements`."""
    marks, state = judged.marks, judged.state
    if any(
        mark.kind == "number" and mark.value == marks[state].value for mark in marks[state + 1 :]
    ):
        following = next(m for m in marks[state + 1 :] if m.kind == "number" or _names(m))
        if following.kind == "number":
            return  # "from 30 % to 48 %": the last value applies
    targets = _measured_targets(judged)
    if not targets:
        return
    judged.context.targets = tuple(targets)
    if judge_scope(judged.parts, judged.at, state) is None:
        return
    for target in targets:
        numbers, unit = judged.mark.numbers, judged.mark.value
        status = judge_measurement(target.quality, target.site, numbers, unit)
        if status is not None and target in FINDINGS:
            yield _about(target, status, is_measured=True)


def _names(mark: Mark) -> bool:
    return mark.kind == "property" or (mark.kind == "site" and mark.value in {"septum", *AORTA})


def _measured_targets(judged: _Judged) -> list[Target]:
    """Return what a number measures: what is named nearest before it, else what follows."""
    marks, state = judged.marks, judged.state
    named = [i for i in range(state - 1, -1, -1) if _is_measurable(judged, i)][:1]
    named = named or [i for i in range(state + 1, len(marks)) if _is_measurable(judged, i)][:1]
    if not named:
        return list(judged.context.targets) if judged.may_inherit else []
    mark = marks[named[0]]
    if mark.kind == "site":
        is_aorta = mark.value in AORTA
        return [Target("size", mark.value) if is_aorta else Target("thickness", "lv")]
    return targets_of((*marks[: named[0] + 1], judged.mark), named[0] + 1, judged.context) or (
        targets_of(marks, state, judged.context)
    )


def _is_measurable(judged: _Judged, place: int) -> bool:
    mark = judged.marks[place]
    if mark.kind == "property":
        return True
    has_entity = any(each.kind == "entity" for part in judged.parts for each in part.marks)
    in_mm = judged.mark.value in {"mm", "cm"}
    is_wall = mark.value in WALL and not has_entity
    return mark.kind == "site" and in_mm and (mark.value in AORTA or is_wall)


def _about(target: Target, status: OutcomeStatus, *, is_measured: bool = False) -> FindingStatement:
    place = target.site if target.site in AORTA else ""
    return FindingStatement(FINDINGS[target], status, place, is_measured)
