"""Use case: set the thresholds of a finding on past cases of the site.

The scores are those of the stored embeddings, so no image is read. Each set of views has its own
threshold, set on the cases that show exactly these views: a score from one view has another
distribution than one from six. The result is a proposal; `FindingEditor.calibrate` makes it a
version of the finding.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from triage.cases.budgets import find_share, set_budget_threshold
from triage.cases.case_scores import (
    ScoredCase,
    choose_one_a_patient,
    group_by_views,
    score_cases,
)
from triage.cases.operating_points import set_labelled_threshold
from triage.domain.calibration import (
    CalibrationTarget,
    SiteCalibration,
    SiteThreshold,
    TargetKind,
)
from triage.domain.errors import CalibrationRefused
from triage.domain.finding import Finding
from triage.domain.finding_version import FindingVersion
from triage.model.bundle import Bundle
from triage.ports.library import Library

SEED = 0  #: of the bootstrap: the same labels give the same intervals
LATEST = 1000  #: studies at most on which a budget is set
FEWEST_STUDIES = 100  #: with the same views, for a budget
FEWEST_DAYS = 14  #: between the first and the last study, for flags a week


@dataclass(frozen=True)
class LeftOut:
    """A set of views without threshold: it has too few studies, or none is useful."""

    views: str
    studies: int
    positives: int = 0  #: 0 without labels
    missing_positives: int = 0  #: patients that are missing for a threshold
    missing_negatives: int = 0
    missing_studies: int = 0  #: without labels


@dataclass(frozen=True)
class CalibrationProposal:
    """A calibration that is not yet a version of its finding."""

    calibration: SiteCalibration
    left_out: tuple[LeftOut, ...]
    unknown: int = 0  #: labels of studies that are no case of this bundle, or show no view of it


@dataclass(frozen=True)
class FindingCalibrator:
    """Sets thresholds on the past cases of one bundle."""

    bundle: Bundle
    library: Library
    embed: Callable[[Finding], NDArray[np.float32]]  #: returns the prompts' embeddings, (p, D)
    show_from: int = 10  #: patients with a finding, and without it, for a threshold

    def set_by_labels(
        self,
        version: FindingVersion,
        finding: Finding,
        target: CalibrationTarget,
        labels: Mapping[str, bool],
    ) -> CalibrationProposal:
        """Return thresholds for a figure on labelled studies; `labels` are by Study Instance UID.

        Raises CalibrationRefused, with the missing numbers, if no set of views has a threshold.
        """
        scored = [each for each in self._score(finding) if each.case.study_uid in labels]
        unknown = len(labels) - len(scored)
        thresholds, left_out = [], []
        for views, group in group_by_views(choose_one_a_patient(scored)).items():
            scores = np.array([each.score for each in group])
            truth = np.array([labels[each.case.study_uid] for each in group])
            found, positives = None, int(truth.sum())
            negatives = len(group) - positives
            if min(positives, negatives) >= self.show_from:
                rng = np.random.default_rng(SEED)
                found = set_labelled_threshold(views, scores, truth, target, rng)
            if found is not None:
                thresholds.append(found)
                continue
            missing = (max(0, self.show_from - count) for count in (positives, negatives))
            left_out.append(LeftOut(views, len(group), positives, *missing))
        return self._propose(version, target, thresholds, left_out, unknown)

    def set_by_budget(
        self, version: FindingVersion, finding: Finding, target: CalibrationTarget
    ) -> CalibrationProposal:
        """Return thresholds that keep a budget on the latest studies.

        Raises CalibrationRefused if no set of views has studies enough, or if the studies span too
        few days for a number of flags a week.
        """
        scored = _choose_latest(self._score(finding))
        days = _list_days(scored, target)
        share = find_share(target, days) if days else target.value
        fewest = max(FEWEST_STUDIES, int(np.ceil(1 / share)))
        thresholds, left_out = [], []
        for views, group in group_by_views(scored).items():
            scores = np.array([each.score for each in group])
            found = None
            if len(group) >= fewest:
                found = set_budget_threshold(views, scores, share)
            if found is not None:
                thresholds.append(found)
                continue
            missing = max(0, fewest - len(group))
            left_out.append(LeftOut(views, len(group), missing_studies=missing))
        return self._propose(version, target, thresholds, left_out, 0)

    def _score(self, finding: Finding) -> list[ScoredCase]:
        form = self.bundle.manifest.clip
        return score_cases(self.library, finding.views, self.embed(finding), form)

    def _propose(
        self,
        version: FindingVersion,
        target: CalibrationTarget,
        thresholds: Sequence[SiteThreshold],
        left_out: Sequence[LeftOut],
        unknown: int,
    ) -> CalibrationProposal:
        if not thresholds:
            raise CalibrationRefused(_explain_refusal(version.finding, target, left_out, unknown))
        calibration = SiteCalibration(version.digest, self.bundle.digest, target, tuple(thresholds))
        return CalibrationProposal(calibration, tuple(left_out), unknown)


def describe_left_out(left: LeftOut) -> str:
    """Return why a set of views has no threshold, with the missing numbers."""
    missing = [
        f"{count} more {kind}"
        for count, kind in (
            (left.missing_positives, "patient(s) with it"),
            (left.missing_negatives, "patient(s) without it"),
            (left.missing_studies, "studies"),
        )
        if count
    ]
    if not missing:
        return "no threshold reaches this without flagging every study, or none"
    return f"{' and '.join(missing)} are needed"


def name_views(views: str) -> str:
    """Return a set of views for people, as in "cine_lax, cine_sa"."""
    return views.replace("+", ", ")


def _explain_refusal(
    finding: str, target: CalibrationTarget, left_out: Collection[LeftOut], unknown: int
) -> str:
    lines = [f"{finding}: no threshold for {target}"]
    if not left_out:
        lines.append("no such study is a case of this bundle with a view of the finding")
    lines += [f"with {name_views(left.views)}: {describe_left_out(left)}" for left in left_out]
    if unknown:
        lines.append(f"{unknown} labelled studies are no such case: `triage index` adds studies")
    return "; ".join(lines)


def _choose_latest(scored: Sequence[ScoredCase]) -> list[ScoredCase]:
    ordered = sorted(scored, key=lambda each: (each.case.study_date, each.case.study_uid))
    return ordered[-LATEST:]


def _list_days(scored: Sequence[ScoredCase], target: CalibrationTarget) -> list[date]:
    """Return the dates of the studies; refuse flags a week on studies of a few days."""
    days = [day for each in scored if (day := _parse_day(each.case.study_date)) is not None]
    if target.kind is TargetKind.FLAGS_A_WEEK:
        span = (max(days) - min(days)).days + 1 if days else 0
        if span < FEWEST_DAYS:
            raise CalibrationRefused(
                f"flags a week need studies of {FEWEST_DAYS} days, and the past cases with a view "
                f"of the finding are of {span}: ask for a share of the studies, such as 2%"
            )
    return days


def _parse_day(text: str) -> date | None:
    """Return a DICOM date (DA); None if there is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
