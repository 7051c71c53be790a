"""Splits a sentence into clauses, and a clause into parts that each make one statement or more.

A clause ends at "but", "however", ";" and the like; no negation goes beyond it. A part ends at a
comma, "and", "or", "with" or a bracket if there is a judgement on both sides of it: "normal LV size
| and reduced function", but "normal LV and RV size".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from triage.findings.extraction.phrases import Mark

STATES = ("state", "entity", "diagnosis", "physiology")
MODIFIERS = ("negation", "uncertainty", "history", "hypothesis", "assessed")
SEPARATORS = ("comma", "and", "or", "with", "open", "close")


@dataclass(frozen=True)
class Part:
    """Marks of one or more statements, and how they are joined to the part before."""

    joined_by: str
    marks: tuple[Mark, ...]

    @property
    def has_state(self) -> bool:
        """Return whether the part judges anything."""
        return any(is_state(mark) for mark in self.marks)

    @property
    def begins_with_state(self) -> bool:
        """Return whether its first judgement is before what is judged: "dilated LV"."""
        for mark in self.marks:
            if is_state(mark):
                return True
            if mark.kind in {"site", "property"}:
                return False
        return True


def is_state(mark: Mark) -> bool:
    """Return whether a mark is a judgement, a finding or a measurement with a unit."""
    return mark.kind in STATES or (mark.kind == "number" and bool(mark.value))


def split_clauses(marks: Iterable[Mark]) -> list[list[Mark]]:
    """Return the marks of each clause."""
    clauses: list[list[Mark]] = [[]]
    for mark in marks:
        # "Its function, however, is preserved" is one clause.
        if mark.has("join", "but") and any(map(is_state, clauses[-1])):
            clauses.append([])
        else:
            clauses[-1].append(mark)
    return [clause for clause in clauses if clause]


def split_parts(clause: Sequence[Mark]) -> list[Part]:
    """Return the parts of a clause; what has no judgement is joined to a neighbour."""
    raw = _split_at_separators(clause)
    parts: list[Part] = []
    held: Part | None = None
    for at, part in enumerate(raw):
        is_last = not any(later.has_state for later in raw[at + 1 :])
        joined = part if held is None else _join_parts(held, part)
        held = None
        if joined.has_state:
            parts.append(joined)
        elif parts and (parts[-1].begins_with_state or is_last):
            parts[-1] = _append(parts[-1], joined)
        else:
            held = joined
    return parts if held is None else [*parts, held]


def _split_at_separators(clause: Sequence[Mark]) -> list[Part]:
    raw, joined_by, marks = [], "", list[Mark]()
    for at, mark in enumerate(clause):
        if _begins_denial(marks, mark, clause[at + 1 :]):
            raw.append(Part(joined_by, tuple(marks)))
            marks, joined_by = [], "with"
        # "LV: dilated" is one part; "LVEDVi 120 ml/m2: dilated LV" are two.
        is_label = mark.kind == "join" and mark.text == ":" and any(map(is_state, marks))
        if is_label or (mark.kind == "join" and mark.value in SEPARATORS):
            if marks:
                raw.append(Part(joined_by, tuple(marks)))
                marks = []
            joined_by = "label" if is_label else mark.value
        else:
            marks.append(mark)
    return [*raw, Part(joined_by, tuple(marks))] if marks else raw


def _begins_denial(before: Sequence[Mark], mark: Mark, after: Sequence[Mark]) -> bool:
    """Return whether a "without" begins a part: "normal LV without scar"."""
    following = next((each for each in after if is_state(each) or each.kind == "join"), None)
    return (
        mark.has("negation", "before")
        and mark.text.startswith(("no", "without", "w o"))
        and not mark.text.startswith("not")
        and any(map(is_state, before))
        and following is not None
        and is_state(following)
    )


def _join_parts(held: Part, part: Part) -> Part:
    """Join a part without judgement to the next one; its negation only if it goes on there."""
    marks = held.marks
    describes = any(m.kind in {"site", "property"} and m.value != "study" for m in marks)
    if not describes or not goes_on(part, is_list=False):
        marks = tuple(mark for mark in marks if mark.kind not in MODIFIERS)
    glue = Mark("join", part.joined_by) if part.joined_by else None
    return Part(held.joined_by, (*marks, *([glue] if glue else []), *part.marks))


def _append(part: Part, more: Part) -> Part:
    """Join a part without judgement to the one before; of its modifiers "(no)" and "(?)" count."""
    dropped = {"history", "hypothesis"}
    if len(more.marks) > 1 or more.joined_by not in {"open", "label"}:
        dropped.add("negation")
    if not part.begins_with_state and more.joined_by not in {"and", "or"}:
        dropped |= {"site", "property"}
    added = tuple(mark for mark in more.marks if mark.kind not in dropped)
    return Part(part.joined_by, (*part.marks, Mark("join", more.joined_by), *added))


def goes_on(part: Part, *, is_list: bool) -> bool:
    """Return whether a negation before a part covers it as well.

    "No scar, fibrosis or effusion", but "no scar, small effusion" and "no scar, dilated LV".
    `is_list`: an "or" follows later.
    """
    if part.joined_by == "or":
        return True
    if part.joined_by not in {"comma", "and", "open", "label"}:
        return False
    if part.joined_by == "comma" and is_list:
        return not _is_affirmed(part, adjectives=False)
    return not _is_affirmed(part, adjectives=True)


def _is_affirmed(part: Part, *, adjectives: bool) -> bool:
    first = next((m for m in part.marks if m.kind not in {"site", "property"}), None)
    if first is None or first.kind in {"severity", "number", "affirmation", "present"}:
        return True
    if first.has("join", "verb") or first.has("state", "normal", "reduced", "increased"):
        return True
    return adjectives and first.kind == "state" and is_adjective(first)


def is_adjective(mark: Mark) -> bool:
    """Return whether a state is an adjective: dilated, hypokinetic, thick."""
    return mark.text.split()[-1].endswith(("ed", "ic", "large", "thick", "wide", "al", "low", "il"))
