"""Thresholds and figures of a fit, from examples that are scored by fits without their patient.

A score from one view has another distribution than one from six, so each set of views has a
threshold of its own, set on the examples that show exactly these views. A set of views that fewer
than ten patients with the finding, or fewer than ten without it, show has none.

The scores are held out because a fit is too close to its own examples, and closer to those of the
smaller class: of 10 examples with a finding and 32 without it, a threshold from their own scores
misses several times as many studies as it flags wrongly.

Thresholds are chosen on the same held-out scores that the figures are of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.domain.case import Case
from triage.model.bundle import ClipForm
from triage.model.fitted import FEWEST_PATIENTS, FittedThreshold, Numbers, measure_spread

Truth = NDArray[np.bool_]  #: whether each case has the finding, (n,)
ThresholdRule = Callable[[Numbers, Truth], float]  #: from scores (n,) and truth (n,)
Thresholds = Mapping[str, FittedThreshold]  #: by the name of a set of views


@dataclass(frozen=True)
class HeldOutFit:
    """Figures of a fit on cases that it was not fitted to; None where unknown."""

    present: int  #: examples with the finding
    absent: int  #: examples without it
    views: tuple[str, ...]  #: the sets of views with a threshold; studies with others have no flag
    sensitivity: float | None
    specificity: float | None
    auc: float | None
    flagged: float | None  #: share of past cases with such views that it would flag


@dataclass(frozen=True)
class HeldOutScores:
    """The examples of a finding, each scored by a fit that has seen no case of its patient."""

    cases: Sequence[Case]
    truth: Truth
    scores: Numbers  #: (n,); NaN where no fit is left
    form: ClipForm

    def set_thresholds(self, rule: ThresholdRule) -> dict[str, FittedThreshold]:
        """Return the threshold of each set of views that enough patients show."""
        names = _name_views(self.cases, self.form)
        shown = {str(name): names == name for name in np.unique(names)}
        return {
            name: FittedThreshold(
                threshold=rule(self.scores[those], self.truth[those]),
                spread=measure_spread(self.scores[those]).deviation,
            )
            for name, those in shown.items()
            if self._has_enough(those)
        }

    def _has_enough(self, those: Truth) -> bool:
        sides = (np.flatnonzero(those & holds) for holds in (self.truth, ~self.truth))
        patients = [{self.cases[int(place)].patient for place in side} for side in sides]
        return min(map(len, patients)) >= FEWEST_PATIENTS

    def measure(
        self, thresholds: Thresholds, auc: float | None, flagged: float | None
    ) -> HeldOutFit:
        """Return the figures of the thresholds on these examples."""
        flags = flag_cases(self.cases, self.scores, thresholds, self.form)
        alarms = share(flags[~self.truth])
        return HeldOutFit(
            present=int(self.truth.sum()),
            absent=int((~self.truth).sum()),
            views=tuple(thresholds),
            sensitivity=share(flags[self.truth]),
            specificity=None if alarms is None else 1 - alarms,
            auc=auc,
            flagged=flagged,
        )


def flag_cases(
    cases: Sequence[Case], scores: Numbers, thresholds: Thresholds, form: ClipForm
) -> Numbers:
    """Return which cases are flagged, (n,): 1, 0, or NaN for those that are Not Evaluated."""
    limits = {name: known.threshold for name, known in thresholds.items()}
    own = np.array([limits.get(name, np.nan) for name in _name_views(cases, form)])
    return np.where(np.isnan(own + scores), np.nan, scores > own)


def share(flags: Numbers) -> float | None:
    """Return the share of evaluated cases that are flagged; None if none is evaluated."""
    known = flags[~np.isnan(flags)]
    return float(known.mean()) if len(known) else None


def _name_views(cases: Sequence[Case], form: ClipForm) -> NDArray[np.str_]:
    return np.array([form.name_views(case.views) for case in cases], np.str_)
