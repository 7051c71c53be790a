"""When is a study complete? Evidence plus elapsed time, never the release of an association.

`RULES` is asked in order and the first answer wins. An answer is the evidence, in words that
`triage status` shows. To add a rule (an expected instance count, full view slots), write one
function and put it into the tuple.
"""

from collections.abc import Callable
from dataclasses import dataclass

from triage.domain.study import StudyRevision


@dataclass(frozen=True)
class Patience:
    """How long to wait; seconds."""

    quiet_s: float


Rule = Callable[[StudyRevision, float, Patience], str | None]


def quiet(study: StudyRevision, now: float, patience: Patience) -> str | None:
    """Complete when no instance arrived for `quiet_s` seconds."""
    silent_s = now - study.last_instance_at
    if 0 <= silent_s < patience.quiet_s:  # below 0: the clock was set back, do not wait for it
        return None
    return f"quiet for {patience.quiet_s:g} s after {study.instances} instances"


RULES: tuple[Rule, ...] = (quiet,)


def evidence(study: StudyRevision, now: float, patience: Patience) -> str | None:
    """Return why the study is complete, or None while it is not."""
    return next((why for rule in RULES if (why := rule(study, now, patience))), None)
