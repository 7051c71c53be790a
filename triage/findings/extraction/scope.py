"""Whether a judgement is denied, doubted, of the past, or not made at all.

After Chapman et al., J Biomed Inform 2001;34:301 (NegEx) and Harkema et al., J Biomed Inform
2009;42:839 (ConText), with scopes that end at the parts of `clauses`.
"""

from collections.abc import Callable, Sequence

from triage.domain.outcome import OutcomeStatus
from triage.findings.extraction.clauses import Part, goes_on, is_state
from triage.findings.extraction.phrases import Mark

Marks = Sequence[Mark]
REACH = 12  #: parts of a clause that a list has; no scope is longer


def judge_scope(parts: Sequence[Part], at: int, state: int) -> OutcomeStatus | None:
    """Return whether the state at `state` of part `at` holds; None: it states nothing now."""
    marks = parts[at].marks
    denied_after = _is_denied_after(parts, at, state)
    if any(mark.has("assessed") for mark in marks) or _is_hypothesis(marks[:state]):
        return None
    if _is_past(marks, state, parts[at]) and not denied_after:
        return None
    doubted = _find_before(parts, at, state, lambda mark: mark.has("uncertainty", "before"))
    denied = _find_before(parts, at, state, _denies_before)
    if denied is not None and (doubted is None or denied < doubted):
        return OutcomeStatus.ABSENT
    if doubted is not None or _is_doubted_after(marks, state):
        return OutcomeStatus.UNCERTAIN
    return OutcomeStatus.ABSENT if denied is not None or denied_after else OutcomeStatus.PRESENT


def _denies_before(mark: Mark) -> bool:
    return mark.has("negation", "before")


def _find_before(
    parts: Sequence[Part], at: int, state: int, applies: Callable[[Mark], bool]
) -> tuple[int, int] | None:
    """Return the place of the nearest mark before a state whose scope includes it."""
    last, is_list = state, False
    for number in range(at, max(-1, at - REACH), -1):
        part = parts[number]
        for place in range(last - 1, -1, -1):
            mark = part.marks[place]
            if mark.has("state", "normal") or _ends_scope(part.marks, place):
                return None
            if applies(mark):
                return number, place
        is_list = is_list or part.joined_by == "or" or _has_or_after(parts, number)
        if not goes_on(part, is_list=is_list):
            return None
        last = len(parts[number - 1].marks)
    return None


def _has_or_after(parts: Sequence[Part], number: int) -> bool:
    for later in parts[number + 1 : number + REACH]:
        if later.joined_by == "or":
            return True
        if later.joined_by != "comma":
            return False
    return False


def _ends_scope(marks: Marks, place: int) -> bool:
    """Return whether a join within a part ends the scope: "with"."""
    return marks[place].has("join", "with")


def _is_denied_after(parts: Sequence[Part], at: int, state: int) -> bool:
    """Return whether a denial follows: "scar and fibrosis are absent", "effusion: no"."""
    for number in range(at, min(len(parts), at + REACH)):
        part = parts[number]
        begins = state + 1 if number == at else 0
        if number > at and (part.joined_by not in {"or", "and"} or _is_finished(parts[number - 1])):
            return False
        for place in range(begins, len(part.marks)):
            mark = part.marks[place]
            if mark.has("negation", "after") or _is_answer(part.marks, place):
                return True
            if mark.has("state", "normal") or (number == at and _is_other(mark)):
                break
    return False


def _is_other(mark: Mark) -> bool:
    return is_state(mark) and mark.kind not in {"number", "entity"}


def _is_finished(part: Part) -> bool:
    """Return whether a part is a sentence of its own, or denied itself."""
    return any(
        mark.has("join", "verb")
        or mark.has("state", "normal")
        or mark.kind in {"number", "negation"}
        for mark in part.marks
    )


def _is_answer(marks: Marks, place: int) -> bool:
    """Return whether a "no" denies what is before it: nothing that it could deny follows."""
    return marks[place].has("negation", "before") and not any(
        is_state(mark) or mark.kind in {"word", "site", "property"} for mark in marks[place + 1 :]
    )


def _is_doubted_after(marks: Marks, state: int) -> bool:
    for mark in marks[state + 1 :]:
        if mark.has("uncertainty", "after"):
            return True
        if _is_other(mark):
            return False
    return False


def _is_hypothesis(before: Marks) -> bool:
    for mark in reversed(before):
        if mark.has("join", "verb"):
            return False
        if mark.has("hypothesis"):
            return True
    return False


def _is_time(mark: Mark) -> bool:
    return mark.has("history", "before") or mark.has("present")


def _is_past(marks: Marks, state: int, part: Part) -> bool:
    """Return whether a state is of the past: "previously reduced", "was 35 % in 2020"."""
    is_kept = any(mark.has("affirmation") or mark.has("present") for mark in marks)
    before = [m for m in marks[:state] if _is_time(m) or is_state(m)]
    times = [m for m in before if _is_time(m)]
    if times and times[-1].has("history", "before"):
        is_told = "history" in times[-1].text
        return is_told or (not is_kept and before[-1] is times[-1])
    after = any(mark.has("history", "after") for mark in part.marks[state + 1 :])
    return after and not any(mark.has("affirmation") for mark in marks)
