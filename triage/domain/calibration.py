"""The policy by which a site sets the thresholds of a finding, and what the thresholds promise.

    bundle     the thresholds that the makers of the bundle measured; nothing is stored
    labelled   set on studies of this site whose truth is known, for an asked figure
    budget     set so that a share of this site's studies is flagged; the accuracy is unknown

A calibration is part of the record of a finding's version (`triage.domain.finding_version`), so
undoing a change restores it. It holds for one content of the finding and for one bundle: scores of
another bundle, or of other prompts, have another scale.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.domain.performance import Performance, Rate
from triage.domain.reasons import Reason, ReasonCode, because


class CalibrationPolicy(StrEnum):
    """The way in which thresholds are set; the ledger stores it, never change a value."""

    BUNDLE = "bundle"
    LABELLED = "labelled"
    BUDGET = "budget"


class TargetKind(StrEnum):
    """The figure that a threshold is set for; the ledger stores it, never change a value."""

    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    PREDICTIVE_VALUE = "ppv"
    EQUAL_ERROR = "equal-error"
    FLAGS_A_WEEK = "flags a week"
    SHARE = "share of studies"


BUDGETS = frozenset({TargetKind.FLAGS_A_WEEK, TargetKind.SHARE})


@dataclass(frozen=True)
class CalibrationTarget:
    """The figure that a user asks for; raises ValueError for a value that does not fit."""

    kind: TargetKind
    value: float = 0.0  #: a rate from 0 to 1, or flags a week; 0 for EQUAL_ERROR, which needs none

    def __post_init__(self) -> None:
        if self.kind is TargetKind.EQUAL_ERROR:
            is_right = self.value == 0
        elif self.kind is TargetKind.FLAGS_A_WEEK:
            is_right = 0 < self.value < float("inf")
        else:
            is_right = 0 < self.value < 1
        if not is_right:
            raise ValueError(f"{self.value:g} is no {self.kind}")

    @property
    def policy(self) -> CalibrationPolicy:
        """The policy that reaches this target."""
        is_budget = self.kind in BUDGETS
        return CalibrationPolicy.BUDGET if is_budget else CalibrationPolicy.LABELLED

    def __str__(self) -> str:
        """Return e.g. "sensitivity=0.9", "equal-error", "5/week" or "2%"."""
        match self.kind:
            case TargetKind.EQUAL_ERROR:
                return str(self.kind)
            case TargetKind.FLAGS_A_WEEK:
                return f"{self.value:g}/week"
            case TargetKind.SHARE:
                return f"{self.value * 100:g}%"
            case _:
                return f"{self.kind}={self.value:g}"

    @property
    def origin(self) -> str:
        """The origin of a threshold for this target, in words for reports."""
        if self.policy is CalibrationPolicy.BUDGET:
            return f"threshold set by a budget of {self}, accuracy unknown"
        return f"threshold set on labelled studies of this site for {self}"


@dataclass(frozen=True)
class SiteThreshold:
    """A threshold for studies that show exactly one set of views, and what it promises.

    The intervals are of the figures on later studies of the same site. So they include that the
    threshold was set on few.
    """

    views: str  #: as `ClipForm.name_views` writes it
    threshold: float  #: a higher score is flagged
    spread: float  #: standard deviation of the scores that it was set on
    studies: int  #: on which it was set; with labels, one of each patient
    positives: int = 0  #: of them with the finding; 0 without labels
    performance: Performance | None = None  #: with labels
    predictive_value: Rate | None = None  #: with labels, at their share of positives; None: no flag
    flagged: Rate | None = None  #: by budget: the share of later studies that is flagged

    @property
    def fewest(self) -> int:
        """The patients on the smaller side: with the finding, or without it."""
        return min(self.positives, self.studies - self.positives)


@dataclass(frozen=True)
class SiteCalibration:
    """The thresholds that a site has set for one content of a finding and for one bundle."""

    content: str  #: digest of the finding's content
    bundle: str  #: digest of the bundle
    target: CalibrationTarget
    thresholds: tuple[SiteThreshold, ...]
    version: int = 0  #: that it made, whose note has author, time and comment; 0: none yet

    @property
    def policy(self) -> CalibrationPolicy:
        """The policy of its target."""
        return self.target.policy

    def explain_void(self, content: str, bundle: str | None = None) -> Reason | None:
        """Return why it does not hold for a content and a bundle; None if it holds.

        Both are digests. `bundle` None: only the content is compared.
        """
        if content != self.content:
            return because(ReasonCode.CALIBRATED_OTHER_CONTENT, version=self.version)
        if bundle is not None and bundle != self.bundle:
            return because(ReasonCode.CALIBRATED_OTHER_BUNDLE, version=self.version)
        return None

    def keep_for_reports(self, fewest: int) -> "SiteCalibration | None":
        """Return it with the thresholds that reports may use; None if there is none.

        With labels, a threshold needs `fewest` patients with the finding and as many without it. A
        budget promises no accuracy, which patients could show.
        """
        if self.policy is CalibrationPolicy.BUDGET:
            return self
        kept = tuple(each for each in self.thresholds if each.fewest >= fewest)
        return replace(self, thresholds=kept) if kept else None

    def list_dropped(self, kept: "SiteCalibration") -> Collection[str]:
        """Return the sets of views that another calibration does not have."""
        names = {each.views for each in kept.thresholds}
        return [each.views for each in self.thresholds if each.views not in names]

    def __str__(self) -> str:
        """Return e.g. "labelled, sensitivity=0.9" or "budget 2%, accuracy unknown"."""
        if self.policy is CalibrationPolicy.BUDGET:
            return f"budget {self.target}, accuracy unknown"
        return f"{self.policy}, {self.target}"
